// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "mcompress/pass_context.h"
#include "numerics/weight_quantize.h"

namespace mcompress::calibration {

/// Mean, mean square and extremes of each channel over batches, in double. A value whose number of
/// channels changes between samples has no channels: it is dropped from then on.
class ChannelSums {
 public:
  void add(std::span<const float> values, const numerics::ChannelLayout& layout);
  /// Of another part of the data.
  void merge(const ChannelSums& other);
  /// Puts back what was saved. Throws Error(kData) where the parts are not equally long.
  static ChannelSums restore(const ChannelStatistics& statistics, int64_t positions);

  bool empty() const { return positions_ == 0; }
  /// Elements of each channel.
  int64_t positions() const { return positions_; }
  ChannelStatistics statistics() const;

 private:
  void drop();

  bool dropped_ = false;
  int64_t positions_ = 0;
  std::vector<double> sums_, squares_;
  std::vector<float> min_, max_;
};

}  // namespace mcompress::calibration
