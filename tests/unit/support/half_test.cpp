// SPDX-License-Identifier: Apache-2.0
#include "support/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace mcompress {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool is_half_nan(uint32_t bits) { return (bits & 0x7fff) > 0x7c00; }

TEST(Half, AllPatternsRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const uint16_t back = float_to_half(half_to_float(half));
    const uint32_t expected = is_half_nan(bits) ? bits | 0x200 : bits;
    EXPECT_EQ(back, expected) << bits;
  }
}

TEST(Half, SpansEqualScalars) {
  std::vector<float> values;
  for (uint32_t i = 0; i < 200003; ++i) {
    values.push_back(std::bit_cast<float>(i * 21467u));
    values.push_back(std::bit_cast<float>(i * 21467u + 0x37000000u));
  }
  std::vector<uint16_t> bits(values.size());
  float_to_half(values, bits);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(bits[i], float_to_half(values[i])) << std::bit_cast<uint32_t>(values[i]);
  }
  std::vector<float> back(values.size());
  half_to_float(bits, back);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(back[i]), std::bit_cast<uint32_t>(half_to_float(bits[i])))
        << bits[i];
  }
}

TEST(Half, RoundsToNearestEvenAgainstSearch) {
  // Midpoints between neighbours go to the even one, a hair off goes to the nearer one.
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = half_to_float(static_cast<uint16_t>(bits));
    const float high = half_to_float(static_cast<uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;
    ASSERT_EQ(float_to_half(middle), bits + (bits & 1)) << bits;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 0.0F)), bits) << bits;
    ASSERT_EQ(float_to_half(std::nextafter(middle, kInfinity)), bits + 1) << bits;
  }
}

TEST(Half, Boundaries) {
  EXPECT_EQ(float_to_half(65504.0F), 0x7bff);
  EXPECT_EQ(float_to_half(std::nextafter(65520.0F, 0.0F)), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0F), 0x7c00);
  EXPECT_EQ(float_to_half(-65520.0F), 0xfc00);
  EXPECT_EQ(float_to_half(kInfinity), 0x7c00);
  EXPECT_EQ(float_to_half(0x1p-24F), 1);
  EXPECT_EQ(float_to_half(0x1p-25F), 0);
  EXPECT_EQ(float_to_half(std::nextafter(0x1p-25F, 1.0F)), 1);
  EXPECT_EQ(float_to_half(-0.0F), 0x8000);
  EXPECT_TRUE(std::isnan(half_to_float(float_to_half(std::nanf("")))));
}

TEST(Bfloat16, AllPatternsRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const uint32_t expected = (bits & 0x7fff) > 0x7f80 ? bits | 0x40 : bits;
    EXPECT_EQ(float_to_bfloat16(bfloat16_to_float(half)), expected) << bits;
  }
}

TEST(Bfloat16, RoundsToNearestEven) {
  EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(float_to_bfloat16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(float_to_bfloat16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(bfloat16_to_float(float_to_bfloat16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(Half, ClampedCountsWhatItChanged) {
  const std::vector<float> values = {1.0F, 1e6F, -1e6F, kInfinity, 65510.0F, 1e-9F, 0.0F, -1e-9F};
  std::vector<uint16_t> bits(values.size());
  const HalfLoss loss = float_to_half_clamped(values, bits);
  EXPECT_EQ(loss.clamped, 2);
  EXPECT_EQ(loss.flushed, 2);
  EXPECT_EQ(bits, (std::vector<uint16_t>{0x3c00, 0x7bff, 0xfbff, 0x7c00, 0x7bff, 0, 0, 0x8000}));
  std::vector<uint16_t> wide(1);
  EXPECT_EQ(float_to_bfloat16_clamped(std::vector<float>{3.4028e38F}, wide).clamped, 1);
  EXPECT_EQ(wide[0], 0x7f7f);
}

}  // namespace
}  // namespace mcompress
