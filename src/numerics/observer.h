// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "numerics/quantize.h"
#include "numerics/weight_quantize.h"

namespace mcompress::numerics {

/// Streaming histogram of a tensor in constant memory: 2048 bins of equal width on each side of
/// zero up to a limit that is a power of two; where a value lies beyond, the limit is doubled and
/// bins are folded pairwise. Bin i is (i, i + 1] * width, so that folding moves no value to a wrong
/// bin: any split of the data into batches, in any order, gives the same histogram, bit for bit.
class Histogram {
 public:
  static constexpr int32_t kBins = 2048;

  /// Adds a batch; returns its extent.
  MinMax add(std::span<const float> values);
  /// The same, but of a batch with more than `most` values only about as many, evenly spread, are
  /// counted; the extremes are exact all the same. Then the split into batches matters.
  MinMax add_sampled(std::span<const float> values, size_t most);
  void merge(const Histogram& other);

  /// Finite values counted.
  int64_t count() const { return count_; }
  int64_t zeros() const { return places_.empty() ? 0 : places_[0]; }
  int64_t non_finite() const { return extent_.non_finite; }
  bool empty() const { return extent_.empty(); }
  /// Exact extremes over all batches.
  const MinMax& extent() const { return extent_; }

  /// Width of a bin; 0 while only zeros have been seen.
  double bin_width() const { return limit_ / kBins; }
  /// Counts by magnitude; empty while that side has not been seen. Valid until the next change.
  std::span<const int64_t> positive() const;
  std::span<const int64_t> negative() const;
  /// Counts of both sides added up; always kBins long.
  std::vector<int64_t> magnitudes() const;

  /// Puts back what was saved. Throws Error(kData) when the parts do not fit each other.
  static Histogram restore(double bin_width, std::span<const int64_t> positive,
                           std::span<const int64_t> negative, int64_t zeros, const MinMax& extent);

  friend bool operator==(const Histogram& a, const Histogram& b);

 private:
  void count_places(std::span<const float> values, std::span<uint32_t> scratch);
  void flush(std::span<uint32_t> scratch);
  void grow(double magnitude, std::span<uint32_t> scratch);
  void grow_to(double magnitude);

  double limit_ = 0;
  int64_t count_ = 0;
  std::vector<int64_t> places_;  // see simd::histogram_places
  MinMax extent_;
};

/// Exponential moving average of the extremes of batches: r += rate * (batch - r), starting at the
/// first batch. Depends on the batches and their order, by its nature.
class MovingRange {
 public:
  explicit MovingRange(double rate = 0.01) : rate_(rate) {}

  void add(const MinMax& batch);
  /// The mean of both, weighted: the order of other data is not known.
  void merge(const MovingRange& other, double weight, double other_weight);
  /// Puts back what was saved.
  static MovingRange restore(float min, float max);
  bool empty() const { return empty_; }
  float min() const { return static_cast<float>(min_); }
  float max() const { return static_cast<float>(max_); }

 private:
  double rate_;
  bool empty_ = true;
  double min_ = 0;
  double max_ = 0;
};

/// Exact extremes of every channel over batches; the number of channels is that of the first.
class ChannelObserver {
 public:
  /// layout.channels must not change; outer and inner may.
  void add(std::span<const float> values, ChannelLayout layout);
  void merge(const ChannelObserver& other);
  const std::vector<MinMax>& channels() const { return channels_; }

 private:
  std::vector<MinMax> channels_;
};

}  // namespace mcompress::numerics
