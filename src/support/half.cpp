// SPDX-License-Identifier: Apache-2.0
#include "support/half.h"

#include <bit>
#include <cmath>
#include <cstddef>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace mcompress {
namespace {

constexpr uint16_t kHalfInfinity = 0x7c00;
constexpr uint16_t kBfloat16Infinity = 0x7f80;
constexpr uint16_t kMagnitude = 0x7fff;

// Shifts right and rounds to nearest even; a carry into the exponent field is what rounding wants.
uint32_t shift_rounded(uint32_t value, uint32_t shift) {
  const uint32_t half = (uint32_t{1} << (shift - 1)) - 1 + ((value >> shift) & 1);
  return (value + half) >> shift;
}

#if defined(__x86_64__)
// clang 14 does not know "f16c" as a feature; "avx" says that the system keeps the wide registers.
bool has_f16c() {
  static const bool found = [] {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 &&
           (ecx & bit_F16C) != 0;
  }();
  return found;
}

__attribute__((target("avx,f16c"))) size_t float_to_half_f16c(std::span<const float> values,
                                                              std::span<uint16_t> bits) {
  size_t i = 0;
  for (; i + 8 <= values.size(); i += 8) {
    const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(&values[i]), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(&bits[i]), half);
  }
  return i;
}

__attribute__((target("avx,f16c"))) size_t half_to_float_f16c(std::span<const uint16_t> bits,
                                                              std::span<float> values) {
  size_t i = 0;
  for (; i + 8 <= bits.size(); i += 8) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(&bits[i]));
    _mm256_storeu_ps(&values[i], _mm256_cvtph_ps(half));
  }
  return i;
}
#endif

HalfLoss clamp_and_count(std::span<const float> values, std::span<uint16_t> bits,
                         uint16_t infinity) {
  HalfLoss loss;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t magnitude = bits[i] & kMagnitude;
    if (magnitude == infinity && !std::isinf(values[i])) {
      --bits[i];
      ++loss.clamped;
    } else if (magnitude == 0 && values[i] != 0.0F) {
      ++loss.flushed;
    }
  }
  return loss;
}

}  // namespace

uint16_t float_to_half(float value) {
  const uint32_t all = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (all >> 16) & 0x8000;
  const uint32_t magnitude = all & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  }
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | kHalfInfinity);
  if (magnitude >= 0x38800000) {
    return static_cast<uint16_t>(sign | shift_rounded(magnitude - 0x38000000, 13));
  }
  const uint32_t exponent = magnitude >> 23;
  if (exponent < 102) return static_cast<uint16_t>(sign);  // below half of the least subnormal
  const uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
  return static_cast<uint16_t>(sign | shift_rounded(mantissa, 126 - exponent));
}

float half_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t magnitude = bits & kMagnitude;
  if (magnitude > kHalfInfinity) {
    return std::bit_cast<float>(sign | 0x7fc00000 | (magnitude << 13));
  }
  if (magnitude == kHalfInfinity) return std::bit_cast<float>(sign | 0x7f800000);
  if (magnitude >= 0x400) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000));
  const float subnormal = static_cast<float>(magnitude) * 0x1p-24F;
  return sign != 0 ? -subnormal : subnormal;
}

uint16_t float_to_bfloat16(float value) {
  const uint32_t all = std::bit_cast<uint32_t>(value);
  if ((all & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((all >> 16) | 0x40);
  return static_cast<uint16_t>((all + 0x7fff + ((all >> 16) & 1)) >> 16);
}

float bfloat16_to_float(uint16_t bits) {
  const uint32_t quiet = (bits & kMagnitude) > kBfloat16Infinity ? 0x40 : 0;
  return std::bit_cast<float>((static_cast<uint32_t>(bits) | quiet) << 16);
}

void float_to_half(std::span<const float> values, std::span<uint16_t> bits) {
  size_t i = 0;
#if defined(__x86_64__)
  if (has_f16c()) i = float_to_half_f16c(values, bits);
#endif
  for (; i < values.size(); ++i) bits[i] = float_to_half(values[i]);
}

void half_to_float(std::span<const uint16_t> bits, std::span<float> values) {
  size_t i = 0;
#if defined(__x86_64__)
  if (has_f16c()) i = half_to_float_f16c(bits, values);
#endif
  for (; i < bits.size(); ++i) values[i] = half_to_float(bits[i]);
}

void float_to_bfloat16(std::span<const float> values, std::span<uint16_t> bits) {
  for (size_t i = 0; i < values.size(); ++i) bits[i] = float_to_bfloat16(values[i]);
}

void bfloat16_to_float(std::span<const uint16_t> bits, std::span<float> values) {
  for (size_t i = 0; i < bits.size(); ++i) values[i] = bfloat16_to_float(bits[i]);
}

HalfLoss float_to_half_clamped(std::span<const float> values, std::span<uint16_t> bits) {
  float_to_half(values, bits);
  return clamp_and_count(values, bits, kHalfInfinity);
}

HalfLoss float_to_bfloat16_clamped(std::span<const float> values, std::span<uint16_t> bits) {
  float_to_bfloat16(values, bits);
  return clamp_and_count(values, bits, kBfloat16Infinity);
}

}  // namespace mcompress
