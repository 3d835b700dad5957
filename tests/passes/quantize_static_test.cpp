// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "calibration/calibration.h"
#include "forms/quantized_weight.h"
#include "numerics/pair_rule.h"
#include "opset/service.h"
#include "tests/support/memory_dataset.h"
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

/// A small generator, so that weights look like weights and every run sees the same ones.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed) {}
  float next() {  // about normal
    float sum = 0;
    for (int i = 0; i < 4; ++i) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      sum += static_cast<float>(state_ >> 40) / static_cast<float>(1 << 24) - 0.5f;
    }
    return sum;
  }
  Tensor tensor(Shape shape, float scale) {
    std::vector<float> values(static_cast<size_t>(element_count(shape)));
    for (float& v : values) v = scale * next();
    return Tensor::from<float>(std::move(shape), values);
  }

 private:
  uint64_t state_;
};

/// Two convolutions with Relu, a residual one, pooling by mean, a Gemm and a MatMul.
Model small_network(int channels = 16) {
  const std::string c = std::to_string(channels);
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,)" + c + R"(,14,14] x) => (float[1,10] y) {
  y = Identity(x)
})");
  Graph& graph = model.graph();
  Noise noise(3);
  const float gain = 1.0f / std::sqrt(static_cast<float>(channels) * 9);
  const auto conv = [&](const ValueRef& x, const std::string& name, bool relu) {
    const auto w =
        graph.add_constant(name + ".w", noise.tensor({channels, channels, 3, 3}, 4 * gain));
    const auto b = graph.add_constant(name + ".b", noise.tensor({channels}, 0.2f));
    const NodeRef node = graph.insert({.op = "Conv",
                                       .inputs = {x, w, b},
                                       .attributes = {{"pads", std::vector<int64_t>{1, 1, 1, 1}}},
                                       .name = name,
                                       .outputs = {name + ".y"}});
    if (!relu) return node.output();
    return graph.insert({.op = "Relu", .inputs = {node.output()}, .outputs = {name + ".r"}})
        .output();
  };
  const ValueRef first = conv(graph.find("x"), "first", true);
  const ValueRef second = conv(first, "second", true);
  const ValueRef third = conv(second, "third", false);
  const ValueRef sum =
      graph.insert({.op = "Add", .inputs = {third, first}, .outputs = {"sum"}}).output();
  const ValueRef relu =
      graph.insert({.op = "Relu", .inputs = {sum}, .outputs = {"sum.r"}}).output();
  const ValueRef fourth = conv(relu, "fourth", true);
  const ValueRef mean = graph.insert({.op = "GlobalAveragePool", .inputs = {fourth}}).output();
  const ValueRef flat = graph.insert({.op = "Flatten", .inputs = {mean}}).output();
  const auto w1 = graph.add_constant("gemm.w", noise.tensor({32, channels}, 0.5f));
  const auto b1 = graph.add_constant("gemm.b", noise.tensor({32}, 0.2f));
  const ValueRef gemm = graph
                            .insert({.op = "Gemm",
                                     .inputs = {flat, w1, b1},
                                     .attributes = {{"transB", int64_t{1}}},
                                     .name = "gemm"})
                            .output();
  const auto w2 = graph.add_constant("matmul.w", noise.tensor({32, 10}, 0.5f));
  const ValueRef last =
      graph.insert({.op = "MatMul", .inputs = {gemm, w2}, .name = "matmul"}).output();
  const NodeRef identity = graph.find("y").producer();
  graph.supersede(graph.find("y"), last);
  graph.erase(identity);
  return model;
}

std::shared_ptr<const Dataset> samples_for(const Model& model, size_t count, float scale = 2) {
  Noise noise(11);
  std::vector<Feeds> samples;
  for (size_t i = 0; i < count; ++i) {
    samples.push_back({{"x", noise.tensor(model.graph().inputs()[0].shape, scale)}});
  }
  return std::make_shared<MemoryDataset>(std::move(samples));
}

PassContext context_with(const std::shared_ptr<const Dataset>& data,
                         TargetKind target = TargetKind::kCpu, int threads = 1) {
  PassContext::Services services;
  services.runtime = runtime();
  services.opset = make_opset_service();
  if (data) services.calibration = make_calibration(runtime(), data, threads);
  services.target.kind = target;
  services.threads = threads;
  return PassContext(services);
}

const Options kEverywhere = {{"where", "everywhere"}, {"effort", "quick"}};

std::vector<std::string> kernels(const Model& model) {
  std::vector<std::string> ops;
  for (const auto& node : runtime()->optimized_nodes(model)) ops.push_back(node.op);
  return ops;
}

double signal_to_noise(const Model& before, const Model& after, const Dataset& data) {
  const auto a = runtime()->open(before);
  const auto b = runtime()->open(after);
  double signal = 0, noise = 0;
  for (size_t i = 0; i < data.size(); ++i) {
    const auto x = a->run(data.feeds(i, 1))[0].to_float();
    const auto y = b->run(data.feeds(i, 1))[0].to_float();
    for (size_t k = 0; k < x.size(); ++k) {
      signal += x[k] * x[k];
      noise += (x[k] - y[k]) * (x[k] - y[k]);
    }
  }
  return 10 * std::log10(signal / noise);
}

TEST(QuantizeStatic, EveryPatternFusesToAnIntegerKernel) {
  Model model = small_network();
  const auto data = samples_for(model, 8);
  auto context = context_with(data);
  EXPECT_TRUE(run_pass("quantize-static", model, kEverywhere, &context).changed);
  const auto ops = kernels(model);
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "QLinearConv"), 4);
  EXPECT_THAT(ops, Contains("QLinearAdd"));
  EXPECT_THAT(ops, Contains("QGemm"));
  EXPECT_THAT(ops, Contains("MatMulIntegerToFloat"));
  for (const char* const op : {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "Relu"}) {
    EXPECT_THAT(ops, Not(Contains(op)));
  }
}

TEST(QuantizeStatic, OutputsStayClose) {
  const Model before = small_network();
  Model model = before.clone();
  const auto data = samples_for(model, 16);
  auto context = context_with(data);
  run_pass("quantize-static", model, kEverywhere, &context);
  EXPECT_GT(signal_to_noise(before, model, *data), 20);
}

TEST(QuantizeStatic, EveryMethodGivesAModelOfItsOwn) {
  std::vector<std::string> seen;
  for (const char* const method : {"mse", "min-max", "moving-average", "percentile", "entropy"}) {
    Model model = small_network();
    auto context = context_with(samples_for(model, 8));
    Options options = kEverywhere;
    options["method"] = method;
    options["percentile"] = "99";
    run_pass("quantize-static", model, options, &context);
    EXPECT_THAT(seen, Not(Contains(model.fingerprint().hex()))) << method;
    seen.push_back(model.fingerprint().hex());
  }
}

TEST(QuantizeStatic, TheDefaultTargetObeysThePairRule) {
  const auto violations = [](TargetKind target) {
    Model model = small_network();
    auto context = context_with(samples_for(model, 4), target);
    run_pass("quantize-static", model, kEverywhere, &context);
    int64_t found = 0;
    for (const NodeRef node : model.graph().nodes()) {
      if (!node.is("Conv")) continue;
      const auto weight = forms::quantized_weight(node.input(1));
      if (!weight) continue;
      found += numerics::count_pair_violations(weight->codes.as<int8_t>(),
                                               numerics::ReductionLayout::conv(16, 16, 9));
    }
    return found;
  };
  EXPECT_EQ(violations(TargetKind::kCpu), 0);
  EXPECT_GT(violations(TargetKind::kCpuVnni), 0);
}

TEST(QuantizeStatic, ZeroToleranceLeavesTheLayersInFloat) {
  Model model = small_network();
  auto context = context_with(samples_for(model, 8));
  const auto outcome =
      run_pass("quantize-static", model,
               {{"where", "everywhere"}, {"tolerance", "0"}, {"store-float", "false"}}, &context);
  ASSERT_FALSE(outcome.skips.empty());
  EXPECT_THAT(outcome.skips[0].reason, HasSubstr("expected noise"));
  EXPECT_THAT(kernels(model), Not(Contains("QLinearConv")));
}

TEST(QuantizeStatic, LayersInFloatAreStoredInEightBits) {
  Model model = small_network(32);
  const uint64_t before = model.file_size();
  auto context = context_with(samples_for(model, 4));
  run_pass("quantize-static", model, {{"where", "everywhere"}, {"tolerance", "0"}}, &context);
  EXPECT_LT(model.file_size(), before / 3);
  const auto ops = kernels(model);
  EXPECT_THAT(ops, Not(Contains("Cast")));  // folded at load
  EXPECT_THAT(ops, Not(Contains("DequantizeLinear")));
}

TEST(QuantizeStatic, WhatDoesNotPayStaysInFloatAndSaysWhy) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4] x) => (float[1,4] y) <float[4,4] w = {1,2,3,4,5,6,7,8,9,8,7,6,5,4,3,2}> { y = MatMul(x, w) })");
  auto context = context_with(samples_for(model, 4));
  const auto outcome = run_pass("quantize-static", model, {}, &context);
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.skips.size(), 1u);
  EXPECT_THAT(outcome.skips[0].reason, HasSubstr("does not pay"));
}

TEST(QuantizeStatic, ThreadsDoNotMatter) {
  const auto bytes = [](int threads) {
    Model model = small_network();
    auto context = context_with(samples_for(model, 8), TargetKind::kCpu, threads);
    run_pass("quantize-static", model, {{"where", "everywhere"}}, &context);
    return model.fingerprint();
  };
  EXPECT_EQ(bytes(1), bytes(2));
}

TEST(QuantizeStatic, MissingAndBrokenDataAreDataErrors) {
  Model model = small_network();
  auto without = context_with(nullptr);
  try {
    run_pass("quantize-static", model, {}, &without);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kData);
    EXPECT_THAT(error.hint(), HasSubstr("--data calibration="));
  }
  Tensor nan(DataType::kFloat, model.graph().inputs()[0].shape);
  nan.mutate_as<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  auto broken = context_with(std::make_shared<MemoryDataset>(std::vector<Feeds>{{{"x", nan}}}));
  try {
    run_pass("quantize-static", model, {}, &broken);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kData);
    EXPECT_THAT(error.message(), HasSubstr("sample 0"));
  }
}

TEST(QuantizeStatic, ConstantDataIsWarnedAbout) {
  Model model = small_network();
  const Tensor zero(DataType::kFloat, model.graph().inputs()[0].shape);
  auto context = context_with(std::make_shared<MemoryDataset>(std::vector<Feeds>{{{"x", zero}}}));
  const auto outcome = run_pass("quantize-static", model, kEverywhere, &context);
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("'x' is constant")));
}

}  // namespace
}  // namespace mcompress::test
