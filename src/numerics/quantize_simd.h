// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <span>

namespace mcompress::numerics {

/// Least and greatest finite value; NaN and infinities are only counted. Empty: min > max.
struct MinMax {
  float min = std::numeric_limits<float>::infinity();
  float max = -std::numeric_limits<float>::infinity();
  int64_t non_finite = 0;

  bool empty() const { return min > max; }
  float abs_max() const { return empty() ? 0.0F : (-min > max ? -min : max); }
};

/// Values a stored integer may take.
struct IntRange {
  int32_t min;
  int32_t max;
};

/// real = scale * (stored - zero_point).
struct QuantParams {
  float scale = 1.0F;
  int32_t zero_point = 0;
};

}  // namespace mcompress::numerics

/// The loops that decide how long quantization takes, compiled for several instruction sets and
/// chosen at run time. All of them give the same bits on every machine but the error sum.
namespace mcompress::numerics::simd {

MinMax min_max(std::span<const float> values);
/// Takes a row into the minimum and maximum of each of its columns; non-finite values are left out
/// and counted in the result.
int64_t column_min_max(std::span<const float> row, std::span<float> min, std::span<float> max);

/// clip(round_half_even(value / scale) + zero_point); NaN gives the zero point.
void quantize(std::span<const float> values, QuantParams params, IntRange range,
              std::span<int8_t> stored);
void quantize(std::span<const float> values, QuantParams params, IntRange range,
              std::span<uint8_t> stored);
/// One scale per value, zero point 0.
void quantize_row(std::span<const float> values, std::span<const float> scales, IntRange range,
                  std::span<int8_t> stored);
void dequantize(std::span<const int8_t> stored, QuantParams params, std::span<float> values);
void dequantize(std::span<const uint8_t> stored, QuantParams params, std::span<float> values);

/// Each value becomes its error, value * inverse - (stored - zero point), and is added to its sum.
void rounding_errors(std::span<float> values, std::span<const int8_t> stored,
                     std::span<const float> inverse, std::span<const float> zero_points,
                     std::span<double> sums);
/// Positions where value * factor > limit, in `found`, which has room for all; returns how many.
size_t find_above(std::span<const float> values, std::span<const float> factors,
                  std::span<const float> limits, std::span<uint32_t> found);

/// Sum of importance * (value - dequantized)^2; `importance` is empty or as long as `values`.
double quantization_error(std::span<const float> values, std::span<const float> importance,
                          QuantParams params, IntRange range);

}  // namespace mcompress::numerics::simd
