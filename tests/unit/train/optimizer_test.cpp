// SPDX-License-Identifier: Apache-2.0
// Steps worked out by hand, and schedules at their ends.
#include "train/optimizer.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace mcompress::train {
namespace {

at::Tensor numbers(std::vector<double> values) { return at::tensor(values, at::kDouble); }

OptimizerOptions options(OptimizerKind kind) {
  OptimizerOptions result;
  result.kind = kind;
  return result;
}

TEST(Optimizer, SgdKeepsVelocity) {
  auto o = options(OptimizerKind::kSgd);
  o.momentum = 0.5;
  o.weight_decay = 0.1;
  const at::Tensor leaf = numbers({2});
  Optimizer sgd(o, {leaf}, {true});
  const std::vector<at::Tensor> gradient = {numbers({1})};
  sgd.step(gradient, 0.1);  // velocity 1 + 0.1 * 2 = 1.2
  EXPECT_DOUBLE_EQ(leaf[0].item<double>(), 1.88);
  sgd.step(gradient, 0.1);  // velocity 0.6 + 1 + 0.188 = 1.788
  EXPECT_DOUBLE_EQ(leaf[0].item<double>(), 1.88 - 0.1788);
}

TEST(Optimizer, AdamCorrectsItsMoments) {
  const at::Tensor leaf = numbers({1, 1});
  Optimizer adam(options(OptimizerKind::kAdam), {leaf}, {true});
  const double b1 = 0.9, b2 = 0.999;
  adam.step({{numbers({0.5, -8})}}, 0.1);
  // The first step is the rate against the gradient's sign, whatever its size.
  EXPECT_NEAR(leaf[0].item<double>(), 0.9, 1e-7);
  EXPECT_NEAR(leaf[1].item<double>(), 1.1, 1e-7);
  const double before = leaf[0].item<double>();
  adam.step({{numbers({-0.25, 0})}}, 0.1);
  const double m = b1 * (1 - b1) * 0.5 + (1 - b1) * -0.25;
  const double v = b2 * (1 - b2) * 0.25 + (1 - b2) * 0.0625;
  const double step = 0.1 * (m / (1 - b1 * b1)) / (std::sqrt(v / (1 - b2 * b2)) + 1e-8);
  EXPECT_NEAR(leaf[0].item<double>(), before - step, 1e-12);
}

TEST(Optimizer, DecayIsDecoupledInAdamWOnly) {
  for (const bool decoupled : {false, true}) {
    auto o = options(decoupled ? OptimizerKind::kAdamW : OptimizerKind::kAdam);
    o.weight_decay = 0.5;
    const at::Tensor leaf = numbers({4}), bias = numbers({4});
    Optimizer adam(o, {leaf, bias}, {true, false});
    adam.step({{numbers({0}), numbers({0})}}, 0.1);
    // Adam: decay is the only gradient, so that the step is the rate.
    EXPECT_NEAR(leaf[0].item<double>(), decoupled ? 4 * (1 - 0.1 * 0.5) : 3.9, 1e-6);
    EXPECT_DOUBLE_EQ(bias[0].item<double>(), 4);
  }
}

TEST(Optimizer, ClipsByTheCommonNorm) {
  auto o = options(OptimizerKind::kSgd);
  o.momentum = 0;
  o.clip_norm = 1;
  const at::Tensor a = numbers({0}), b = numbers({0});
  Optimizer sgd(o, {a, b}, {false, false});
  EXPECT_DOUBLE_EQ(sgd.step({{numbers({3}), numbers({4})}}, 1), 5);
  EXPECT_DOUBLE_EQ(a[0].item<double>(), -0.6);
  EXPECT_DOUBLE_EQ(b[0].item<double>(), -0.8);
  // A smaller gradient stays as it is, an undefined one is 0.
  sgd.step({{numbers({0.5}), at::Tensor()}}, 1);
  EXPECT_DOUBLE_EQ(a[0].item<double>(), -1.1);
  EXPECT_DOUBLE_EQ(b[0].item<double>(), -0.8);
}

TEST(Optimizer, MovesNothingByWhatIsNotFinite) {
  const at::Tensor leaf = numbers({1, 2});
  Optimizer adam(options(OptimizerKind::kAdam), {leaf}, {true});
  EXPECT_FALSE(std::isfinite(adam.step({{numbers({0, NAN})}}, 0.1)));
  EXPECT_TRUE(at::equal(leaf, numbers({1, 2})));
  EXPECT_EQ(adam.steps, 0U);
}

TEST(Optimizer, FloatsAndLongLeaves) {
  const at::Tensor leaf = at::ones({100000});
  Optimizer adam(options(OptimizerKind::kAdam), {leaf}, {false});
  adam.step({{at::full({100000}, 2.0F)}}, 0.01);
  EXPECT_TRUE(at::allclose(leaf, at::full({100000}, 0.99F)));
}

TEST(LearningRate, Schedules) {
  RateOptions o;
  o.schedule = RateSchedule::kConstant;
  EXPECT_DOUBLE_EQ(learning_rate(o, 2, 99, 100), 2);
  o.schedule = RateSchedule::kCosine;
  o.last = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate(o, 2, 0, 100), 2);
  EXPECT_DOUBLE_EQ(learning_rate(o, 2, 50, 100), 2 * (0.1 + 0.9 / 2));
  EXPECT_DOUBLE_EQ(learning_rate(o, 2, 100, 100), 0.2);
  o.schedule = RateSchedule::kLinear;
  EXPECT_DOUBLE_EQ(learning_rate(o, 2, 50, 100), 2 * 0.55);
  o.schedule = RateSchedule::kStep;
  o.step_every = 0.3;
  o.step_factor = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate(o, 2, 29, 100), 2);
  EXPECT_DOUBLE_EQ(learning_rate(o, 2, 30, 100), 0.2);
  EXPECT_NEAR(learning_rate(o, 2, 90, 100), 0.002, 1e-15);
}

TEST(LearningRate, WarmsUp) {
  RateOptions o;
  o.warmup = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 0, 100), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 9, 100), 1);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 10, 100), 1);
  EXPECT_NEAR(learning_rate(o, 1, 55, 100), 0.5, 1e-12);
}

}  // namespace
}  // namespace mcompress::train
