// SPDX-License-Identifier: Apache-2.0
#include "numerics/gptq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "numerics/moments.h"
#include "numerics/weight_quantize.h"
#include "support/parallel_for.h"
#include "tests/unit/numerics/random_values.h"

namespace mcompress::numerics {
namespace {

// Inputs that share a common part and differ in size, as activations do.
std::vector<double> correlated_gram(int64_t inputs, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> rows(static_cast<size_t>(inputs * 600));
  for (int64_t r = 0; r < 600; ++r) {
    float carried = normal(engine);
    for (int64_t k = 0; k < inputs; ++k) {
      carried = 0.9F * carried + 0.4F * normal(engine);
      rows[static_cast<size_t>(r * inputs + k)] = carried * (k % 7 == 0 ? 3.0F : 1.0F);
    }
  }
  InputMoments moments(inputs);
  moments.add(rows);
  return moments.gram();
}

std::vector<double> identity(int64_t n) {
  std::vector<double> matrix(static_cast<size_t>(n * n), 0.0);
  for (int64_t i = 0; i < n; ++i) matrix[static_cast<size_t>(i * (n + 1))] = 1.0;
  return matrix;
}

struct Problem {
  std::vector<float> weights;
  std::vector<double> gram;
  LayerProblem layer;

  Problem(int64_t inputs, int64_t outputs, std::vector<double> moments, uint32_t seed)
      : weights(normal_values(inputs * outputs, 0.1F, seed)), gram(std::move(moments)) {
    layer = {weights, inputs, outputs, gram};
  }
};

QuantizedWeights nearest(const Problem& problem, int bits, int64_t group) {
  WeightQuantOptions options;
  options.range = int_range(bits, true, true);
  return quantize_blocks(problem.weights, problem.layer.inputs, problem.layer.outputs, group,
                         options);
}

std::vector<float> decoded(const Problem& problem, QuantizedWeights quantized,
                           std::vector<int8_t> values, int64_t group) {
  quantized.values = std::move(values);
  std::vector<float> weights(problem.weights.size());
  dequantize_blocks(quantized, problem.layer.inputs, problem.layer.outputs, group, weights);
  return weights;
}

TEST(Gptq, IdentityIsRoundingToNearest) {
  const Problem problem(150, 20, identity(150), 1);
  for (const int64_t group : {150, 32}) {
    const QuantizedWeights rounded = nearest(problem, 4, group);
    const QuantGrid grid = {rounded.scales, {}, group, int_range(4, true, true)};
    const GptqResult result = gptq(problem.layer, grid);
    EXPECT_TRUE(result.solved);
    EXPECT_EQ(result.values, rounded.values);
  }
}

TEST(Gptq, BeatsRoundingOnCorrelatedInputs) {
  const Problem problem(200, 150, correlated_gram(200, 2), 3);
  for (const int bits : {2, 3, 4, 8}) {
    for (const int64_t group : {200, 64}) {
      const QuantizedWeights rounded = nearest(problem, bits, group);
      const QuantGrid grid = {rounded.scales, {}, group, int_range(bits, true, true)};
      const double plain =
          output_error(problem.layer, decoded(problem, rounded, rounded.values, group));
      for (const bool ordered : {true, false}) {
        SolverOptions options;
        options.order_by_energy = ordered;
        const std::vector<int8_t> values = gptq(problem.layer, grid, options).values;
        const auto [low, high] = std::minmax_element(values.begin(), values.end());
        EXPECT_GE(*low, grid.range.min);
        EXPECT_LE(*high, grid.range.max);
        const double solved = output_error(problem.layer, decoded(problem, rounded, values, group));
        EXPECT_LT(solved, 0.6 * plain) << bits << " bits, ordered " << ordered;
      }
    }
  }
}

TEST(Gptq, UnusedInputsAreRoundedAndBadMomentsAreSurvived) {
  Problem problem(40, 10, correlated_gram(40, 4), 5);
  for (int64_t i = 0; i < 40; ++i) {
    problem.gram[static_cast<size_t>(7 * 40 + i)] = 0;
    problem.gram[static_cast<size_t>(i * 40 + 7)] = 0;
  }
  const QuantizedWeights rounded = nearest(problem, 4, 40);
  const QuantGrid grid = {rounded.scales, {}, 0, int_range(4, true, true)};
  const GptqResult result = gptq(problem.layer, grid);
  EXPECT_TRUE(result.solved);
  for (size_t j = 0; j < 10; ++j) EXPECT_EQ(result.values[70 + j], rounded.values[70 + j]);

  std::fill(problem.gram.begin(), problem.gram.end(), 1.0);  // rank one: needs its damping
  EXPECT_TRUE(gptq(problem.layer, grid).solved);
  std::fill(problem.gram.begin(), problem.gram.end(), 0.0);
  EXPECT_EQ(gptq(problem.layer, grid).values, rounded.values);
  problem.gram[3] = problem.gram[0] = std::numeric_limits<double>::quiet_NaN();
  const GptqResult fallback = gptq(problem.layer, grid);
  EXPECT_FALSE(fallback.solved);
  EXPECT_EQ(fallback.values, rounded.values);
}

TEST(Gptq, ThreadsDoNotChangeBits) {
  const Problem problem(200, 300, correlated_gram(200, 6), 7);
  const QuantizedWeights rounded = nearest(problem, 4, 200);
  const QuantGrid grid = {rounded.scales, {}, 0, int_range(4, true, true)};
  set_thread_count(1);
  const GptqResult one = gptq(problem.layer, grid);
  set_thread_count(4);
  const GptqResult four = gptq(problem.layer, grid);
  set_thread_count(0);
  EXPECT_EQ(one.values, four.values);
}

TEST(SparseGpt, IdentityIsMagnitudeWithoutUpdate) {
  const Problem problem(100, 30, identity(100), 8);
  std::vector<float> expected = problem.weights;
  const std::vector<float> scores = magnitude_scores(problem.weights);
  const ScoredLayer scored{scores};
  apply_mask(prune_lowest({&scored, 1}, prune_count(3000, 0.7))[0], expected);
  const SparseResult result = sparse_gpt(problem.layer, 0.7);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_FLOAT_EQ(result.weights[i], expected[i]);
  }
}

TEST(SparseGpt, ExactCountAndLessErrorThanMagnitude) {
  const Problem problem(300, 70, correlated_gram(300, 9), 10);
  for (const double sparsity : {0.0, 0.5, 0.8, 0.95, 1.0}) {
    const int64_t wanted = prune_count(300 * 70, sparsity);
    const SparseResult result = sparse_gpt(problem.layer, sparsity);
    EXPECT_EQ(count_zeros(result.weights), wanted);
    std::vector<float> plain = problem.weights;
    const std::vector<float> scores = magnitude_scores(problem.weights);
    const ScoredLayer scored{scores};
    apply_mask(prune_lowest({&scored, 1}, wanted)[0], plain);
    if (sparsity > 0 && sparsity < 1) {
      EXPECT_LT(output_error(problem.layer, result.weights),
                0.6 * output_error(problem.layer, plain));
    }
  }
}

TEST(SparseGpt, OneWeightIsTheClosedForm) {
  // Removing weight p alone costs w_p^2 / [H^-1]_pp; the first one eliminated can be checked by
  // hand.
  const double a = 2.0;
  const double b = 0.8;
  const double c = 1.0;
  Problem problem(2, 1, {a, b, b, c}, 11);
  problem.weights[0] = 0.01F;
  problem.weights[1] = 5.0F;
  SolverOptions options;
  options.damping = 0;
  const SparseResult result = sparse_gpt(problem.layer, 0.5, options);
  EXPECT_EQ(result.weights[0], 0.0F);
  EXPECT_NEAR(result.weights[1], 5.0 + 0.01 * b / c, 1e-6);
  const double inverse = c / (a * c - b * b);
  EXPECT_NEAR(output_error(problem.layer, result.weights), 0.01 * 0.01 / inverse, 1e-9);
}

TEST(SparseGpt, NOfMHoldsAndBeatsMagnitude) {
  const Problem problem(130, 20, correlated_gram(130, 12), 13);
  for (const auto& [n, m] : {std::pair{2, 4}, {4, 8}, {1, 4}, {2, 3}}) {
    const SparseResult result = sparse_gpt_n_of_m(problem.layer, n, m);
    for (int64_t j = 0; j < 20; ++j) {
      for (int64_t first = 0; first + m <= 130; first += m) {
        int kept = 0;
        for (int64_t k = first; k < first + m; ++k) {
          kept += result.weights[static_cast<size_t>(k * 20 + j)] != 0.0F ? 1 : 0;
        }
        EXPECT_EQ(kept, n);
      }
    }
    std::vector<float> plain = problem.weights;
    apply_mask(
        n_of_m_mask(magnitude_scores(problem.weights), ReductionLayout::matrix(130, 20), n, m),
        plain);
    EXPECT_LT(output_error(problem.layer, result.weights),
              0.7 * output_error(problem.layer, plain));
  }
}

}  // namespace
}  // namespace mcompress::numerics
