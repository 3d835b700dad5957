// SPDX-License-Identifier: Apache-2.0
#include "numerics/adaptive_rounding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "numerics/moments.h"
#include "numerics/pair_rule.h"
#include "numerics/weight_quantize.h"

namespace mcompress::numerics {
namespace {

/// A layer whose inputs share a common part, its 600 rows, and scales for a few bits.
struct Case {
  int64_t inputs, outputs;
  std::vector<float> weights;
  std::vector<double> gram;
  QuantizedWeights nearest;
  LayerProblem layer;
  QuantGrid grid;

  Case(int64_t k, int64_t n, IntRange range, float spread = 0.1F) : inputs(k), outputs(n) {
    std::mt19937 engine(7);
    std::normal_distribution<float> normal(0.0F, 1.0F);
    std::vector<float> rows(static_cast<size_t>(k * 600));
    for (size_t r = 0; r < 600; ++r) {
      float carried = normal(engine);
      for (size_t i = 0; i < static_cast<size_t>(k); ++i) {
        carried = 0.9F * carried + 0.4F * normal(engine);
        rows[r * static_cast<size_t>(k) + i] = carried;
      }
    }
    InputMoments moments(k);
    moments.add(rows);
    gram = moments.gram();
    weights.resize(static_cast<size_t>(k * n));
    for (float& w : weights) w = spread + normal(engine) * 0.1F;
    nearest = quantize_weights(weights, {k, n, 1}, {.range = range});
    layer = {weights, k, n, gram};
    grid = {.scales = nearest.scales, .range = range};
  }

  double error(const std::vector<int8_t>& codes) const {
    std::vector<float> values(weights.size());
    dequantize_channels(codes, {inputs, outputs, 1}, nearest.scales, {}, values);
    return output_error(layer, values);
  }
  ReductionLayout reduction() const { return ReductionLayout::matrix(inputs, outputs); }
};

// The least error over all 2^inputs ways to round one output up or down.
double best_of_all(const Case& c) {
  double least = INFINITY;
  for (int choice = 0; choice < 1 << c.inputs; ++choice) {
    std::vector<int8_t> codes(c.weights.size());
    for (size_t i = 0; i < codes.size(); ++i) {
      const float ratio = std::floor(c.weights[i] / c.nearest.scales[0]);
      const int code = static_cast<int>(ratio) + (choice >> i & 1);
      codes[i] = static_cast<int8_t>(std::min(std::max(code, c.grid.range.min), c.grid.range.max));
    }
    least = std::min(least, c.error(codes));
  }
  return least;
}

TEST(AdaptiveRound, FindsTheBestChoiceOfATinyLayer) {
  const Case c(10, 1, int_range(4, true, true));
  const auto codes = adaptive_round(c.layer, c.grid);
  EXPECT_LE(c.error(codes), 1.3 * best_of_all(c));
  EXPECT_LE(c.error(codes), c.error(c.nearest.values));
}

TEST(AdaptiveRound, BeatsNearestRoundingByFarAndIsDeterministic) {
  const Case c(96, 24, int_range(4, true, true));
  const auto codes = adaptive_round(c.layer, c.grid);
  EXPECT_LT(c.error(codes), 0.4 * c.error(c.nearest.values));
  EXPECT_EQ(codes, adaptive_round(c.layer, c.grid));
}

TEST(AdaptiveRound, StaysBesideTheWeight) {
  const Case c(32, 4, int_range(3, true, true));
  const auto codes = adaptive_round(c.layer, c.grid, {.steps = 100});
  for (size_t i = 0; i < codes.size(); ++i) {
    const float ratio = c.weights[i] / c.nearest.scales[i % 4];
    EXPECT_LT(std::abs(static_cast<float>(codes[i]) - ratio), 1.0F + 1e-4F);
  }
}

TEST(RefineCodes, LowersTheErrorOfAnyStart) {
  for (const int bits : {2, 4, 8}) {
    const Case c(64, 16, int_range(bits, true, true));
    auto codes = c.nearest.values;
    refine_codes(c.layer, c.grid, 4, 0.0, codes);
    EXPECT_LT(c.error(codes), 0.6 * c.error(c.nearest.values)) << bits;
    auto after_gptq = gptq(c.layer, c.grid).values;
    const double before = c.error(after_gptq);
    refine_codes(c.layer, c.grid, 4, 0.0, after_gptq);
    EXPECT_LE(c.error(after_gptq), before) << bits;
  }
}

TEST(GptqInPairs, ObeysTheRuleAndMakesUpForIt) {
  // Weights that are mostly of one sign: many pairs are too much.
  const Case c(64, 16, kInt8SymmetricRange, 0.15F);
  EXPECT_GT(count_pair_violations(c.nearest.values, c.reduction()), 100);
  const auto partners = pair_partners(c.inputs, 1);
  QuantGrid grid = c.grid;
  grid.partners = partners;
  auto codes = gptq(c.layer, grid).values;
  EXPECT_EQ(count_pair_violations(codes, c.reduction()), 0);
  auto clamped = c.nearest.values;
  enforce_pair_rule(clamped, c.reduction());
  EXPECT_LT(c.error(codes), c.error(clamped));
  refine_codes(c.layer, grid, 4, 0.01, codes);
  EXPECT_EQ(count_pair_violations(codes, c.reduction()), 0);
}

TEST(GptqInPairs, KnowsWhichTapsPair) {
  // Even channels: channels 2i and 2i + 1 of one tap. Odd: all neighbours in the order tap,
  // channel.
  const auto even = pair_partners(4, 3);
  EXPECT_EQ(even[0 * 3 + 1], (std::array<int64_t, 2>{1 * 3 + 1, -1}));
  EXPECT_EQ(even[3 * 3 + 2], (std::array<int64_t, 2>{2 * 3 + 2, -1}));
  const auto odd = pair_partners(3, 2);
  EXPECT_EQ(odd[0], (std::array<int64_t, 2>{1 * 2, -1}));
  EXPECT_EQ(odd[2 * 2 + 0], (std::array<int64_t, 2>{1 * 2 + 0, 0 * 2 + 1}));
  const auto single = pair_partners(3, 1);
  EXPECT_EQ(single[2], (std::array<int64_t, 2>{-1, -1}));
}

TEST(Gptq, SeveralGridsGiveWhatEachGivesAlone) {
  const Case c(40, 6, int_range(4, true, true));
  std::vector<float> wider = c.nearest.scales;
  for (float& s : wider) s *= 1.5F;
  const std::vector<QuantGrid> grids{c.grid, {.scales = wider, .range = c.grid.range}};
  const auto results = gptq(c.layer, grids);
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].values, gptq(c.layer, grids[0]).values);
  EXPECT_EQ(results[1].values, gptq(c.layer, grids[1]).values);
}

}  // namespace
}  // namespace mcompress::numerics
