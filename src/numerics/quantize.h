// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "numerics/quantize_simd.h"

namespace mcompress::numerics {

inline constexpr IntRange kUint8Range{0, 255};
inline constexpr IntRange kInt8Range{-128, 127};
/// What weights use: symmetric, so that the zero point is 0 and -w is as exact as w.
inline constexpr IntRange kInt8SymmetricRange{-127, 127};

/// Range of a stored integer of 2..8 bits; `narrow` leaves out the lowest signed value.
IntRange int_range(int bits, bool is_signed, bool narrow = false);

/// Parameters for reals in [low, high]; the range is widened to include 0, which is exact. A range
/// that is empty, or too narrow for a normal scale, gets scale 1.
QuantParams asymmetric_params(float low, float high, IntRange range);
/// Zero point 0, abs_max at range.max (or -range.min where that is nearer to 0).
QuantParams symmetric_params(float abs_max, IntRange range);

/// clip(round_half_even(value / scale) + zero_point), as ONNX QuantizeLinear; NaN gives zero_point.
int32_t quantize_value(float value, QuantParams params, IntRange range);
inline float dequantize_value(int32_t stored, QuantParams params) {
  return static_cast<float>(stored - params.zero_point) * params.scale;
}

/// Spans of equal size. For ranges of fewer bits one byte still holds one value (see bit_pack.h).
void quantize(std::span<const float> values, QuantParams params, IntRange range,
              std::span<int8_t> stored);
void quantize(std::span<const float> values, QuantParams params, IntRange range,
              std::span<uint8_t> stored);
void dequantize(std::span<const int8_t> stored, QuantParams params, std::span<float> values);
void dequantize(std::span<const uint8_t> stored, QuantParams params, std::span<float> values);

/// Least and greatest finite value of a span of any size, on several threads.
MinMax min_max(std::span<const float> values);

/// Bias of a quantized layer, stored as int32 with scale input_scale * weight_scale and zero point
/// 0.
struct QuantizedBias {
  std::vector<int32_t> values;
  /// The given scales, larger where the bias does not fit: quantize those channels again with these
  /// and call again. The same as given when `fits`.
  std::vector<float> weight_scales;
  bool fits = true;
};
/// `weight_scales` holds one scale, or one per bias element. `headroom` is what the accumulator
/// needs beside the bias: K * 255 * 127 for K input channels x taps.
QuantizedBias quantize_bias(std::span<const float> bias, float input_scale,
                            std::span<const float> weight_scales, int64_t headroom = 0);

}  // namespace mcompress::numerics
