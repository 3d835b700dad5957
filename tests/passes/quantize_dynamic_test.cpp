// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "opset/service.h"
#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

const Options kAnySize{{"min-macs", "0"}};

Model with_weight(const std::string& text, const Shape& shape, int64_t opset = 17) {
  Model model = parse_model(text, opset);
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = std::sin(static_cast<float>(i * i % 977)) * (i % 5 == 0 ? 1.0F : 0.3F);
  }
  model.graph().set_constant(model.graph().find("W"), Tensor::from(shape, values));
  return model;
}

std::vector<std::string> kernels(const Model& model) {
  std::vector<std::string> ops;
  for (const auto& node : runtime()->optimized_nodes(model)) ops.push_back(node.op);
  std::sort(ops.begin(), ops.end());
  return ops;
}

const char* const kProduct =
    "g (float[3,64] x) => (float[3,48] y) <float W = {1.0}> { y = MatMul(x, W) }";
const std::vector<std::string> kFused{"DynamicQuantizeMatMul"};

TEST(QuantizeDynamic, BecomesTheFusedKernel) {
  const std::vector<std::pair<std::string, Shape>> cases{
      {kProduct, {64, 48}},
      {"g (float[2,3,64] x) => (float[2,3,48] y) <float W = {1.0}> { y = MatMul(x, W) }", {64, 48}},
      {"g (float[3,64] x) => (float[3,48] y) <float W = {1.0}> { y = Gemm <alpha = 0.5> (x, W) }",
       {64, 48}},
      {"g (float[3,64] x) => (float[3,48] y) <float W = {1.0}> { y = Gemm <transB = 1> (x, W) }",
       {48, 64}},
  };
  for (const auto& [text, shape] : cases) {
    SCOPED_TRACE(text);
    Model model = with_weight(text, shape);
    const Model before = model.clone();
    EXPECT_TRUE(run_pass("quantize-dynamic", model, kAnySize).changed);
    EXPECT_EQ(kernels(model), kFused);
    EXPECT_LT(model.file_size(), before.file_size() / 2);
    expect_close(before, model, {0.03, true});
    expect_close(before, model, {0.03, false});
  }
}

TEST(QuantizeDynamic, BiasIsFusedWhateverItsShapeAndFactor) {
  for (const Shape& shape : {Shape{48}, Shape{1, 48}}) {
    Model model = with_weight(
        "g (float[3,64] x) => (float[3,48] y) <float W = {1.0}, float b = {1.0}> "
        "{ y = Gemm <beta = 2.0, transB = 1> (x, W, b) }",
        {48, 64});
    model.graph().set_constant(model.graph().find("b"),
                               Tensor::from(shape, std::vector<float>(48, 3.0F)));
    const Model before = model.clone();
    EXPECT_TRUE(run_pass("quantize-dynamic", model, kAnySize).changed);
    EXPECT_EQ(kernels(model), kFused);
    expect_close(before, model, {0.03, true});
  }
}

TEST(QuantizeDynamic, LayersShareTheQuantizedInputAndTheWeight) {
  Model model = with_weight(
      "g (float[3,64] x) => (float[3,48] y, float[3,48] z) <float W = {1.0}> "
      "{ y = MatMul(x, W) z = Gemm <alpha = 2.0> (x, W) }",
      {64, 48});
  const Model before = model.clone();
  EXPECT_TRUE(run_pass("quantize-dynamic", model, kAnySize).changed);
  const std::string text = normal_form(model);
  EXPECT_EQ(text.find("DynamicQuantizeLinear"), text.rfind("DynamicQuantizeLinear")) << text;
  EXPECT_LT(model.file_size(), before.file_size() / 2);
  expect_close(before, model, {0.03, true});
}

TEST(QuantizeDynamic, ObeysThePairRuleWhereTheTargetNeedsIt) {
  const auto violations = [](TargetKind kind) {
    Model model = with_weight(kProduct, {64, 48});
    PassContext::Services services;
    services.runtime = runtime();
    services.opset = make_opset_service();
    services.target.kind = kind;
    PassContext context(std::move(services));
    run_pass("quantize-dynamic", model, kAnySize, &context);
    int found = 0;
    for (const NodeRef node : model.graph().nodes()) {
      if (!node.is("MatMulInteger")) continue;
      const std::vector<int64_t> w = node.input(1).constant()->to_int64();
      for (size_t k = 0; k + 1 < 64; k += 2) {
        for (size_t n = 0; n < 48; ++n) {
          const int64_t a = w[k * 48 + n], b = w[(k + 1) * 48 + n];
          if ((a > 0) == (b > 0) && std::abs(a + b) > 128) ++found;
        }
      }
    }
    return found;
  };
  EXPECT_EQ(violations(TargetKind::kCpu), 0);
  EXPECT_EQ(violations(TargetKind::kCpuAvx2), 0);
  EXPECT_GT(violations(TargetKind::kCpuVnni), 0);
}

TEST(QuantizeDynamic, LeavesWhatGainsNothing) {
  expect_unchanged(
      "quantize-dynamic",
      "g (float[1,1,3] x) => (float[1,1,3] y) <float[1,1,1] W = {2.0}> { y = Conv(x, W) }",
      "slower than float", kAnySize);
  expect_unchanged(
      "quantize-dynamic",
      "g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {1.0,2.0,3.0,4.0}> { y = MatMul(x, W) }",
      "12 multiply-accumulates are too few");
  expect_unchanged(
      "quantize-dynamic",
      "g (float[2,3] x) => (float[2,3] y) <float[2,2] W = {1.0,2.0,3.0,4.0}> { y = MatMul(W, x) }",
      "left operand", kAnySize);
}

TEST(QuantizeDynamic, OptionsChangeTheWeights) {
  const auto made = [](Options options) {
    options["min-macs"] = "0";
    Model model = with_weight(kProduct, {64, 48});
    run_pass("quantize-dynamic", model, options);
    return model.fingerprint().hex();
  };
  EXPECT_NE(made({}), made({{"granularity", "tensor"}}));
  EXPECT_NE(made({}), made({{"rounding", "mse"}}));
}

TEST(QuantizeDynamic, RaisesOldOpsets) {
  Model model = with_weight(kProduct, {64, 48}, 9);
  const Model before = model.clone();
  EXPECT_TRUE(run_pass("quantize-dynamic", model, kAnySize).changed);
  EXPECT_EQ(model.opset(), 11);
  expect_close(before, model, {0.03, true});
}

TEST(QuantizeDynamic, EveryStoring) {
  const Model model = with_weight(kProduct, {64, 48});
  for (Storing& storing : six_storings(model, "W")) {
    SCOPED_TRACE(storing.how);
    const Model before = storing.model.clone();
    const bool shared = storing.how == "shared";
    EXPECT_EQ(run_pass("quantize-dynamic", storing.model, kAnySize).changed, !shared);
    if (!shared) {
      EXPECT_LT(storing.model.file_size(), before.file_size() / 2);
      expect_close(before, storing.model, {0.03, true});
    }
  }
}

}  // namespace
}  // namespace mcompress::test
