// SPDX-License-Identifier: Apache-2.0
#include "numerics/sums_simd.h"

#include <hwy/detect_targets.h>

// See quantize_simd.cpp.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3 | HWY_AVX3_DL)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "numerics/sums_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace mcompress::numerics::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Values whose float sums are emptied into a double; a multiple of every number of lanes.
constexpr size_t kBlock = 2048;
// Rows whose float sums are emptied into doubles.
constexpr size_t kRows = 32;

void run_kernel(const float* values, size_t count, RunSums& result) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const size_t vector_end = count / lanes * lanes;
  if (vector_end > 0) {
    auto min = hn::LoadU(d, values);
    auto max = min;
    for (size_t begin = 0; begin < vector_end; begin += kBlock) {
      const size_t end = std::min(vector_end, begin + kBlock);
      auto sum0 = hn::Zero(d), sum1 = sum0, square0 = sum0, square1 = sum0;
      size_t i = begin;
      for (; i + 2 * lanes <= end; i += 2 * lanes) {
        const auto a = hn::LoadU(d, values + i);
        const auto b = hn::LoadU(d, values + i + lanes);
        sum0 = hn::Add(sum0, a);
        sum1 = hn::Add(sum1, b);
        square0 = hn::MulAdd(a, a, square0);
        square1 = hn::MulAdd(b, b, square1);
        min = hn::Min(min, hn::Min(a, b));
        max = hn::Max(max, hn::Max(a, b));
      }
      if (i < end) {
        const auto a = hn::LoadU(d, values + i);
        sum0 = hn::Add(sum0, a);
        square0 = hn::MulAdd(a, a, square0);
        min = hn::Min(min, a);
        max = hn::Max(max, a);
      }
      result.sum += hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
      result.square += hn::GetLane(hn::SumOfLanes(d, hn::Add(square0, square1)));
    }
    result.min = std::min(result.min, hn::GetLane(hn::MinOfLanes(d, min)));
    result.max = std::max(result.max, hn::GetLane(hn::MaxOfLanes(d, max)));
  }
  for (size_t i = vector_end; i < count; ++i) {
    const double v = values[i];
    result.sum += v;
    result.square += v * v;
    result.min = std::min(result.min, values[i]);
    result.max = std::max(result.max, values[i]);
  }
}

// A vector of columns at a time: its sums stay in registers over all rows.
void column_kernel(const float* values, size_t rows, size_t columns, double* sums, double* squares,
                   float* min, float* max) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const size_t vector_end = columns / lanes * lanes;
  float part[64], part_square[64];
  for (size_t begin = 0; begin < rows; begin += kRows) {
    const size_t end = std::min(rows, begin + kRows);
    for (size_t c = 0; c < vector_end; c += lanes) {
      auto sum = hn::Zero(d), square = sum;
      auto low = hn::LoadU(d, min + c), high = hn::LoadU(d, max + c);
      for (size_t row = begin; row < end; ++row) {
        const auto v = hn::LoadU(d, values + row * columns + c);
        sum = hn::Add(sum, v);
        square = hn::MulAdd(v, v, square);
        low = hn::Min(low, v);
        high = hn::Max(high, v);
      }
      hn::StoreU(low, d, min + c);
      hn::StoreU(high, d, max + c);
      hn::StoreU(sum, d, part);
      hn::StoreU(square, d, part_square);
      for (size_t k = 0; k < lanes; ++k) {
        sums[c + k] += part[k];
        squares[c + k] += part_square[k];
      }
    }
    for (size_t row = begin; row < end; ++row) {
      for (size_t c = vector_end; c < columns; ++c) {
        const float v = values[row * columns + c];
        sums[c] += v;
        squares[c] += double{v} * v;
        min[c] = std::min(min[c], v);
        max[c] = std::max(max[c], v);
      }
    }
  }
}

}  // namespace mcompress::numerics::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mcompress::numerics::simd {

HWY_EXPORT(run_kernel);
HWY_EXPORT(column_kernel);

RunSums run_sums(std::span<const float> values) {
  RunSums result;
  HWY_DYNAMIC_DISPATCH(run_kernel)(values.data(), values.size(), result);
  return result;
}

void column_sums(std::span<const float> rows, std::span<double> sums, std::span<double> squares,
                 std::span<float> min, std::span<float> max) {
  if (sums.empty()) return;
  HWY_DYNAMIC_DISPATCH(column_kernel)
  (rows.data(), rows.size() / sums.size(), sums.size(), sums.data(), squares.data(), min.data(),
   max.data());
}

}  // namespace mcompress::numerics::simd
#endif  // HWY_ONCE
