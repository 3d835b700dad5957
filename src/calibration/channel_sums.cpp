// SPDX-License-Identifier: Apache-2.0
#include "calibration/channel_sums.h"

#include <algorithm>
#include <limits>

#include "mcompress/error.h"
#include "numerics/sums_simd.h"

namespace mcompress::calibration {

void ChannelSums::drop() {
  *this = {};
  dropped_ = true;
}

void ChannelSums::add(std::span<const float> values, const numerics::ChannelLayout& layout) {
  const auto channels = static_cast<size_t>(layout.channels);
  const auto inner = static_cast<size_t>(layout.inner);
  if (dropped_ || channels == 0) return;
  if (sums_.empty()) {
    sums_.resize(channels);
    squares_.resize(channels);
    min_.resize(channels, std::numeric_limits<float>::max());
    max_.resize(channels, std::numeric_limits<float>::lowest());
  }
  if (sums_.size() != channels) return drop();
  positions_ += layout.outer * layout.inner;
  if (inner == 1) {
    numerics::simd::column_sums(values, sums_, squares_, min_, max_);
    return;
  }
  for (size_t outer = 0; outer < static_cast<size_t>(layout.outer); ++outer) {
    for (size_t c = 0; c < channels; ++c) {
      const auto part =
          numerics::simd::run_sums(values.subspan((outer * channels + c) * inner, inner));
      sums_[c] += part.sum;
      squares_[c] += part.square;
      min_[c] = std::min(min_[c], part.min);
      max_[c] = std::max(max_[c], part.max);
    }
  }
}

void ChannelSums::merge(const ChannelSums& other) {
  if (dropped_ || (other.empty() && !other.dropped_)) return;
  if (other.dropped_ || (!empty() && sums_.size() != other.sums_.size())) return drop();
  if (empty()) {
    *this = other;
    return;
  }
  positions_ += other.positions_;
  for (size_t c = 0; c < sums_.size(); ++c) {
    sums_[c] += other.sums_[c];
    squares_[c] += other.squares_[c];
    min_[c] = std::min(min_[c], other.min_[c]);
    max_[c] = std::max(max_[c], other.max_[c]);
  }
}

ChannelSums ChannelSums::restore(const ChannelStatistics& statistics, int64_t positions) {
  const size_t count = statistics.mean.size();
  if (positions <= 0 || statistics.mean_square.size() != count || statistics.min.size() != count ||
      statistics.max.size() != count) {
    throw Error(ErrorCode::kData, "channels: " + std::to_string(count) + " means, " +
                                      std::to_string(statistics.mean_square.size()) +
                                      " mean squares, " + std::to_string(statistics.min.size()) +
                                      " minima, " + std::to_string(statistics.max.size()) +
                                      " maxima of " + std::to_string(positions) + " positions");
  }
  ChannelSums sums;
  sums.positions_ = positions;
  sums.min_ = statistics.min;
  sums.max_ = statistics.max;
  const auto times = static_cast<double>(positions);
  for (const double v : statistics.mean) sums.sums_.push_back(v * times);
  for (const double v : statistics.mean_square) sums.squares_.push_back(v * times);
  return sums;
}

ChannelStatistics ChannelSums::statistics() const {
  ChannelStatistics result{sums_, squares_, min_, max_};
  for (double& v : result.mean) v /= static_cast<double>(positions_);
  for (double& v : result.mean_square) v /= static_cast<double>(positions_);
  return result;
}

}  // namespace mcompress::calibration
