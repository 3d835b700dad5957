// SPDX-License-Identifier: Apache-2.0
#include "calibration/channel_sums.h"

#include <algorithm>
#include <limits>

namespace mcompress::calibration {
namespace {

/// Of a run of values that lie side by side: float lanes over short blocks, so that the compiler
/// can use SIMD, added up in double.
struct RunSums {
  double sum = 0, square = 0;
  float min = std::numeric_limits<float>::max();
  float max = std::numeric_limits<float>::lowest();

  explicit RunSums(std::span<const float> values) {
    constexpr size_t kLanes = 8, kBlock = 64 * kLanes;
    for (size_t begin = 0; begin < values.size(); begin += kBlock) {
      const auto block = values.subspan(begin, std::min(kBlock, values.size() - begin));
      float sums[kLanes] = {}, squares[kLanes] = {};
      size_t i = 0;
      for (; i + kLanes <= block.size(); i += kLanes) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
          const float v = block[i + lane];
          sums[lane] += v;
          squares[lane] += v * v;
        }
      }
      for (; i < block.size(); ++i) {
        sums[0] += block[i];
        squares[0] += block[i] * block[i];
      }
      for (size_t lane = 0; lane < kLanes; ++lane) {
        sum += sums[lane];
        square += squares[lane];
      }
      for (const float v : block) {
        min = std::min(min, v);
        max = std::max(max, v);
      }
    }
  }
};

}  // namespace

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
  if (sums_.size() != channels) {
    *this = {};
    dropped_ = true;
    return;
  }
  for (size_t outer = 0; outer < static_cast<size_t>(layout.outer); ++outer) {
    for (size_t c = 0; c < channels; ++c) {
      const auto run = values.subspan((outer * channels + c) * inner, inner);
      if (inner == 1) {
        const float v = run[0];
        sums_[c] += v;
        squares_[c] += double{v} * v;
        min_[c] = std::min(min_[c], v);
        max_[c] = std::max(max_[c], v);
        continue;
      }
      const RunSums part(run);
      sums_[c] += part.sum;
      squares_[c] += part.square;
      min_[c] = std::min(min_[c], part.min);
      max_[c] = std::max(max_[c], part.max);
    }
  }
  positions_ += layout.outer * layout.inner;
}

ChannelStatistics ChannelSums::statistics() const {
  ChannelStatistics result{sums_, squares_, min_, max_};
  for (double& v : result.mean) v /= static_cast<double>(positions_);
  for (double& v : result.mean_square) v /= static_cast<double>(positions_);
  return result;
}

}  // namespace mcompress::calibration
