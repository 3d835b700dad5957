// SPDX-License-Identifier: Apache-2.0
#include "numerics/balanced_rounding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "mcompress/error.h"
#include "tests/unit/numerics/random_values.h"

namespace mcompress::numerics {
namespace {

/// Sum of the errors of each channel, in steps; checks that each error is below one step.
std::vector<double> error_sums(const std::vector<float>& weights, ChannelLayout layout,
                               const QuantizedWeights& quantized) {
  std::vector<double> sums(static_cast<size_t>(layout.channels));
  for (size_t at = 0; at < weights.size(); ++at) {
    const auto i = static_cast<int64_t>(at);
    const auto c = static_cast<size_t>(i / layout.inner % layout.channels);
    const int zero = quantized.zero_points.empty() ? 0 : quantized.zero_points[c];
    const double error =
        double{weights[at]} / quantized.scales[c] - (int{quantized.values[at]} - zero);
    EXPECT_LT(std::abs(error), 1.0);
    sums[c] += error;
  }
  return sums;
}

TEST(BalancedRounding, ErrorsOfAChannelAddUpToLessThanHalfAStep) {
  for (const ChannelLayout layout : {ChannelLayout{1, 5, 300}, ChannelLayout{257, 37, 1},
                                     ChannelLayout{3, 4, 50}, ChannelLayout{1, 1, 999}}) {
    for (const bool symmetric : {true, false}) {
      const auto weights = normal_values(layout.size(), 0.1F, 3, 0.01F);
      WeightQuantOptions options;
      options.symmetric = symmetric;
      if (!symmetric) options.range = {0, 15};
      QuantizedWeights quantized = quantize_weights(weights, layout, options);
      balance_rounding(weights, layout, quantized.scales, quantized.zero_points, options.range,
                       quantized.values);
      for (const double sum : error_sums(weights, layout, quantized)) {
        EXPECT_LE(std::abs(sum), 0.51) << layout.outer << ' ' << layout.channels;
      }
    }
  }
}

TEST(BalancedRounding, ColumnsAreTreatedAsRowsAre) {
  const int64_t rows = 777, columns = 131;
  for (const IntRange range : {IntRange{-127, 127}, IntRange{-1, 1}}) {
    auto weights = normal_values(rows * columns, 0.1F, 5, 0.01F);
    // Of one column all weights lean the same way, and few of them are near a half.
    for (size_t r = 0; r < 777; ++r) weights[r * 131 + 7] = 0.01F * static_cast<float>(r % 5 + 1);
    weights[7] = 0.9F;
    WeightQuantOptions options;
    options.range = range;
    QuantizedWeights by_columns = quantize_weights(weights, {rows, columns, 1}, options);
    std::vector<float> turned(weights.size());
    std::vector<int8_t> codes(weights.size());
    const auto turn = [&](const auto& from, auto& to) {
      for (size_t r = 0; r < 777; ++r) {
        for (size_t c = 0; c < 131; ++c) to[c * 777 + r] = from[r * 131 + c];
      }
    };
    turn(weights, turned);
    turn(by_columns.values, codes);
    balance_rounding(weights, {rows, columns, 1}, by_columns.scales, {}, range, by_columns.values);
    balance_rounding(turned, {1, columns, rows}, by_columns.scales, {}, range, codes);
    std::vector<int8_t> expected(weights.size());
    turn(by_columns.values, expected);
    EXPECT_EQ(codes, expected);
  }
}

TEST(BalancedRounding, StaysInTheRangeAndLeavesWhatIsBalanced) {
  // All errors lean up, and the codes that could go up are at the end of the range.
  const std::vector<float> weights(10, 1.4F);
  std::vector<int8_t> codes(10, 1);
  const std::vector<float> scales{1.0F};
  balance_rounding(weights, {1, 1, 10}, scales, {}, {-1, 1}, codes);
  EXPECT_EQ(codes, std::vector<int8_t>(10, 1));
  balance_rounding(weights, {1, 1, 10}, scales, {}, {-2, 2}, codes);
  EXPECT_EQ(codes, (std::vector<int8_t>{2, 2, 2, 2, 1, 1, 1, 1, 1, 1}));
  const auto once = codes;
  balance_rounding(weights, {1, 1, 10}, scales, {}, {-2, 2}, codes);
  EXPECT_EQ(codes, once);
}

TEST(BalancedRounding, InOneGoAsInTwo) {
  for (const ChannelLayout layout : {ChannelLayout{700, 131, 1}, ChannelLayout{9, 70, 1}, ChannelLayout{9000, 70, 1},
                                     ChannelLayout{1, 5, 300}, ChannelLayout{1, 1, 999}}) {
    for (const bool symmetric : {true, false}) {
      for (const ClipSearch clip : {ClipSearch::kNone, ClipSearch::kMse}) {
        const auto weights = normal_values(layout.size(), 0.1F, 11, 0.01F);
        WeightQuantOptions options{.symmetric = symmetric, .clip = clip};
        if (!symmetric) options.range = {0, 15};
        QuantizedWeights two = quantize_weights(weights, layout, options);
        balance_rounding(weights, layout, two.scales, two.zero_points, options.range, two.values);
        std::vector<int8_t> codes(weights.size());
        const ChannelScales one = quantize_balanced(weights, layout, options, codes);
        EXPECT_EQ(codes, two.values);
        EXPECT_EQ(one.scales, two.scales);
        EXPECT_EQ(one.zero_points, two.zero_points);
        if (!channels_are_columns(layout)) continue;
        std::vector<std::byte> moved(weights.size() * sizeof(float) + 1);
        std::memcpy(moved.data() + 1, weights.data(), moved.size() - 1);
        std::vector<int8_t> again(weights.size());
        quantize_balanced(std::span<const std::byte>(moved).subspan(1), layout, options, again);
        EXPECT_EQ(again, codes);
      }
    }
  }
  auto weights = normal_values(700, 0.1F, 3, 0.01F);
  weights[333] = std::nanf("");
  std::vector<int8_t> codes(weights.size());
  EXPECT_THROW(quantize_balanced(weights, {10, 70, 1}, {}, codes), Error);
}

}  // namespace
}  // namespace mcompress::numerics
