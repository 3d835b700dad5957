// SPDX-License-Identifier: Apache-2.0
#include "numerics/obs_solver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "numerics/moments.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

struct Problem {
  std::vector<float> weights;
  std::vector<double> gram;
  LayerProblem layer;

  Problem(int64_t inputs, int64_t outputs, bool correlated, uint32_t seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal(0.0F, 1.0F);
    weights.resize(static_cast<size_t>(inputs * outputs));
    for (float& w : weights) w = 0.1F * normal(engine);
    std::vector<float> rows(static_cast<size_t>(inputs * 500));
    float carried = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      carried = 0.9F * carried + 0.4F * normal(engine);
      rows[i] = carried * (i % 5 == 0 ? 3.0F : 1.0F);
    }
    InputMoments moments(inputs);
    moments.add(rows);
    gram = moments.gram();
    if (!correlated) {
      for (int64_t i = 0; i < inputs; ++i) {
        for (int64_t j = 0; j < inputs; ++j) gram[static_cast<size_t>(i * inputs + j)] = i == j;
      }
    }
    layer = {weights, inputs, outputs, gram};
  }
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;
  std::span<const LayerProblem> groups() const { return {&layer, 1}; }
};

TEST(ObsLayer, UncorrelatedInputsMeanMagnitudeWithoutUpdate) {
  const Problem problem(20, 9, false, 1);
  ObsLayer solver(problem.groups());
  solver.prune(sparsity_rule(0.4));
  std::vector<float> expected = problem.weights;
  const std::vector<float> scores = magnitude_scores(expected);
  const ScoredLayer scored{scores};
  apply_mask(prune_lowest({&scored, 1}, 72)[0], expected);
  const std::vector<float> changed = solver.weights();
  EXPECT_EQ(count_zeros(changed), 72);
  for (size_t i = 0; i < changed.size(); ++i) {
    EXPECT_NEAR(changed[i], changed[i] != 0 ? problem.weights[i] : 0, 1e-6);
  }
  EXPECT_LT(output_error(problem.layer, changed), 1.01 * output_error(problem.layer, expected));
}

// min over w2 of [w1, w2 - v2] H [..]: the closed form of the optimal brain surgeon.
TEST(ObsLayer, OneWeightPrunedIsTheClosedForm) {
  const std::vector<float> weights{0.1F, 1.0F};
  const std::vector<double> gram{2, 1, 1, 3};
  const LayerProblem layer{weights, 2, 1, gram};
  ObsLayer solver({&layer, 1}, {.damping = 0});
  solver.prune(sparsity_rule(0.5));
  const std::vector<float> changed = solver.weights();
  EXPECT_EQ(changed[0], 0);
  EXPECT_NEAR(changed[1], 1 + 0.1 / 3, 1e-6);
  // w^2 / [H^-1]_11, [H^-1]_11 = 3 / 5.
  EXPECT_NEAR(solver.error(), 0.01 * 5 / 3, 1e-7);
}

TEST(ObsLayer, BeatsSparseGptAndCountsExactly) {
  const Problem problem(96, 40, true, 2);
  for (const double sparsity : {0.5, 0.8}) {
    ObsLayer solver(problem.groups(), {.damping = 0.01});
    solver.prune(sparsity_rule(sparsity));
    const std::vector<float> changed = solver.weights();
    EXPECT_EQ(count_zeros(changed), prune_count(96 * 40, sparsity));
    const double other = output_error(problem.layer, sparse_gpt(problem.layer, sparsity).weights);
    EXPECT_LT(output_error(problem.layer, changed), 0.75 * other) << sparsity;
  }
}

TEST(ObsLayer, NofMHoldsInEveryGroup) {
  const Problem problem(40, 7, true, 3);
  ObsLayer solver(problem.groups());
  solver.prune(n_of_m_rule(40, 7, 1, 2, 4));
  const std::vector<float> changed = solver.weights();
  for (int64_t first = 0; first < 40; first += 4) {
    for (int64_t j = 0; j < 7; ++j) {
      int64_t kept = 0;
      for (int64_t i = first; i < first + 4; ++i) kept += changed[static_cast<size_t>(i * 7 + j)] != 0;
      EXPECT_LE(kept, 2);
    }
  }
  EXPECT_LT(output_error(problem.layer, changed),
            output_error(problem.layer, sparse_gpt_n_of_m(problem.layer, 2, 4).weights));
}

TEST(ObsLayer, RoundsToTheGridAndRefitsIt) {
  const Problem problem(64, 30, true, 4);
  ObsLayer solver(problem.groups());
  solver.prune(sparsity_rule(0.5));
  SharedGrid grid;
  grid.values = {-0.4F, -0.02F, 0.02F, 0.4F};
  ObsLayer fixed = solver;
  grid.refit_values = false;
  EXPECT_EQ(fixed.round(grid).values, grid.values);
  grid.refit_values = true;
  const SharedGrid refitted = solver.round(grid);
  ASSERT_EQ(refitted.values.size(), 4U);
  EXPECT_LT(solver.error(), fixed.error());
  std::set<float> allowed(refitted.values.begin(), refitted.values.end());
  allowed.insert(0);
  for (const float w : solver.weights()) EXPECT_TRUE(allowed.count(w)) << w;
  EXPECT_GE(count_zeros(solver.weights()), 64 * 30 / 2);
  // What it says is what it did.
  EXPECT_NEAR(solver.error(), output_error(problem.layer, solver.weights()), 0.25 * solver.error());
}

TEST(ObsLayer, WholeStepsAndScalesAreKept) {
  const Problem problem(48, 20, true, 5);
  ObsLayer solver(problem.groups());
  SharedGrid grid;
  grid.values = {-2, -1, -0.4F, 0.4F, 1, 2};
  grid.scales.assign(20, 0.1F);
  grid.refit_scales = true;
  grid.whole_steps = 127;
  const SharedGrid end = solver.round(grid);
  for (const float v : end.values) EXPECT_EQ(v, std::nearbyint(v));
  EXPECT_EQ(*std::max_element(end.values.begin(), end.values.end(),
                              [](float a, float b) { return std::abs(a) < std::abs(b); }),
            std::copysign(127.0F, end.values.back()));
  const std::vector<float> changed = solver.weights();
  for (size_t i = 0; i < changed.size(); ++i) {
    const double code = changed[i] / end.scales[i % 20];
    EXPECT_NEAR(code, std::nearbyint(code), 1e-4);
  }
}

TEST(ObsLayer, SameResultWithAnyNumberOfThreads) {
  const Problem problem(80, 200, true, 6);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 4}) {
    set_thread_count(threads);
    ObsLayer solver(problem.groups());
    solver.prune(sparsity_rule(0.7));
    SharedGrid grid;
    grid.values = {-0.2F, -0.1F, 0.1F, 0.2F};
    solver.round(grid);
    results.push_back(solver.weights());
  }
  set_thread_count(0);
  EXPECT_EQ(results[0], results[1]);
}

TEST(ObsLayer, BearsConstantAndDeadInputs) {
  Problem problem(16, 4, true, 7);
  std::fill(problem.gram.begin(), problem.gram.end(), 0.0);
  ObsLayer dead(problem.groups());
  ASSERT_TRUE(dead.usable());
  dead.prune(sparsity_rule(0.5));
  EXPECT_EQ(count_zeros(dead.weights()), 32);
  problem.gram[3] = std::numeric_limits<double>::quiet_NaN();
  problem.gram[0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(ObsLayer(problem.groups()).usable());
  std::fill(problem.gram.begin(), problem.gram.end(), 1.0);
  std::fill(problem.weights.begin(), problem.weights.end(), 0.0F);
  ObsLayer zero(problem.groups());
  zero.prune(sparsity_rule(0.5));
  SharedGrid grid;
  grid.values = {1};
  zero.round(grid);
  EXPECT_EQ(count_zeros(zero.weights()), 64);
}

}  // namespace
}  // namespace mcompress::numerics
