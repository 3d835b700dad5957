// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

Model with_weight(const std::string& text, const Shape& shape, int64_t opset = 17) {
  Model model = parse_model(text, opset);
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = std::sin(static_cast<float>(i * i % 977)) * (i % 5 == 0 ? 1.0F : 0.3F);
  }
  model.graph().set_constant(model.graph().find("W"), Tensor::from(shape, values));
  return model;
}

/// Operators of the runtime's optimized graph, sorted.
std::vector<std::string> kernels(const Model& model) {
  std::vector<std::string> ops;
  for (const auto& node : runtime()->optimized_nodes(model)) {
    if (node.op.rfind("Reorder", 0) != 0) ops.push_back(node.op);
  }
  std::sort(ops.begin(), ops.end());
  return ops;
}

struct Case {
  std::string text;
  Shape shape;
  std::vector<std::string> kernels;
};

const char* const kProduct =
    "g (float[1,512] x) => (float[1,256] y) <float W = {1.0}> { y = MatMul(x, W) }";

TEST(QuantizeWeights, RunsAsTheKernelThatIsFastest) {
  const std::vector<Case> cases{
      {kProduct, {512, 256}, {"MatMulNBits"}},
      {"g (float[1,512] x) => (float[1,256] y) <float W = {1.0}> { y = Gemm <transB = 1> (x, W) }",
       {256, 512},
       {"MatMulNBits"}},
      // Too many rows, too few weights, an activation that is fused first: float speed.
      {"g (float[16,512] x) => (float[16,256] y) <float W = {1.0}> { y = MatMul(x, W) }",
       {512, 256},
       {"MatMul"}},
      {"g (float[1,64] x) => (float[1,48] y) <float W = {1.0}> { y = MatMul(x, W) }",
       {64, 48},
       {"MatMul"}},
      {"g (float[1,512] x) => (float[1,256] y) <float W = {1.0}> { a = Gemm(x, W) y = Relu(a) }",
       {512, 256},
       {"FusedGemm"}},
      {"g (float[1,8,6,6] x) => (float[1,16,4,4] y) <float W = {1.0}> { y = Conv(x, W) }",
       {16, 8, 3, 3},
       {"Conv"}},
      {"g (float[1,8,6,6] x) => (float[1,16,8,8] y) <float W = {1.0}> { y = ConvTranspose(x, W) }",
       {8, 16, 3, 3},
       {"ConvTranspose"}},
      {"g (int64[3] x) => (float[3,48] y) <float W = {1.0}> { y = Gather(W, x) }",
       {64, 48},
       {"Gather"}},
      {"g (float[64,3] x) => (float[48,3] y) <float W = {1.0}> { y = MatMul(W, x) }",
       {48, 64},
       {"MatMul"}},
      {"g (float[3,64] x) => (float[3,48] y) <float W = {1.0}> { y = Gemm <alpha = 0.5> (x, W) }",
       {64, 48},
       {"Gemm"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    Model model = with_weight(c.text, c.shape);
    const Model before = model.clone();
    EXPECT_TRUE(run_pass("quantize-weights", model).changed);
    EXPECT_EQ(kernels(model), c.kernels);
    EXPECT_LT(model.file_size(), before.file_size() * 2 / 5);
    expect_close(before, model, {0.02, true});
    expect_close(before, model, {0.02, false});
  }
}

TEST(QuantizeWeights, GemmWithBiasIsOneKernel) {
  Model model = with_weight(
      "g (float[1,512] x) => (float[1,256] y) <float W = {1.0}, float b = {1.0}> "
      "{ y = Gemm <transB = 1> (x, W, b) }",
      {256, 512});
  model.graph().set_constant(model.graph().find("b"),
                             Tensor::from({256}, std::vector<float>(256, 0.5F)));
  const Model before = model.clone();
  EXPECT_TRUE(run_pass("quantize-weights", model).changed);
  EXPECT_EQ(kernels(model), (std::vector<std::string>{"MatMulNBits"}));
  expect_close(before, model, {0.02, true});
}

TEST(QuantizeWeights, MatMulWithAnAddIsOneKernel) {
  Model model = with_weight(
      "g (float[1,512] x) => (float[1,256] y) <float W = {1.0}, float b = {1.0}> "
      "{ a = MatMul(x, W) y = Add(a, b) }",
      {512, 256});
  model.graph().set_constant(model.graph().find("b"),
                             Tensor::from({256}, std::vector<float>(256, 0.5F)));
  EXPECT_TRUE(run_pass("quantize-weights", model).changed);
  EXPECT_EQ(kernels(model), (std::vector<std::string>{"MatMulNBits"}));
}

TEST(QuantizeWeights, OptionsChooseScalesAndForm) {
  const auto made = [](const Options& options) {
    Model model = with_weight(kProduct, {512, 256});
    run_pass("quantize-weights", model, options);
    return normal_form(model);
  };
  const std::string channel = made({}), tensor = made({{"granularity", "tensor"}});
  EXPECT_NE(channel, tensor);
  EXPECT_NE(channel, made({{"rounding", "mse"}}));
  EXPECT_NE(made({{"form", "scaled"}}).find("Mul"), std::string::npos);
  EXPECT_NE(channel.find("DequantizeLinear"), std::string::npos);

  Model conv = with_weight(
      "g (float[1,8,6,6] x) => (float[1,16,4,4] y) <float W = {1.0}> { y = Conv(x, W) }",
      {16, 8, 3, 3});
  const Model before = conv.clone();
  run_pass("quantize-weights", conv, {{"form", "dequantize"}});
  EXPECT_NE(normal_form(conv).find("DequantizeLinear"), std::string::npos);
  expect_close(before, conv, {0.02, true});
}

TEST(QuantizeWeights, RaisesTheOpsetOnlyWhereNeeded) {
  Model conv = with_weight(
      "g (float[1,8,6,6] x) => (float[1,16,4,4] y) <float W = {1.0}> { y = Conv(x, W) }",
      {16, 8, 3, 3}, 9);
  EXPECT_TRUE(run_pass("quantize-weights", conv).changed);
  EXPECT_EQ(conv.opset(), 9);
  Model product = with_weight(kProduct, {512, 256}, 9);
  EXPECT_TRUE(run_pass("quantize-weights", product).changed);
  EXPECT_EQ(product.opset(), 13);
}

TEST(QuantizeWeights, LeavesModelsAloneWhoseOpsetHasNoMulInTheRuntime) {
  Model old = with_weight(
      "g (float[1,8,6,6] x) => (float[1,16,4,4] y) <float W = {1.0}> { y = Conv(x, W) }",
      {16, 8, 3, 3}, 6);
  const Model before = old.clone();
  EXPECT_FALSE(run_pass("quantize-weights", old).changed);
  expect_close(before, old, {0.0, true});
}

TEST(QuantizeWeights, LayersThatShareAWeightShareItsIntegers) {
  Model model = with_weight(
      "g (float[3,64] x) => (float[3,48] y, float[3,48] z) <float W = {1.0}> "
      "{ y = MatMul(x, W) a = Relu(x) z = MatMul(a, W) }",
      {64, 48});
  const Model before = model.clone();
  EXPECT_TRUE(run_pass("quantize-weights", model).changed);
  EXPECT_LT(model.file_size(), before.file_size() / 2);
  EXPECT_EQ(kernels(model), (std::vector<std::string>{"MatMul", "MatMul", "Relu"}));
  // An embedding that is also the last layer: the readers want different forms and get one for
  // both.
  Model tied = with_weight(
      "g (int64[3] i, float[3,48] x) => (float[3,48] y, float[3,64] z) <float W = {1.0}> "
      "{ y = Gather(W, i) z = Gemm <transB = 1> (x, W) }",
      {64, 48});
  const Model tied_before = tied.clone();
  EXPECT_TRUE(run_pass("quantize-weights", tied).changed);
  EXPECT_LT(tied.file_size(), tied_before.file_size() / 2);
  expect_close(tied_before, tied, {0.02, true});
}

TEST(QuantizeWeights, LeavesWhatGainsNothing) {
  expect_unchanged(
      "quantize-weights",
      "g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {1.0,2.0,3.0,4.0}> { y = MatMul(x, W) }",
      "too few to gain");
  Model model = with_weight(kProduct, {512, 256});
  EXPECT_TRUE(run_pass("quantize-weights", model).changed);
  const Outcome again = run_pass("quantize-weights", model);
  EXPECT_FALSE(again.changed);
  EXPECT_NE(again.skips.at(0).reason.find("quantized already"), std::string::npos);
}

TEST(QuantizeWeights, EveryStoring) {
  const Model model = with_weight(
      "g (float[3,64] x) => (float[3,48] y) <float W = {1.0}> { y = MatMul(x, W) }", {64, 48});
  for (Storing& storing : six_storings(model, "W")) {
    SCOPED_TRACE(storing.how);
    const Model before = storing.model.clone();
    const bool shared = storing.how == "shared";
    EXPECT_EQ(run_pass("quantize-weights", storing.model).changed, !shared);
    if (!shared) {
      EXPECT_LT(storing.model.file_size(), before.file_size() / 2);
      expect_close(before, storing.model, {0.02, true});
    }
  }
}

}  // namespace
}  // namespace mcompress::test
