// SPDX-License-Identifier: Apache-2.0
#include "numerics/quantize_simd.h"

#include <hwy/detect_targets.h>

// Past the caches AVX-512 is no faster than AVX2, and each target costs seconds to compile.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3 | HWY_AVX3_DL)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "numerics/quantize_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace mcompress::numerics::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using IntTag = hn::RebindToSigned<FloatTag>;

// Values after which float sums are emptied into a double, and non-finite values looked for. A
// multiple of every number of lanes.
constexpr size_t kBlock = 4096;

inline bool is_finite(float value) { return std::abs(value) <= std::numeric_limits<float>::max(); }

template <class V>
auto finite_mask(V value) {
  const FloatTag d;
  return hn::Le(hn::Abs(value), hn::Set(d, std::numeric_limits<float>::max()));
}

inline void take_finite(float value, MinMax& extent) {
  if (!is_finite(value)) {
    ++extent.non_finite;
    return;
  }
  extent.min = std::min(extent.min, value);
  extent.max = std::max(extent.max, value);
}

// Extent of a multiple of 4 vectors in which all values are finite; false if some are not.
// Four accumulators, for the latency of one is longer than its loads take.
bool finite_extent(const float* values, size_t count, MinMax& extent) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  auto min0 = hn::LoadU(d, values);
  auto min1 = min0, min2 = min0, min3 = min0;
  auto max0 = min0, max1 = min0, max2 = min0, max3 = min0;
  auto odd0 = hn::Zero(d), odd1 = odd0, odd2 = odd0, odd3 = odd0;
  // x - x is 0 for finite x and NaN else.
  const auto take = [&](size_t at, auto& min, auto& max, auto& odd) HWY_ATTR {
    const auto value = hn::LoadU(d, values + at);
    min = hn::Min(min, value);
    max = hn::Max(max, value);
    odd = hn::Or(odd, hn::Sub(value, value));
  };
  for (size_t i = 0; i < count; i += 4 * lanes) {
    take(i, min0, max0, odd0);
    take(i + lanes, min1, max1, odd1);
    take(i + 2 * lanes, min2, max2, odd2);
    take(i + 3 * lanes, min3, max3, odd3);
  }
  const auto odd = hn::Or(hn::Or(odd0, odd1), hn::Or(odd2, odd3));
  if (!hn::AllFalse(d, hn::IsNaN(odd))) return false;
  const auto min = hn::MinOfLanes(d, hn::Min(hn::Min(min0, min1), hn::Min(min2, min3)));
  const auto max = hn::MaxOfLanes(d, hn::Max(hn::Max(max0, max1), hn::Max(max2, max3)));
  extent.min = std::min(extent.min, hn::GetLane(min));
  extent.max = std::max(extent.max, hn::GetLane(max));
  return true;
}

MinMax min_max_kernel(const float* values, size_t count) {
  const FloatTag d;
  const size_t step = 4 * hn::Lanes(d);
  MinMax result;
  size_t i = 0;
  while (count - i >= step) {
    const size_t block = std::min(kBlock, (count - i) / step * step);
    if (!finite_extent(values + i, block, result)) {
      for (size_t j = i; j < i + block; ++j) take_finite(values[j], result);
    }
    i += block;
  }
  for (; i < count; ++i) take_finite(values[i], result);
  return result;
}

int64_t column_min_max_kernel(const float* row, size_t count, float* min, float* max) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  int64_t non_finite = 0;
  const size_t vector_end = count / lanes * lanes;
  for (size_t i = 0; i < vector_end; i += lanes) {
    const auto value = hn::LoadU(d, row + i);
    const auto is_good = finite_mask(value);
    const auto old_min = hn::LoadU(d, min + i);
    const auto old_max = hn::LoadU(d, max + i);
    hn::StoreU(hn::Min(old_min, hn::IfThenElse(is_good, value, old_min)), d, min + i);
    hn::StoreU(hn::Max(old_max, hn::IfThenElse(is_good, value, old_max)), d, max + i);
    if (HWY_UNLIKELY(!hn::AllTrue(d, is_good))) {
      non_finite += static_cast<int64_t>(lanes - hn::CountTrue(d, is_good));
    }
  }
  for (size_t i = vector_end; i < count; ++i) {
    if (!is_finite(row[i])) {
      ++non_finite;
      continue;
    }
    min[i] = std::min(min[i], row[i]);
    max[i] = std::max(max[i], row[i]);
  }
  return non_finite;
}

// The stored integer without its zero point, still as a float, within [low, high].
template <class V>
V round_clamped(V value, V scale, V low, V high) {
  const auto ratio = hn::Div(value, scale);
  const auto number = hn::IfThenZeroElse(hn::IsNaN(ratio), ratio);
  return hn::Round(hn::Min(hn::Max(number, low), high));
}

inline float round_clamped_one(float value, float scale, float low, float high) {
  const float ratio = value / scale;
  if (std::isnan(ratio)) return 0.0F;
  return std::nearbyint(std::min(std::max(ratio, low), high));
}

template <class Stored>
void quantize_to(const float* values, size_t count, QuantParams params, IntRange range,
                 Stored* stored) {
  const FloatTag d;
  const IntTag di;
  const hn::Rebind<Stored, FloatTag> d8;
  const size_t lanes = hn::Lanes(d);
  const auto low_one = static_cast<float>(range.min - params.zero_point);
  const auto high_one = static_cast<float>(range.max - params.zero_point);
  const auto low = hn::Set(d, low_one);
  const auto high = hn::Set(d, high_one);
  const auto scale = hn::Set(d, params.scale);
  const auto zero_point = hn::Set(di, params.zero_point);
  const size_t vector_end = count / lanes * lanes;
  for (size_t i = 0; i < vector_end; i += lanes) {
    const auto rounded = round_clamped(hn::LoadU(d, values + i), scale, low, high);
    const auto integer = hn::Add(hn::ConvertTo(di, rounded), zero_point);
    hn::StoreU(hn::DemoteTo(d8, integer), d8, stored + i);
  }
  for (size_t i = vector_end; i < count; ++i) {
    const float rounded = round_clamped_one(values[i], params.scale, low_one, high_one);
    stored[i] = static_cast<Stored>(static_cast<int32_t>(rounded) + params.zero_point);
  }
}

void quantize_int8_kernel(const float* values, size_t count, QuantParams params, IntRange range,
                          int8_t* stored) {
  quantize_to(values, count, params, range, stored);
}

void quantize_uint8_kernel(const float* values, size_t count, QuantParams params, IntRange range,
                           uint8_t* stored) {
  quantize_to(values, count, params, range, stored);
}

void quantize_row_kernel(const float* values, const float* scales, size_t count, IntRange range,
                         int8_t* stored) {
  const FloatTag d;
  const IntTag di;
  const hn::Rebind<int8_t, FloatTag> d8;
  const size_t lanes = hn::Lanes(d);
  const auto low_one = static_cast<float>(range.min);
  const auto high_one = static_cast<float>(range.max);
  const auto low = hn::Set(d, low_one);
  const auto high = hn::Set(d, high_one);
  const size_t vector_end = count / lanes * lanes;
  for (size_t i = 0; i < vector_end; i += lanes) {
    const auto rounded =
        round_clamped(hn::LoadU(d, values + i), hn::LoadU(d, scales + i), low, high);
    hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(di, rounded)), d8, stored + i);
  }
  for (size_t i = vector_end; i < count; ++i) {
    stored[i] = static_cast<int8_t>(round_clamped_one(values[i], scales[i], low_one, high_one));
  }
}

template <class Stored>
void dequantize_from(const Stored* stored, size_t count, QuantParams params, float* values) {
  const FloatTag d;
  const IntTag di;
  const hn::Rebind<Stored, FloatTag> d8;
  const size_t lanes = hn::Lanes(d);
  const auto scale = hn::Set(d, params.scale);
  const auto zero_point = hn::Set(di, params.zero_point);
  const size_t vector_end = count / lanes * lanes;
  for (size_t i = 0; i < vector_end; i += lanes) {
    const auto integer = hn::Sub(hn::PromoteTo(di, hn::LoadU(d8, stored + i)), zero_point);
    hn::StoreU(hn::Mul(hn::ConvertTo(d, integer), scale), d, values + i);
  }
  for (size_t i = vector_end; i < count; ++i) {
    values[i] =
        static_cast<float>(static_cast<int32_t>(stored[i]) - params.zero_point) * params.scale;
  }
}

void dequantize_int8_kernel(const int8_t* stored, size_t count, QuantParams params, float* values) {
  dequantize_from(stored, count, params, values);
}

void dequantize_uint8_kernel(const uint8_t* stored, size_t count, QuantParams params,
                             float* values) {
  dequantize_from(stored, count, params, values);
}

void rounding_errors_kernel(float* values, const int8_t* stored, const float* inverse,
                            const float* zero_points, size_t count, double* sums) {
  const FloatTag d;
  const IntTag di;
  const hn::Rebind<int8_t, FloatTag> d8;
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, hn::ScalableTag<double>> d_half;
  const size_t lanes = hn::Lanes(d);
  const size_t vector_end = count / lanes * lanes;
  // In several loops, through memory: where the compiler made one instruction of product and
  // difference, the last bit would depend on the CPU.
  for (size_t i = 0; i < vector_end; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, values + i), hn::LoadU(d, inverse + i)), d, values + i);
  }
  for (size_t i = vector_end; i < count; ++i) values[i] *= inverse[i];
  for (size_t i = 0; i < vector_end; i += lanes) {
    const auto code = hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d8, stored + i)));
    const auto centered = hn::Sub(code, hn::LoadU(d, zero_points + i));
    hn::StoreU(hn::Sub(hn::LoadU(d, values + i), centered), d, values + i);
  }
  for (size_t i = vector_end; i < count; ++i) {
    values[i] -= static_cast<float>(stored[i]) - zero_points[i];
  }
  const size_t wide_lanes = hn::Lanes(dd);
  const size_t wide_end = count / wide_lanes * wide_lanes;
  for (size_t i = 0; i < wide_end; i += wide_lanes) {
    const auto error = hn::PromoteTo(dd, hn::LoadU(d_half, values + i));
    hn::StoreU(hn::Add(hn::LoadU(dd, sums + i), error), dd, sums + i);
  }
  for (size_t i = wide_end; i < count; ++i) sums[i] += values[i];
}

size_t find_above_kernel(const float* values, const float* factors, const float* limits,
                         size_t count, uint32_t* found) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const size_t vector_end = count / lanes * lanes;
  size_t total = 0;
  for (size_t i = 0; i < vector_end; i += lanes) {
    const auto product = hn::Mul(hn::LoadU(d, values + i), hn::LoadU(d, factors + i));
    const auto above = hn::Gt(product, hn::LoadU(d, limits + i));
    if (HWY_LIKELY(hn::AllFalse(d, above))) continue;
    uint8_t bits[8] = {};
    hn::StoreMaskBits(d, above, bits);
    for (size_t byte = 0; byte * 8 < lanes; ++byte) {
      for (unsigned left = bits[byte]; left != 0; left &= left - 1) {
        const auto lane = static_cast<size_t>(std::countr_zero(left));
        found[total++] = static_cast<uint32_t>(i + byte * 8 + lane);
      }
    }
  }
  for (size_t i = vector_end; i < count; ++i) {
    if (values[i] * factors[i] > limits[i]) found[total++] = static_cast<uint32_t>(i);
  }
  return total;
}

double error_of_block(const float* values, const float* importance, size_t count,
                      QuantParams params, IntRange range) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const auto low_one = static_cast<float>(range.min - params.zero_point);
  const auto high_one = static_cast<float>(range.max - params.zero_point);
  const auto low = hn::Set(d, low_one);
  const auto high = hn::Set(d, high_one);
  const auto scale = hn::Set(d, params.scale);
  auto sum = hn::Zero(d);
  const size_t vector_end = count / lanes * lanes;
  for (size_t i = 0; i < vector_end; i += lanes) {
    const auto value = hn::LoadU(d, values + i);
    const auto difference = hn::Sub(value, hn::Mul(round_clamped(value, scale, low, high), scale));
    auto square = hn::Mul(difference, difference);
    if (importance != nullptr) square = hn::Mul(square, hn::LoadU(d, importance + i));
    sum = hn::Add(sum, square);
  }
  double total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (size_t i = vector_end; i < count; ++i) {
    const float rounded = round_clamped_one(values[i], params.scale, low_one, high_one);
    const double difference = static_cast<double>(values[i]) - rounded * params.scale;
    total += difference * difference * (importance != nullptr ? importance[i] : 1.0F);
  }
  return total;
}

double quantization_error_kernel(const float* values, const float* importance, size_t count,
                                 QuantParams params, IntRange range) {
  double total = 0;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const float* block_importance = importance != nullptr ? importance + begin : nullptr;
    total += error_of_block(values + begin, block_importance, std::min(kBlock, count - begin),
                            params, range);
  }
  return total;
}

}  // namespace mcompress::numerics::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mcompress::numerics::simd {

HWY_EXPORT(min_max_kernel);
HWY_EXPORT(column_min_max_kernel);
HWY_EXPORT(quantize_int8_kernel);
HWY_EXPORT(quantize_uint8_kernel);
HWY_EXPORT(quantize_row_kernel);
HWY_EXPORT(dequantize_int8_kernel);
HWY_EXPORT(dequantize_uint8_kernel);
HWY_EXPORT(quantization_error_kernel);
HWY_EXPORT(rounding_errors_kernel);
HWY_EXPORT(find_above_kernel);

MinMax min_max(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(min_max_kernel)(values.data(), values.size());
}

int64_t column_min_max(std::span<const float> row, std::span<float> min, std::span<float> max) {
  return HWY_DYNAMIC_DISPATCH(column_min_max_kernel)(row.data(), row.size(), min.data(),
                                                     max.data());
}

void quantize(std::span<const float> values, QuantParams params, IntRange range,
              std::span<int8_t> stored) {
  HWY_DYNAMIC_DISPATCH(quantize_int8_kernel)
  (values.data(), values.size(), params, range, stored.data());
}

void quantize(std::span<const float> values, QuantParams params, IntRange range,
              std::span<uint8_t> stored) {
  HWY_DYNAMIC_DISPATCH(quantize_uint8_kernel)
  (values.data(), values.size(), params, range, stored.data());
}

void quantize_row(std::span<const float> values, std::span<const float> scales, IntRange range,
                  std::span<int8_t> stored) {
  HWY_DYNAMIC_DISPATCH(quantize_row_kernel)
  (values.data(), scales.data(), values.size(), range, stored.data());
}

void dequantize(std::span<const int8_t> stored, QuantParams params, std::span<float> values) {
  HWY_DYNAMIC_DISPATCH(dequantize_int8_kernel)(stored.data(), stored.size(), params, values.data());
}

void dequantize(std::span<const uint8_t> stored, QuantParams params, std::span<float> values) {
  HWY_DYNAMIC_DISPATCH(dequantize_uint8_kernel)
  (stored.data(), stored.size(), params, values.data());
}

void rounding_errors(std::span<float> values, std::span<const int8_t> stored,
                     std::span<const float> inverse, std::span<const float> zero_points,
                     std::span<double> sums) {
  HWY_DYNAMIC_DISPATCH(rounding_errors_kernel)
  (values.data(), stored.data(), inverse.data(), zero_points.data(), values.size(), sums.data());
}

size_t find_above(std::span<const float> values, std::span<const float> factors,
                  std::span<const float> limits, std::span<uint32_t> found) {
  return HWY_DYNAMIC_DISPATCH(find_above_kernel)(values.data(), factors.data(), limits.data(),
                                                 values.size(), found.data());
}

double quantization_error(std::span<const float> values, std::span<const float> importance,
                          QuantParams params, IntRange range) {
  return HWY_DYNAMIC_DISPATCH(quantization_error_kernel)(
      values.data(), importance.empty() ? nullptr : importance.data(), values.size(), params,
      range);
}

}  // namespace mcompress::numerics::simd
#endif  // HWY_ONCE
