// SPDX-License-Identifier: Apache-2.0
#include "numerics/weight_quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "mcompress/error.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

std::vector<float> random_weights(int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0F, 0.1F);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(engine) * (engine() % 64 == 0 ? 6.0F : 1.0F);
  return values;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b,
                     const std::vector<float>& importance = {}) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    sum += difference * difference * (importance.empty() ? 1.0 : importance[i]);
  }
  return sum;
}

std::vector<float> round_trip(const std::vector<float>& weights, ChannelLayout layout,
                              const WeightQuantOptions& options) {
  const QuantizedWeights quantized = quantize_weights(weights, layout, options);
  std::vector<float> back(weights.size());
  dequantize_channels(quantized.values, layout, quantized.scales, quantized.zero_points, back);
  return back;
}

const std::vector<ChannelLayout> kLayouts = {{1, 7, 45},  {33, 19, 1}, {3, 5, 4},
                                             {1, 1, 300}, {1, 64, 1},  {700, 1030, 1}};

TEST(WeightQuantize, EachChannelHasItsScale) {
  for (const ChannelLayout layout : kLayouts) {
    const std::vector<float> weights = random_weights(layout.size(), 1);
    const QuantizedWeights quantized = quantize_weights(weights, layout, {});
    ASSERT_EQ(quantized.scales.size(), static_cast<size_t>(layout.channels));
    EXPECT_TRUE(quantized.zero_points.empty());
    std::vector<float> largest(quantized.scales.size(), 0.0F);
    for (size_t i = 0; i < weights.size(); ++i) {
      const auto channel =
          static_cast<size_t>((static_cast<int64_t>(i) / layout.inner) % layout.channels);
      largest[channel] = std::max(largest[channel], std::abs(weights[i]));
      const QuantParams params{quantized.scales[channel], 0};
      ASSERT_EQ(quantized.values[i], quantize_value(weights[i], params, kInt8SymmetricRange));
    }
    for (size_t channel = 0; channel < largest.size(); ++channel) {
      EXPECT_EQ(quantized.scales[channel], largest[channel] / 127.0F);
    }
    const std::vector<float> back = round_trip(weights, layout, {});
    for (size_t i = 0; i < weights.size(); ++i) ASSERT_NEAR(back[i], weights[i], 0.02F);
  }
}

TEST(WeightQuantize, AsymmetricStaysInItsRangeAndKeepsZero) {
  WeightQuantOptions options;
  options.range = int_range(4, true);
  options.symmetric = false;
  for (const ChannelLayout layout : kLayouts) {
    std::vector<float> weights = random_weights(layout.size(), 2);
    for (float& weight : weights) weight = std::abs(weight);
    weights[0] = 0.0F;
    const QuantizedWeights quantized = quantize_weights(weights, layout, options);
    ASSERT_EQ(quantized.zero_points.size(), quantized.scales.size());
    const auto [low, high] = std::minmax_element(quantized.values.begin(), quantized.values.end());
    EXPECT_GE(*low, -8);
    EXPECT_LE(*high, 7);
    std::vector<float> back(weights.size());
    dequantize_channels(quantized.values, layout, quantized.scales, quantized.zero_points, back);
    EXPECT_EQ(back[0], 0.0F);
    WeightQuantOptions symmetric = options;
    symmetric.symmetric = true;
    EXPECT_LE(squared_error(weights, back),
              squared_error(weights, round_trip(weights, layout, symmetric)));
  }
}

TEST(WeightQuantize, MseClippingBeatsMinMaxAndIsNearAFineGrid) {
  const ChannelLayout layout{1, 4, 2000};
  const std::vector<float> weights = random_weights(layout.size(), 3);
  for (const int bits : {3, 4, 8}) {
    WeightQuantOptions options;
    options.range = int_range(bits, true, true);
    const double plain = squared_error(weights, round_trip(weights, layout, options));
    options.clip = ClipSearch::kMse;
    const double clipped = squared_error(weights, round_trip(weights, layout, options));
    EXPECT_LE(clipped, plain);
    if (bits < 8) {
      EXPECT_LT(clipped, 0.7 * plain);
    }

    double finest = 0;
    for (int64_t channel = 0; channel < layout.channels; ++channel) {
      const auto part = std::span<const float>(weights).subspan(
          static_cast<size_t>(channel * layout.inner), static_cast<size_t>(layout.inner));
      double best = 1e30;
      for (int i = 1; i <= 2000; ++i) {
        const float limit = min_max(part).abs_max() * static_cast<float>(i) / 2000.0F;
        best = std::min(best, simd::quantization_error(
                                  part, {}, symmetric_params(limit, options.range), options.range));
      }
      finest += best;
    }
    EXPECT_LE(clipped, finest * 1.02) << bits;
  }
}

TEST(WeightQuantize, ImportanceDecidesWhatIsClipped) {
  const ChannelLayout layout{64, 8, 1};
  const std::vector<float> weights = random_weights(layout.size(), 4);
  std::vector<float> importance(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) importance[i] = weights[i] * weights[i] * 100.0F;
  WeightQuantOptions options;
  options.range = int_range(3, true, true);
  options.clip = ClipSearch::kMse;
  const std::vector<float> plain = round_trip(weights, layout, options);
  options.importance = importance;
  const std::vector<float> weighted = round_trip(weights, layout, options);
  EXPECT_LT(squared_error(weights, weighted, importance),
            squared_error(weights, plain, importance));
}

TEST(WeightQuantize, BlocksAreIndependentMatrices) {
  constexpr int64_t kRows = 70;
  constexpr int64_t kColumns = 12;
  constexpr int64_t kBlock = 32;
  const std::vector<float> weights = random_weights(kRows * kColumns, 5);
  for (const bool symmetric : {true, false}) {
    WeightQuantOptions options;
    options.range = int_range(4, true);
    options.symmetric = symmetric;
    const QuantizedWeights quantized = quantize_blocks(weights, kRows, kColumns, kBlock, options);
    ASSERT_EQ(quantized.scales.size(), 3U * kColumns);
    std::vector<float> back(weights.size());
    dequantize_blocks(quantized, kRows, kColumns, kBlock, back);
    for (int64_t row = 0; row < kRows; ++row) {
      for (int64_t column = 0; column < kColumns; ++column) {
        const auto scale = quantized.scales[static_cast<size_t>(row / kBlock * kColumns + column)];
        const auto i = static_cast<size_t>(row * kColumns + column);
        EXPECT_NEAR(back[i], weights[i], scale * 1.001F);
      }
    }
  }
}

TEST(WeightQuantize, ResultsDoNotDependOnThreads) {
  const ChannelLayout layout{700, 1030, 1};
  const std::vector<float> weights = random_weights(layout.size(), 6);
  WeightQuantOptions options;
  options.clip = ClipSearch::kMse;
  set_thread_count(1);
  const QuantizedWeights one = quantize_weights(weights, layout, options);
  set_thread_count(4);
  const QuantizedWeights four = quantize_weights(weights, layout, options);
  set_thread_count(0);
  EXPECT_EQ(one.values, four.values);
  EXPECT_EQ(one.scales, four.scales);
}

TEST(WeightQuantize, RefusesWhatIsNotFinite) {
  const ChannelLayout layout{2, 3, 1};
  std::vector<float> weights = random_weights(layout.size(), 7);
  weights[4] = std::nanf("");
  EXPECT_THROW(quantize_weights(weights, layout, {}), Error);
  EXPECT_THROW(quantize_weights(weights, {1, 1, 6}, {}), Error);
}

}  // namespace
}  // namespace mcompress::numerics
