// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <span>

namespace mcompress::numerics::simd {

/// Sums and extremes of finite values. Float lanes over short blocks, added up in double.
struct RunSums {
  double sum = 0, square = 0;
  float min = std::numeric_limits<float>::max();
  float max = std::numeric_limits<float>::lowest();
};

RunSums run_sums(std::span<const float> values);

/// Of each column of rows that lie one after the other; all spans have one entry a column, and what
/// they hold is added to.
void column_sums(std::span<const float> rows, std::span<double> sums, std::span<double> squares,
                 std::span<float> min, std::span<float> max);

}  // namespace mcompress::numerics::simd
