// SPDX-License-Identifier: Apache-2.0
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include "tests/support/model_text.h"
#include "train/program.h"

namespace mcompress::train {
namespace {

const char* const kModel = R"(g (float[N] x) => (float[N] y) <float r = {0.25}> {
  y = Dropout(x, r)
})";

at::Tensor run(const at::Tensor& x, uint64_t seed, bool training = true) {
  const Model model = test::parse_model(kModel);
  Execution execution;
  execution.training = training;
  if (training) execution.generator = at::detail::createCPUGenerator(seed);
  return Program(model, {"x"}, {"y"}).run({{"x", x}}, execution).at(0);
}

TEST(Dropout, DropsItsShareAndKeepsTheMean) {
  const at::Tensor y = run(at::ones({40000}), 1);
  EXPECT_NEAR((y == 0).to(at::kDouble).mean().item<double>(), 0.25, 0.01);
  EXPECT_NEAR(y.max().item<double>(), 1 / 0.75, 1e-6);
  EXPECT_NEAR(y.mean().item<double>(), 1, 0.02);
}

TEST(Dropout, IsWhatItsGeneratorSays) {
  const at::Tensor x = at::ones({100});
  EXPECT_TRUE(at::equal(run(x, 7), run(x, 7)));
  EXPECT_FALSE(at::equal(run(x, 7), run(x, 8)));
}

TEST(Dropout, PassesTheGradientOfWhatItKept) {
  const at::Tensor x = at::arange(1, 101, at::kFloat).requires_grad_();
  const at::Tensor y = run(x, 3);
  const at::Tensor gradient = torch::autograd::grad({y.sum()}, {x}).at(0);
  EXPECT_TRUE(at::allclose(gradient * x.detach(), y.detach()));
}

TEST(Dropout, DoesNothingOutsideOfTraining) {
  const at::Tensor x = at::arange(100, at::kFloat);
  EXPECT_TRUE(at::equal(run(x, 1, false), x));
}

}  // namespace
}  // namespace mcompress::train
