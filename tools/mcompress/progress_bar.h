// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "mcompress/pass_context.h"

namespace mcompress::tool {

/// One line on standard error: what is done, how far, elapsed and remaining time. Work may be
/// nested; the inner part stands behind the outer one. Thread-safe.
class ProgressBar : public Progress {
 public:
  ProgressBar();
  ~ProgressBar() override;
  void begin(std::string_view what, size_t total) override;
  void advance(size_t by) override;
  void end() override;
  void change(std::string_view what) override;

  /// Removes the line until the next draw.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  struct Part {
    std::string what;
    size_t total = 0;
    size_t done = 0;
    Clock::time_point started;
  };

  void draw();
  std::string line() const;

  std::mutex mutex_;
  std::vector<Part> parts_;
  Clock::time_point started_;
  Clock::time_point drawn_;
  bool visible_ = false;
};

}  // namespace mcompress::tool
