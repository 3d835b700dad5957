// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/observer.h"
#include "numerics/quantize.h"

namespace mcompress::numerics {

/// How the range of an activation is chosen from its histogram (algorithms.md section 2).
enum class RangeMethod {
  kMinMax,      ///< everything seen is representable
  kPercentile,  ///< right edge of the bin that reaches the percentile
  kEntropy,  ///< least Kullback-Leibler divergence between the distribution and its quantized form
  kMse,      ///< least expected |error|^power
};

struct RangeOptions {
  RangeMethod method = RangeMethod::kMse;
  IntRange range = kUint8Range;
  bool symmetric = false;      ///< zero point 0 and low = -high
  double percentile = 0.9999;  ///< part of all values that stays within the range
  double power = 2.0;          ///< of the error, for kMse
};

/// Contains 0. Empty histograms give {0, 0}.
struct Range {
  float low = 0;
  float high = 0;
};

Range choose_range(const Histogram& histogram, const RangeOptions& options);

/// Scale and zero point for a range under the same options.
QuantParams params_of(Range range, const RangeOptions& options);

/// Expected sum of |error|^power over all values of the histogram, values within a bin taken as
/// uniformly spread: exact integrals, so that bins wider than a quantization step do not mislead.
double expected_error(const Histogram& histogram, QuantParams params, IntRange range,
                      double power = 2.0);

/// The same by cause: rounding within the range, and what lies above and below it.
struct ErrorParts {
  double rounding = 0, above = 0, below = 0;
};
ErrorParts expected_error_parts(const Histogram& histogram, QuantParams params, IntRange range,
                                double power = 2.0);

}  // namespace mcompress::numerics
