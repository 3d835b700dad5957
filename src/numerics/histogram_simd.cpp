// SPDX-License-Identifier: Apache-2.0
#include "numerics/histogram_simd.h"

#include <hwy/detect_targets.h>

// See quantize_simd.cpp.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3 | HWY_AVX3_DL)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "numerics/histogram_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace mcompress::numerics::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline int32_t place_of(float value, float scale, int32_t bins) {
  if (value == 0.0F) return 0;
  if (!std::isfinite(value)) return 1 + 2 * bins;
  const float position = std::abs(value) * scale;
  const auto whole = static_cast<int32_t>(position);
  // An edge belongs to the bin below it.
  const int32_t bin = static_cast<float>(whole) == position ? whole - 1 : whole;
  return 1 + std::max(bin, 0) + (value < 0 ? bins : 0);
}

void places_kernel(const float* values, size_t count, float scale_one, int32_t bins_one,
                   int32_t* places) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t lanes = hn::Lanes(d);
  const auto scale = hn::Set(d, scale_one);
  const auto zero = hn::Zero(d);
  const auto one = hn::Set(di, 1);
  const auto bins = hn::Set(di, bins_one);
  const auto odd_place = hn::Set(di, 1 + 2 * bins_one);
  const auto largest = hn::Set(d, std::numeric_limits<float>::max());
  const size_t vector_end = count / lanes * lanes;
  for (size_t i = 0; i < vector_end; i += lanes) {
    const auto value = hn::LoadU(d, values + i);
    const auto magnitude = hn::Abs(value);
    const auto position = hn::Mul(magnitude, scale);
    const auto whole = hn::ConvertTo(di, position);
    const auto is_edge = hn::RebindMask(di, hn::Eq(hn::ConvertTo(d, whole), position));
    const auto bin = hn::Max(hn::Sub(whole, hn::IfThenElseZero(is_edge, one)), hn::Zero(di));
    const auto is_negative = hn::RebindMask(di, hn::Lt(value, zero));
    auto place = hn::Add(hn::Add(bin, one), hn::IfThenElseZero(is_negative, bins));
    place = hn::IfThenZeroElse(hn::RebindMask(di, hn::Eq(value, zero)), place);
    place = hn::IfThenElse(hn::RebindMask(di, hn::Le(magnitude, largest)), place, odd_place);
    hn::StoreU(place, di, places + i);
  }
  for (size_t i = vector_end; i < count; ++i) places[i] = place_of(values[i], scale_one, bins_one);
}

}  // namespace mcompress::numerics::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mcompress::numerics::simd {

HWY_EXPORT(places_kernel);

void histogram_places(std::span<const float> values, float scale, int32_t bins,
                      std::span<int32_t> places) {
  HWY_DYNAMIC_DISPATCH(places_kernel)(values.data(), values.size(), scale, bins, places.data());
}

}  // namespace mcompress::numerics::simd
#endif  // HWY_ONCE
