// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "calibration/statistics.h"
#include "mcompress/pass_context.h"

namespace mcompress::calibration {

/// What the values that one Run returns may take, where nothing else is said. More makes fewer Runs
/// of the data, less makes a smaller peak.
inline constexpr size_t kTapBytes = size_t{32} << 20;

struct CollectOptions {
  size_t tap_bytes = kTapBytes;
  int threads = 1;
  Progress* progress = nullptr;
};

/// What is thrown for NaN or infinities in what the model computes. Names the weight or bias that
/// holds some already, where one does.
Error not_finite(const Model& model, const std::string& name, int64_t count, size_t sample,
                 const Dataset& data);

/// Counts the samples of each group of taps anew.
class GroupProgress {
 public:
  GroupProgress(Progress* progress, size_t samples) : progress_(progress), samples_(samples) {}
  GroupProgress(const GroupProgress&) = delete;
  GroupProgress& operator=(const GroupProgress&) = delete;
  ~GroupProgress() { close(); }

  void seen(size_t sample);

 private:
  void close();

  Progress* progress_;
  size_t samples_;
  bool open_ = false;
};

/// Runs the data, as often as the budget asks for, and adds what `values` are to `into`. Memory
/// does not grow with the number of samples; the result does not depend on the number of threads.
/// Throws kData for NaN or infinities, naming the value and the sample.
void collect(RuntimeService& runtime, const Model& model, const Dataset& data,
             std::span<const ObservedValue> values, const CollectOptions& options,
             std::map<std::string, ValueStatistics>& into);

}  // namespace mcompress::calibration
