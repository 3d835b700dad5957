// SPDX-License-Identifier: Apache-2.0
#include "numerics/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kGrain = int64_t{1} << 20;

// A subnormal scale loses its digits, and dividing by it overflows.
bool is_usable_scale(float scale) {
  return std::isfinite(scale) && scale >= std::numeric_limits<float>::min();
}

template <class From, class Fn>
void in_chunks(std::span<const From> values, Fn fn) {
  const auto count = static_cast<int64_t>(values.size());
  parallel_for(0, count, kGrain, [&](int64_t first, int64_t last) {
    fn(static_cast<size_t>(first), static_cast<size_t>(last - first));
  });
}

template <class Stored>
void quantize_chunks(std::span<const float> values, QuantParams params, IntRange range,
                     std::span<Stored> stored) {
  in_chunks(values, [&](size_t first, size_t count) {
    simd::quantize(values.subspan(first, count), params, range, stored.subspan(first, count));
  });
}

template <class Stored>
void dequantize_chunks(std::span<const Stored> stored, QuantParams params,
                       std::span<float> values) {
  in_chunks(stored, [&](size_t first, size_t count) {
    simd::dequantize(stored.subspan(first, count), params, values.subspan(first, count));
  });
}

}  // namespace

IntRange int_range(int bits, bool is_signed, bool narrow) {
  if (!is_signed) return {0, (1 << bits) - 1};
  const int32_t half = 1 << (bits - 1);
  return {narrow ? 1 - half : -half, half - 1};
}

QuantParams asymmetric_params(float low, float high, IntRange range) {
  low = std::min(low, 0.0F);
  high = std::max(high, 0.0F);
  const double width = static_cast<double>(high) - low;
  QuantParams params;
  params.scale = static_cast<float>(width / (range.max - range.min));
  if (!is_usable_scale(params.scale)) params.scale = 1.0F;
  const double zero_point = std::nearbyint(range.min - static_cast<double>(low) / params.scale);
  params.zero_point = static_cast<int32_t>(
      std::clamp(zero_point, static_cast<double>(range.min), static_cast<double>(range.max)));
  return params;
}

QuantParams symmetric_params(float abs_max, IntRange range) {
  const int32_t levels = std::min(range.max, -range.min);
  QuantParams params;
  params.scale = abs_max / static_cast<float>(levels);
  if (!is_usable_scale(params.scale)) params.scale = 1.0F;
  return params;
}

int32_t quantize_value(float value, QuantParams params, IntRange range) {
  const float ratio = value / params.scale;
  if (std::isnan(ratio)) return params.zero_point;
  const float low = static_cast<float>(range.min - params.zero_point);
  const float high = static_cast<float>(range.max - params.zero_point);
  return static_cast<int32_t>(std::nearbyint(std::clamp(ratio, low, high))) + params.zero_point;
}

void quantize(std::span<const float> values, QuantParams params, IntRange range,
              std::span<int8_t> stored) {
  quantize_chunks(values, params, range, stored);
}

void quantize(std::span<const float> values, QuantParams params, IntRange range,
              std::span<uint8_t> stored) {
  quantize_chunks(values, params, range, stored);
}

void dequantize(std::span<const int8_t> stored, QuantParams params, std::span<float> values) {
  dequantize_chunks(stored, params, values);
}

void dequantize(std::span<const uint8_t> stored, QuantParams params, std::span<float> values) {
  dequantize_chunks(stored, params, values);
}

MinMax min_max(std::span<const float> values) {
  std::vector<MinMax> parts((values.size() + kGrain - 1) / static_cast<size_t>(kGrain));
  in_chunks(values, [&](size_t first, size_t count) {
    parts[first / static_cast<size_t>(kGrain)] = simd::min_max(values.subspan(first, count));
  });
  MinMax total;
  for (const MinMax& part : parts) {
    total.min = std::min(total.min, part.min);
    total.max = std::max(total.max, part.max);
    total.non_finite += part.non_finite;
  }
  return total;
}

QuantizedBias quantize_bias(std::span<const float> bias, float input_scale,
                            std::span<const float> weight_scales, int64_t headroom) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  const auto limit = static_cast<double>(std::max<int64_t>(kMax - headroom, 1));
  QuantizedBias result;
  result.values.resize(bias.size());
  result.weight_scales.assign(weight_scales.begin(), weight_scales.end());
  for (size_t i = 0; i < bias.size(); ++i) {
    const size_t channel = weight_scales.size() == 1 ? 0 : i;
    const float scale = input_scale * weight_scales[channel];
    const double ratio = static_cast<double>(bias[i]) / scale;
    if (std::abs(ratio) <= limit) {
      result.values[i] = static_cast<int32_t>(std::nearbyint(ratio));
      continue;
    }
    result.fits = false;
    // A little more than needed, to fit after rounding.
    const double product = std::max(std::abs(static_cast<double>(bias[i])) / limit,
                                    static_cast<double>(std::numeric_limits<float>::min()));
    const auto wanted = static_cast<float>(product / input_scale * 1.000001);
    result.weight_scales[channel] = std::max(result.weight_scales[channel], wanted);
    result.values[i] = static_cast<int32_t>(bias[i] > 0 ? limit : -limit);
  }
  return result;
}

}  // namespace mcompress::numerics
