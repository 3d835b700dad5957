// SPDX-License-Identifier: Apache-2.0
#include "numerics/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/unit/numerics/random_values.h"

namespace mcompress::numerics {
namespace {

TEST(Quantize, RangesOfAllWidths) {
  const auto expect = [](IntRange range, int32_t min, int32_t max) {
    EXPECT_EQ(range.min, min);
    EXPECT_EQ(range.max, max);
  };
  expect(int_range(8, false), 0, 255);
  expect(int_range(8, true), -128, 127);
  expect(int_range(8, true, true), -127, 127);
  expect(int_range(4, true), -8, 7);
  expect(int_range(4, false), 0, 15);
  expect(int_range(2, true, true), -1, 1);
}

TEST(Quantize, AsymmetricRangeContainsZeroExactly) {
  for (const auto& [low, high] : {std::pair{-1.0F, 3.0F},
                                  {0.5F, 3.0F},
                                  {-3.0F, -1.0F},
                                  {0.0F, 6.0F},
                                  {-1e-3F, 1e3F},
                                  {-0.17F, 2.9F}}) {
    const QuantParams params = asymmetric_params(low, high, kUint8Range);
    EXPECT_EQ(dequantize_value(quantize_value(0.0F, params, kUint8Range), params), 0.0F);
    for (const float value : {std::min(low, 0.0F), std::max(high, 0.0F)}) {
      const float back = dequantize_value(quantize_value(value, params, kUint8Range), params);
      EXPECT_NEAR(back, value, params.scale * 0.51F);
    }
  }
  EXPECT_EQ(asymmetric_params(0.0F, 6.0F, kUint8Range).zero_point, 0);
  EXPECT_EQ(asymmetric_params(-6.0F, 0.0F, kUint8Range).zero_point, 255);
}

TEST(Quantize, DegenerateRangesAreHarmless) {
  for (const float value : {0.0F, 1e-44F, 1e-37F}) {
    EXPECT_GE(symmetric_params(value, kInt8SymmetricRange).scale, 1e-38F);
    EXPECT_GE(asymmetric_params(-value, value, kUint8Range).scale, 1e-38F);
  }
  const QuantParams wide = asymmetric_params(-3e38F, 3e38F, kUint8Range);
  EXPECT_TRUE(std::isfinite(wide.scale));
  EXPECT_EQ(quantize_value(3e38F, wide, kUint8Range), 255);
}

TEST(Quantize, RoundsHalfToEvenAndSaturates) {
  const std::vector<float> values = {0.5F,   1.5F,  2.5F,       -0.5F,     -1.5F,        126.5F,
                                     127.5F, 1e30F, -HUGE_VALF, HUGE_VALF, std::nanf("")};
  const std::vector<int8_t> expected = {0, 2, 2, 0, -2, 126, 127, 127, -128, 127, 0};
  std::vector<int8_t> stored(values.size());
  quantize(values, QuantParams{}, kInt8Range, stored);
  EXPECT_EQ(stored, expected);
}

template <class Stored>
void expect_spans_equal_scalars(IntRange range, QuantParams params) {
  std::vector<float> values = normal_values(1003, 40.0F * params.scale, 1);
  values.insert(values.end(), {HUGE_VALF, -HUGE_VALF, std::nanf(""), 0.0F, -0.0F, 1e-40F});
  for (size_t count : {0UL, 1UL, 7UL, 8UL, 9UL, 31UL, values.size()}) {
    const std::span<const float> part(values.data() + values.size() - count, count);
    std::vector<Stored> stored(count);
    quantize(part, params, range, stored);
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(static_cast<int32_t>(stored[i]), quantize_value(part[i], params, range));
    }
    std::vector<float> back(count);
    dequantize(std::span<const Stored>(stored), params, back);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(back[i], dequantize_value(stored[i], params));
  }
}

TEST(Quantize, SpansEqualScalars) {
  expect_spans_equal_scalars<int8_t>(kInt8SymmetricRange, {0.013F, 0});
  expect_spans_equal_scalars<int8_t>(kInt8Range, {0.7F, -17});
  expect_spans_equal_scalars<uint8_t>(kUint8Range, {0.0031F, 113});
  expect_spans_equal_scalars<int8_t>(int_range(4, true), {3.0F, 0});
  expect_spans_equal_scalars<uint8_t>(int_range(2, false), {3.0F, 1});
}

TEST(Quantize, MinMaxCountsWhatIsNotFinite) {
  std::vector<float> values = normal_values(3000000, 1.0F, 2);
  values[5] = -77.0F;
  values[2999999] = 88.0F;
  values[1500000] = std::nanf("");
  values[1500001] = HUGE_VALF;
  values[2] = -HUGE_VALF;
  const MinMax extent = min_max(values);
  EXPECT_EQ(extent.min, -77.0F);
  EXPECT_EQ(extent.max, 88.0F);
  EXPECT_EQ(extent.abs_max(), 88.0F);
  EXPECT_EQ(extent.non_finite, 3);
  for (size_t count = 0; count < 40; ++count) {
    const MinMax part = min_max(std::span<const float>(values).subspan(3, count));
    EXPECT_EQ(part.empty(), count == 0);
    EXPECT_EQ(part.min == -77.0F, count > 2);
  }
}

TEST(QuantizeBias, UsesTheProductOfScales) {
  const QuantizedBias result =
      quantize_bias(std::vector<float>{1.0F, -2.0F}, 0.5F, std::vector<float>{0.01F, 0.02F});
  EXPECT_TRUE(result.fits);
  EXPECT_EQ(result.values, (std::vector<int32_t>{200, -200}));
}

TEST(QuantizeBias, OverflowTellsTheGrowthThatCuresIt) {
  const std::vector<float> bias = {1.0F, -5.0F, 3.0F};
  std::vector<float> scales = {1e-3F, 1e-10F, 1e-12F};
  constexpr int64_t kHeadroom = 1000LL * 255 * 127;
  const QuantizedBias first = quantize_bias(bias, 1e-2F, scales, kHeadroom);
  EXPECT_FALSE(first.fits);
  EXPECT_EQ(first.weight_scales[0], scales[0]);
  scales = first.weight_scales;
  const QuantizedBias second = quantize_bias(bias, 1e-2F, scales, kHeadroom);
  EXPECT_TRUE(second.fits);
  for (size_t i = 0; i < bias.size(); ++i) {
    EXPECT_NEAR(second.values[i] * 1e-2 * scales[i], bias[i], std::abs(bias[i]) * 1e-4);
    EXPECT_LE(std::abs(static_cast<int64_t>(second.values[i])) + kHeadroom, 2147483647LL);
  }
}

TEST(QuantizeBias, OneScaleForAllAndUnderflowingProduct) {
  const QuantizedBias shared =
      quantize_bias(std::vector<float>{1.0F, 9.0F}, 1e-6F, std::vector<float>{1e-6F});
  EXPECT_FALSE(shared.fits);
  ASSERT_EQ(shared.weight_scales.size(), 1U);
  EXPECT_NEAR(shared.weight_scales[0], 9e6F / 2147483647.0F, 1e-8F);
  for (const float value : {0.0F, 1.0F}) {
    const std::vector<float> bias = {value};
    const QuantizedBias tiny = quantize_bias(bias, 1e-30F, std::vector<float>{1e-30F});
    EXPECT_FALSE(tiny.fits);
    EXPECT_TRUE(quantize_bias(bias, 1e-30F, tiny.weight_scales).fits);
  }
}

}  // namespace
}  // namespace mcompress::numerics
