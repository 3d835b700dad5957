// SPDX-License-Identifier: Apache-2.0
#include "train/gradual_pruning.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "mcompress/error.h"
#include "tests/support/model_text.h"

namespace mcompress::train {
namespace {

using Curve = GradualPruning::Curve;

/// Parameters of one weight each: `a` holds 1..10, `b` 11..20, in one row.
ParameterSet two_weights() {
  ParameterSet set;
  set.parameters.push_back(
      make_dense_parameter("a", at::arange(1, 11, at::kFloat).view({2, 5}), false));
  set.parameters.push_back(
      make_dense_parameter("b", at::arange(11, 21, at::kFloat).view({2, 5}), false));
  return set;
}

int64_t zeros(const ParameterSet& set, size_t index) {
  Parameter& parameter = *set.parameters[index];
  return parameter.value(parameter.leaves()).eq(0).sum(at::kLong).item<int64_t>();
}

GradualPruning plan(double to) {
  GradualPruning result;
  result.weights = {"a", "b"};
  result.to = to;
  result.until = 0.5;
  result.every = 10;
  return result;
}

TEST(GradualPruning, CurvesBeginAndEndExactly) {
  for (const Curve curve : {Curve::kCubic, Curve::kLinear, Curve::kExponential}) {
    EXPECT_DOUBLE_EQ(sparsity_at(curve, 0.2, 0.9, 0, 60), 0.2);
    EXPECT_EQ(sparsity_at(curve, 0.2, 0.9, 60, 60), 0.9);
    EXPECT_EQ(sparsity_at(curve, 0.2, 1, 99, 60), 1);
    double before = 0;
    for (size_t step = 0; step <= 60; ++step) {
      const double now = sparsity_at(curve, 0.2, 0.9, step, 60);
      EXPECT_GT(now, before);
      before = now;
    }
  }
  EXPECT_DOUBLE_EQ(sparsity_at(Curve::kCubic, 0, 0.8, 30, 60), 0.8 - 0.8 / 8);
  EXPECT_DOUBLE_EQ(sparsity_at(Curve::kLinear, 0, 0.8, 30, 60), 0.4);
  EXPECT_NEAR(sparsity_at(Curve::kExponential, 0, 0.99, 30, 60), 0.9, 1e-12);
}

TEST(GradualPruning, MasksAreManyHoweverFewTheSteps) {
  EXPECT_EQ(mask_interval(20), 1);
  EXPECT_EQ(mask_interval(600), 12);
  EXPECT_EQ(mask_interval(1000), 20);
  EXPECT_EQ(mask_interval(100000), 20);
  ParameterSet set = two_weights();
  GradualPruning asked = plan(0.8);
  asked.every = 0;
  asked.curve = Curve::kLinear;
  GradualPruner pruner(asked, set, 32);  // until step 16
  EXPECT_EQ(pruner.masks(), 16U);
  int64_t before = 0;
  for (const size_t step : {4, 8, 12, 16}) {
    pruner.update(step);
    EXPECT_EQ(zeros(set, 0), before += 2);
    EXPECT_NEAR(pruner.reached(), 0.05 * static_cast<double>(step), 1e-12);
  }
  EXPECT_DOUBLE_EQ(pruner.wanted(), 0.8);
}

TEST(GradualPruning, LocalCountsAreExactInEachWeight) {
  ParameterSet set = two_weights();
  GradualPruner pruner(plan(0.7), set, 100);
  pruner.update(0);
  EXPECT_EQ(zeros(set, 0), 0);
  for (size_t step = 1; step <= 50; ++step) pruner.update(step);
  EXPECT_EQ(zeros(set, 0), 7);
  EXPECT_EQ(zeros(set, 1), 7);
  EXPECT_TRUE(pruner.finished(50));
  EXPECT_EQ(set.parameters[0]->value(set.parameters[0]->leaves())[1][4].item<float>(), 10);
}

TEST(GradualPruning, NoLayerIsEmptied) {
  ParameterSet set = two_weights();
  GradualPruner pruner(plan(0.99), set, 100);
  pruner.update(50);
  EXPECT_EQ(zeros(set, 0), 9);
  EXPECT_EQ(zeros(set, 1), 9);
}

TEST(GradualPruning, GlobalHasOneThresholdButLeavesOneOfEach) {
  ParameterSet set = two_weights();
  auto options = plan(0.6);
  options.scope = GradualPruning::Scope::kGlobal;
  GradualPruner pruner(options, set, 100);
  pruner.update(50);
  EXPECT_EQ(zeros(set, 0), 9);
  EXPECT_EQ(zeros(set, 1), 3);
}

TEST(GradualPruning, EachWeightMayHaveItsOwnShare) {
  ParameterSet set = two_weights();
  auto options = plan(0.6);
  options.per_weight = {0.1, 0.9};
  GradualPruner pruner(options, set, 100);
  pruner.update(50);
  EXPECT_EQ(zeros(set, 0), 1);
  EXPECT_EQ(zeros(set, 1), 9);
}

TEST(GradualPruning, ZerosOfTheStartStay) {
  ParameterSet set = two_weights();
  set.parameters[0]->leaves()[0].view({-1})[9] = 0;
  GradualPruner pruner(plan(0.3), set, 100);
  pruner.update(0);
  EXPECT_EQ(zeros(set, 0), 1);
  pruner.update(50);
  EXPECT_EQ(zeros(set, 0), 3);
  EXPECT_EQ(set.parameters[0]->leaves()[0][1][4].item<float>(), 0);
}

TEST(GradualPruning, MovementPrunesWhatShrinksAndLetsItBack) {
  ParameterSet set = two_weights();
  auto options = plan(0.2);
  options.score = PruneScore::kMovement;
  options.weights = {"a"};
  options.from = 0.2;
  GradualPruner pruner(options, set, 100);
  // -g w is lowest at the end of the row: those weights are on their way to zero.
  at::Tensor gradient = at::zeros({2, 5});
  gradient[1][3] = gradient[1][4] = 1;
  pruner.observe({{gradient, at::Tensor()}}, 0.1);
  pruner.update(10);
  const auto value = [&] {
    return set.parameters[0]->value(set.parameters[0]->leaves()).view({-1});
  };
  EXPECT_EQ(value()[9].item<float>(), 0);
  EXPECT_EQ(value()[8].item<float>(), 0);
  // What is masked keeps its number; its gradient now wants it to grow.
  gradient.zero_();
  gradient[1][4] = -5;
  gradient[0][0] = 100;
  pruner.observe({{gradient, at::Tensor()}}, 0.1);
  pruner.update(20);
  EXPECT_EQ(value()[9].item<float>(), 10);
  EXPECT_EQ(value()[0].item<float>(), 0);
  pruner.update(50);
  EXPECT_EQ(zeros(set, 0), 2);
  EXPECT_EQ(set.parameters[0]->leaves()[0].view({-1})[0].item<float>(), 0);
}

TEST(GradualPruning, LargestGradientsComeBack) {
  ParameterSet set = two_weights();
  auto options = plan(0.6);
  options.weights = {"a"};
  options.from = 0.5;
  options.regrow = 0.2;
  GradualPruner pruner(options, set, 100);
  at::Tensor gradient = at::zeros({2, 5});
  gradient[0][2] = -3;
  pruner.observe({{gradient, at::Tensor()}}, 0.1);
  pruner.update(0);  // six are pruned, the third comes back
  EXPECT_EQ(set.parameters[0]->mask().eq(0).sum(at::kLong).item<int64_t>(), 5);
  EXPECT_EQ(set.parameters[0]->mask()[0][2].item<float>(), 1);
  pruner.update(50);  // none at the end
  EXPECT_EQ(zeros(set, 0), 6);
}

TEST(GradualPruning, NamesWhatIsNotTrained) {
  ParameterSet set = two_weights();
  auto options = plan(0.6);
  options.weights = {"c"};
  EXPECT_THROW(GradualPruner(options, set, 100), Error);
}

}  // namespace
}  // namespace mcompress::train
