// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace mcompress::numerics {

/// A figure with its 95 % interval.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;

  double half_width() const { return (high - low) / 2; }
};

/// Proportion with Wilson's score interval; 0 trials give 0 in [0, 1].
Estimate proportion(int64_t successes, int64_t trials);
/// Mean with Student's interval; fewer than 2 values give an interval of no width.
Estimate mean(std::span<const double> values);
/// Mean of b[i] - a[i] over the same samples: a paired comparison. Spans of equal size.
Estimate paired_difference(std::span<const double> a, std::span<const double> b);
/// Median with the distribution-free interval between order statistics.
Estimate median(std::span<const double> values);

/// Interval of any statistic of `count` samples: `statistic` is called with indices of samples
/// drawn with repetition, `resamples` times, and once with all for the value. Same seed, same
/// result.
Estimate bootstrap(int64_t count, uint64_t seed, int resamples,
                   const std::function<double(std::span<const int64_t>)>& statistic);

/// Quantile 0..1 with linear interpolation; NaN for no values.
double quantile(std::span<const double> values, double fraction);

/// Agreement of a tensor with its reference, over any number of batches; sums in double.
class ErrorStatistics {
 public:
  /// Positions where both are the same infinity or both NaN are left out; other non-finite ones are
  /// counted as mismatches. Spans of equal size.
  void add(std::span<const float> reference, std::span<const float> actual);
  void merge(const ErrorStatistics& other);

  int64_t count() const { return count_; }
  int64_t mismatches() const { return mismatches_; }
  double mean_squared_error() const;
  double mean_absolute_error() const;
  double max_absolute_error() const { return max_error_; }
  double max_absolute_reference() const { return max_reference_; }
  /// 10 log10(signal / noise); +inf without noise, -inf with mismatches or with noise on silence.
  double sqnr_db() const;
  /// 1 for two zero vectors, 0 if one is zero or there are mismatches.
  double cosine() const;

 private:
  int64_t count_ = 0;
  int64_t mismatches_ = 0;
  double signal_ = 0;
  double actual_ = 0;
  double dot_ = 0;
  double noise_ = 0;
  double absolute_ = 0;
  double max_error_ = 0;
  double max_reference_ = 0;
};

}  // namespace mcompress::numerics
