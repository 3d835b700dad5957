// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace mcompress {

/// Conversions between float and the bits of IEEE binary16 and bfloat16. To 16 bits: round to
/// nearest even, overflow to infinity, subnormals kept, infinities kept, a NaN stays a (quiet) NaN
/// of the same sign. From 16 bits: exact, signalling NaNs become quiet.
uint16_t float_to_half(float value);
float half_to_float(uint16_t bits);
uint16_t float_to_bfloat16(float value);
float bfloat16_to_float(uint16_t bits);

/// The same over spans of equal size.
void float_to_half(std::span<const float> values, std::span<uint16_t> bits);
void half_to_float(std::span<const uint16_t> bits, std::span<float> values);
void float_to_bfloat16(std::span<const float> values, std::span<uint16_t> bits);
void bfloat16_to_float(std::span<const uint16_t> bits, std::span<float> values);

/// What the conversion to 16 bits did to a tensor beyond rounding.
struct HalfLoss {
  int64_t clamped = 0;  ///< finite values beyond the largest finite one, stored as that
  int64_t flushed = 0;  ///< non-zero values that became zero
};

/// Like the span versions, but finite values that would overflow become the largest finite value.
HalfLoss float_to_half_clamped(std::span<const float> values, std::span<uint16_t> bits);
HalfLoss float_to_bfloat16_clamped(std::span<const float> values, std::span<uint16_t> bits);

}  // namespace mcompress
