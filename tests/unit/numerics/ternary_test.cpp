// SPDX-License-Identifier: Apache-2.0
#include "numerics/ternary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "mcompress/error.h"

namespace mcompress::numerics {
namespace {

double error_of(const std::vector<float>& weights, ChannelLayout layout,
                const QuantizedWeights& quantized) {
  double sum = 0;
  for (size_t at = 0; at < weights.size(); ++at) {
    const auto c = static_cast<size_t>(static_cast<int64_t>(at) / layout.inner % layout.channels);
    sum += std::pow(weights[at] - double{quantized.scales[c]} * quantized.values[at], 2);
  }
  return sum;
}

/// Tries every assignment of -1, 0, 1 (or -1, 1), each with its best scale.
double brute_force(const std::vector<float>& weights, bool with_zero) {
  double best = std::numeric_limits<double>::infinity();
  const int choices = with_zero ? 3 : 2;
  const auto total = static_cast<int>(std::lround(std::pow(choices, weights.size())));
  for (int code = 0; code < total; ++code) {
    double product = 0, count = 0, energy = 0;
    int rest = code;
    for (const float w : weights) {
      const int digit = rest % choices;
      rest /= choices;
      const double q = with_zero ? digit - 1 : 2 * digit - 1;
      product += q * w;
      count += q * q;
      energy += double{w} * w;
    }
    best = std::min(best, count > 0 ? energy - product * product / count : energy);
  }
  return best;
}

std::vector<float> random_weights(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::student_t_distribution<float> heavy(3.0F);
  std::vector<float> values(count);
  for (float& value : values) value = heavy(engine);
  return values;
}

TEST(Ternary, IsTheOptimum) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const auto weights = random_weights(8, seed);
    const ChannelLayout whole{1, 1, 8};
    const double ternary = error_of(weights, whole, quantize_ternary(weights, whole));
    EXPECT_LE(ternary, brute_force(weights, true) * 1.0001 + 1e-9) << seed;
    const double binary = error_of(weights, whole, quantize_binary(weights, whole));
    EXPECT_LE(binary, brute_force(weights, false) * 1.0001 + 1e-9) << seed;
  }
}

TEST(Ternary, BinaryHasTheClosedFormOfTheMeanMagnitude) {
  const auto weights = random_weights(1000, 7);
  double energy = 0, magnitude = 0;
  for (const float w : weights) {
    energy += double{w} * w;
    magnitude += std::abs(w);
  }
  const auto quantized = quantize_binary(weights, {1, 1, 1000});
  EXPECT_NEAR(quantized.scales[0], magnitude / 1000, 1e-5);
  EXPECT_NEAR(error_of(weights, {1, 1, 1000}, quantized), energy - magnitude * magnitude / 1000,
              1e-3 * energy);
}

TEST(Ternary, ChannelsAreOnTheirOwn) {
  const auto weights = random_weights(6 * 4 * 3, 5);
  const ChannelLayout layout{6, 4, 3};
  const auto all = quantize_ternary(weights, layout);
  for (int64_t c = 0; c < 4; ++c) {
    std::vector<float> own;
    std::vector<int8_t> codes;
    for (int64_t o = 0; o < 6; ++o) {
      for (int64_t i = 0; i < 3; ++i) {
        const auto at = static_cast<size_t>((o * 4 + c) * 3 + i);
        own.push_back(weights[at]);
        codes.push_back(all.values[at]);
      }
    }
    const auto alone = quantize_ternary(own, {1, 1, 18});
    EXPECT_EQ(alone.values, codes);
    EXPECT_EQ(alone.scales[0], all.scales[static_cast<size_t>(c)]);
  }
}

TEST(Ternary, ZerosAndBadInput) {
  const std::vector<float> zeros(4, 0.0F);
  EXPECT_EQ(quantize_ternary(zeros, {1, 1, 4}).values, std::vector<int8_t>(4, 0));
  EXPECT_EQ(error_of(zeros, {1, 1, 4}, quantize_binary(zeros, {1, 1, 4})), 0);
  const std::vector<float> equal(4, -2.0F);
  EXPECT_EQ(error_of(equal, {1, 1, 4}, quantize_ternary(equal, {1, 1, 4})), 0);
  const std::vector<float> bad{1.0F, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THROW(quantize_ternary(bad, {1, 1, 2}), Error);
  EXPECT_THROW(quantize_binary(bad, {1, 1, 2}), Error);
}

}  // namespace
}  // namespace mcompress::numerics
