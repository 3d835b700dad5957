// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "mcompress/metric.h"
#include "opset/service.h"
#include "tests/support/memory_dataset.h"
#include "tests/support/storings.h"
#include "tests/support/weight_tests.h"

namespace mcompress::test {
namespace {

const Options kAnySize{{"min-macs", "0"}};

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
      {"g (float[2,4,5,64] x) => (float[2,4,5,48] y) <float W = {1.0}> { y = MatMul(x, W) }",
       {64, 48}},
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

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(QuantizeDynamic, EveryGemm) {
  for (const char* const a : {"0", "1"}) {
    for (const char* const b : {"0", "1"}) {
      for (const char* const factors : {"", ", alpha = 0.5", ", beta = 2.0", ", alpha = -3.0, beta = 0.0"}) {
        for (const bool constant_bias : {true, false}) {
          const std::string x = *a == '0' ? "float[3,64] x" : "float[64,3] x";
          const std::string text =
              "g (" + x + (constant_bias ? "" : ", float[48] c") + ") => (float[3,48] y) <float W = {1.0}" +
              (constant_bias ? ", float[1] c = {0.5}" : "") + "> { y = Gemm <transA = " + a +
              ", transB = " + b + factors + "> (x, W, c) }";
          SCOPED_TRACE(text);
          Model model = with_weight(text, *b == '0' ? Shape{64, 48} : Shape{48, 64});
          const Model before = model.clone();
          EXPECT_TRUE(run_pass("quantize-dynamic", model, kAnySize).changed);
          EXPECT_THAT(kernels(model), Contains("DynamicQuantizeMatMul"));
          EXPECT_THAT(kernels(model), Not(Contains("Gemm")));
          expect_close(before, model, {0.04, true});
        }
      }
    }
  }
}

TEST(QuantizeDynamic, AttentionQuantizesItsInputOnce) {
  Model model = with_weight(
      "g (float[2,5,64] x) => (float[2,5,64] y) <float W = {1.0}, float V = {1.0}, float O = {1.0}> {"
      "  q = MatMul(x, W) k = MatMul(x, V) t = Transpose <perm = [0,2,1]> (k) s = MatMul(q, t)"
      "  p = Softmax(s) o = MatMul(p, x) y = MatMul(o, O) }",
      {64, 64});
  for (const char* const name : {"V", "O"}) {
    Tensor weight = weight_values({64, 64});
    for (float& w : weight.mutate_as<float>()) w *= 0.05F;
    model.graph().set_constant(model.graph().find(name), weight);
  }
  const Model before = model.clone();
  EXPECT_TRUE(run_pass("quantize-dynamic", model, kAnySize).changed);
  size_t quantizers = 0;
  for (const NodeRef node : model.graph().nodes()) quantizers += node.is("DynamicQuantizeLinear");
  EXPECT_EQ(quantizers, 2U);
  const auto ops = kernels(model);  // x is quantized once, so that two products share it
  const auto count = [&](const char* op) { return std::count(ops.begin(), ops.end(), op); };
  EXPECT_EQ(count("DynamicQuantizeMatMul") + count("MatMulIntegerToFloat"), 3) << ops.size();
  expect_close(before, model, {0.05, true});
}

/// An LSTM or GRU whose weights have the given number of gates.
Model recurrent(const std::string& op, int64_t gates, const std::string& direction,
                const std::string& more = "") {
  const int64_t directions = direction == "bidirectional" ? 2 : 1;
  Model model = parse_model("g (float[7,2,24] x) => (float[s,d,b,hs] y, float[d,b,hs] h) "
                            "<float W = {1.0}, float R = {1.0}, float B = {1.0}> { y, h = " + op +
                            " <hidden_size = 16, direction = \"" + direction + "\"" + more +
                            "> (x, W, R, B) }");
  const auto set = [&](const char* name, const Shape& shape, float factor) {
    Tensor weight = weight_values(shape);
    for (float& w : weight.mutate_as<float>()) w *= factor;
    model.graph().set_constant(model.graph().find(name), weight);
  };
  set("W", {directions, gates * 16, 24}, 0.3F);
  set("R", {directions, gates * 16, 16}, 0.3F);
  set("B", {directions, 2 * gates * 16}, 0.1F);
  return model;
}

TEST(QuantizeDynamic, LstmBecomesItsIntegerKernel) {
  for (const char* const direction : {"forward", "reverse", "bidirectional"}) {
    for (const char* const granularity : {"channel", "tensor"}) {
      for (const TargetKind kind : {TargetKind::kCpu, TargetKind::kCpuVnni}) {
        SCOPED_TRACE(std::string(direction) + granularity);
        Model model = recurrent("LSTM", 4, direction);
        const Model before = model.clone();
        PassContext::Services services;
        services.runtime = runtime();
        services.opset = make_opset_service();
        services.target.kind = kind;
        PassContext context(std::move(services));
        EXPECT_TRUE(
            run_pass("quantize-dynamic", model, {{"granularity", granularity}}, &context).changed);
        EXPECT_EQ(context.decisions().size(), 2U);
        EXPECT_EQ(kernels(model), std::vector<std::string>{"DynamicQuantizeLSTM"});
        EXPECT_LT(model.file_size(), before.file_size() / 2);
        expect_close(before, model, {0.05, true});
        expect_close(before, model, {0.05, false});
      }
    }
  }
}

TEST(QuantizeDynamic, OtherRecurrentLayersStay) {
  Model gru = recurrent("GRU", 3, "forward");
  const Outcome outcome = run_pass("quantize-dynamic", gru);
  EXPECT_FALSE(outcome.changed);
  EXPECT_THAT(outcome.skips.at(0).reason, HasSubstr("no integer GRU"));
  Model weights = recurrent("GRU", 3, "bidirectional");
  const Model before = weights.clone();
  EXPECT_TRUE(run_pass("quantize-weights", weights).changed);
  EXPECT_LT(weights.file_size(), before.file_size() / 2);
  EXPECT_EQ(kernels(weights), std::vector<std::string>{"GRU"});
  expect_close(before, weights, {0.02, true});
}

TEST(QuantizeDynamic, NamesWeightsThatAreNotFinite) {
  Model model = with_weight(kProduct, {64, 48});
  Tensor weight = weight_values({64, 48});
  weight.mutate_as<float>()[5] = std::nanf("");
  model.graph().set_constant(model.graph().find("W"), weight);
  const Outcome outcome = run_pass("quantize-dynamic", model, kAnySize);
  EXPECT_FALSE(outcome.changed);
  EXPECT_THAT(outcome.skips.at(0).reason, HasSubstr("'W' holds NaN"));
}

/// Two products one after the other; the first has weights that 8 bits spoil: a column of one huge
/// weight, whose input is always 0, and many small ones.
Model with_a_bad_layer() {
  Model model = with_weight(
      "g (float[2,64] x) => (float[2,48] y) <float W = {1.0}, float V = {1.0}> "
      "{ a = MatMul(x, W) b = Tanh(a) y = MatMul(b, V) }",
      {64, 64});
  Tensor bad = weight_values({64, 64});
  for (size_t n = 0; n < 64; ++n) bad.mutate_as<float>()[n] = 2000;
  model.graph().set_constant(model.graph().find("W"), bad);
  model.graph().set_constant(model.graph().find("V"), weight_values({64, 48}));
  return model;
}

TEST(QuantizeDynamic, WhatTheMetricDoesNotBearGoesBackToFloat) {
  Model model = with_a_bad_layer();
  std::vector<Feeds> samples;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Feeds feeds = random_feeds(model, seed);
    Tensor x = feeds.front().tensor;
    for (size_t row = 0; row < 2; ++row) x.mutate_as<float>()[row * 64] = 0;
    feeds.front().tensor = x;
    samples.push_back(std::move(feeds));
  }
  PassContext::Services services;
  services.runtime = runtime();
  services.opset = make_opset_service();
  services.evaluator = make_evaluator(
      runtime(), std::make_shared<MemoryDataset>(std::move(samples)), model, {.metric = "agreement"});
  const std::shared_ptr<Evaluator> evaluator = services.evaluator;
  PassContext context(std::move(services));
  const Model before = model.clone();
  Options options = kAnySize;
  options["tolerance"] = "10";  // decisions of random outputs lie close together
  const Outcome outcome = run_pass("quantize-dynamic", model, options, &context);
  EXPECT_TRUE(outcome.changed);
  ASSERT_EQ(outcome.skips.size(), 1U);
  EXPECT_THAT(outcome.skips[0].reason, HasSubstr("measured damage"));
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("stay in float")));
  EXPECT_EQ(model.graph().find("a").producer().op(), "MatMul");
  const auto drop = evaluator->compare(evaluator->evaluate(before), evaluator->evaluate(model)).drop;
  EXPECT_LE(drop, 0.1001);
  Model tolerant = with_a_bad_layer();
  options["tolerance"] = "100";
  EXPECT_TRUE(run_pass("quantize-dynamic", tolerant, options, &context).skips.empty());
}

}  // namespace
}  // namespace mcompress::test
