// SPDX-License-Identifier: Apache-2.0
#include "train/parameters.h"

#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "tests/support/model_text.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

using test::parse_model;

/// Value of a parameter and the gradient that `sent` sends back to its leaf.
std::pair<at::Tensor, at::Tensor> through(Parameter& parameter, const at::Tensor& sent) {
  const at::Tensor leaf = parameter.leaves()[0].detach().requires_grad_(true);
  const std::vector<at::Tensor> leaves = {leaf};
  const at::Tensor value = parameter.value(leaves);
  return {value.detach(), torch::autograd::grad({value}, {leaf}, {sent})[0]};
}

at::Tensor stored(const Model& model, const std::string& name) {
  return to_torch(*model.graph().find(name).constant());
}

/// y = x W + b, W [4, 2].
Model layer(const std::string& weight, const std::string& type = "float") {
  return parse_model("test (" + type + "[n,4] x) => (" + type + "[n,2] y) <" + type +
                     "[4,2] w = {" + weight + "}, " + type +
                     "[2] b = {0, 0}> { m = MatMul(x, w)  y = Add(m, b) }");
}

TEST(Parameters, MaskedZerosGetNoGradient) {
  auto parameter = make_dense_parameter("w", at::tensor({1.0F, 0.0F, -0.0F, 2.0F}), true);
  const auto [value, gradient] = through(*parameter, at::tensor({1.0F, 10.0F, 100.0F, 1000.0F}));
  EXPECT_TRUE(at::equal(value, at::tensor({1.0F, 0.0F, 0.0F, 2.0F})));
  EXPECT_TRUE(at::equal(gradient, at::tensor({1.0F, 0.0F, 0.0F, 1000.0F})));
  EXPECT_EQ(parameter->count(), 2U);
  parameter->leaves()[0].add_(1);
  parameter->project();
  EXPECT_TRUE(at::equal(parameter->leaves()[0], at::tensor({2.0F, 0.0F, 0.0F, 3.0F})));
}

TEST(Parameters, SharedValuesGetTheSumOfTheirMembers) {
  const at::Tensor weight = at::tensor({0.5F, 0.0F, -1.0F, 0.5F, -0.0F, 0.5F}).view({2, 3});
  auto parameter = make_shared_parameter("w", weight);
  EXPECT_TRUE(at::equal(parameter->leaves()[0], at::tensor({-1.0F, 0.5F})));
  const at::Tensor sent = at::tensor({1.0F, 2.0F, 4.0F, 8.0F, 16.0F, 32.0F}).view({2, 3});
  const auto [value, gradient] = through(*parameter, sent);
  EXPECT_TRUE(at::equal(value, weight));
  EXPECT_TRUE(at::equal(gradient, at::tensor({4.0F, 41.0F})));
  parameter->leaves()[0].copy_(at::tensor({3.0F, 7.0F}));
  EXPECT_TRUE(at::equal(parameter->value(parameter->leaves()),
                        at::tensor({7.0F, 0.0F, 3.0F, 7.0F, 0.0F, 7.0F}).view({2, 3})));
}

TEST(Parameters, SnapshotsComeBack) {
  auto parameter = make_dense_parameter("w", at::tensor({1.0F, 2.0F}), false);
  const auto before = parameter->snapshot();
  parameter->set_mask(at::tensor({0.0F, 1.0F}), false);
  parameter->leaves()[0].add_(5);
  parameter->restore(before);
  EXPECT_TRUE(at::equal(parameter->value(parameter->leaves()), at::tensor({1.0F, 2.0F})));
  EXPECT_FALSE(parameter->mask().defined());
}

TEST(Parameters, KindFollowsWhatIsRecorded) {
  Model model = layer("1, 0, 2, 2, 0, 3, 1, 1");
  TrainingTask task;
  const auto count = [&](const char* name) { return make_parameters(model, {name}, task).count(); };
  task.keep_structure = false;
  EXPECT_EQ(count("w"), 8U);
  task.keep_structure = true;
  EXPECT_EQ(count("w"), 8U);  // a quarter zeros tells nothing
  model.state().constraints.emplace("w", TensorConstraint{ConstraintKind::kMask, "prune"});
  EXPECT_EQ(count("w"), 6U);
  model.state().constraints.emplace("w", TensorConstraint{ConstraintKind::kCodebook, "share"});
  EXPECT_EQ(count("w"), 3U);
  EXPECT_EQ(count("b"), 2U);  // zeros of a bias are no structure
}

TEST(Parameters, ForeignWeightsShowTheirStructure) {
  const Model sparse = layer("1, 0, 2, 0, 0, 3, 1, 1");
  const Model shared = layer("1, 1, 1, 1, 1, 1, 1, 1");
  const TrainingTask task;
  EXPECT_EQ(make_parameters(sparse, {"w"}, task).count(), 5U);
  EXPECT_EQ(make_parameters(shared, {"w"}, task).count(), 1U);
}

TEST(Parameters, WhatForbidsIsNoWeight) {
  const Model model = layer("0, -10000, 0, 0, 0, 0, 0, 0");
  EXPECT_EQ(make_parameters(model, {"w", "nothing"}, {}).count(), 0U);
}

TEST(Parameters, TransposedCopyOfATiedWeightFollows) {
  Model model = parse_model(
      "test (float[n,2] x) => (float[n,2] y) <float[2,3] a = {1, 2, 3, 4, 5, 6}, "
      "float[3,2] b = {1, 4, 2, 5, 3, 6}> { h = MatMul(x, a)  y = MatMul(h, b) }");
  for (const char* name : {"a", "b"}) {
    model.state().constraints.emplace(name, TensorConstraint{ConstraintKind::kTied, "tie"});
  }
  ParameterSet set = make_parameters(model, {"a", "b"}, {});
  ASSERT_EQ(set.parameters.size(), 1U);
  ASSERT_EQ(set.copies.size(), 1U);
  EXPECT_EQ(set.names(), (std::vector<std::string>{"a", "b"}));
  set.parameters[0]->leaves()[0].mul_(2);
  set.store(model);
  EXPECT_TRUE(at::equal(stored(model, "b"), stored(model, "a").t()));
  EXPECT_EQ(stored(model, "a")[1][2].item<float>(), 12);
}

TEST(Parameters, HalfIsTrainedInFloatAndRoundedWhenStored) {
  Model model = parse_model(
      "# initializer float16 w [2,1] 15360 15360\n"
      "test (float16[n,2] x) => (float16[n,1] y) { y = MatMul(x, w) }");
  ParameterSet set = make_parameters(model, {"w"}, {});
  ASSERT_EQ(set.parameters.size(), 1U);
  at::Tensor& leaf = set.parameters[0]->leaves()[0];
  EXPECT_EQ(leaf.scalar_type(), at::kFloat);
  leaf.add_(1e-5F);
  EXPECT_GT(leaf[0][0].item<float>(), 1.0F);
  set.store(model);
  EXPECT_EQ(model.graph().find("w").constant_type(), DataType::kFloat16);
  EXPECT_EQ(stored(model, "w").to(at::kFloat)[0][0].item<float>(), 1.0F);
}

}  // namespace
}  // namespace mcompress::train
