// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "calibration/calibration.h"
#include "forms/quantized_weight.h"
#include "mcompress/metric.h"
#include "numerics/pair_rule.h"
#include "opset/service.h"
#include "pass/manager.h"
#include "tests/support/memory_dataset.h"
#include "tests/support/noise.h"
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

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
  EXPECT_THAT(outcome.skips[0].reason, HasSubstr("back to float as number"));
  EXPECT_THAT(outcome.warnings, Not(Contains(HasSubstr("no plan is inside"))));
  EXPECT_THAT(kernels(model), Not(Contains("QLinearConv")));
}

/// The weights of `second` for one input, which is tiny, are so large that 8 bits lose the others.
void plant_bad_layer(Model& model) {
  Graph& graph = model.graph();
  const auto scale = [&](const std::string& name, int64_t begin, int64_t step, int64_t length,
                         float factor) {
    Tensor tensor = *graph.find(name).constant();
    const auto values = tensor.mutate_as<float>();
    for (int64_t at = begin; at < tensor.count(); at += step) {
      for (int64_t i = 0; i < length; ++i) values[static_cast<size_t>(at + i)] *= factor;
    }
    graph.set_constant(graph.find(name), tensor);
  };
  scale("first.w", 0, 16 * 16 * 9, 16 * 9, 1e-3F);
  scale("first.b", 0, 16, 1, 1e-3F);
  scale("second.w", 0, 16 * 9, 9, 1e3F);
}

TEST(QuantizeStatic, APlantedBadLayerRanksFirst) {
  Model model = small_network();
  plant_bad_layer(model);
  auto context = context_with(samples_for(model, 16));
  const auto outcome = run_pass("quantize-static", model,
                                {{"where", "everywhere"}, {"store-float", "false"}}, &context);
  const auto found =
      std::find_if(outcome.skips.begin(), outcome.skips.end(), [](const PassContext::Skip& skip) {
        return skip.reason.find("back to float as number 1 of") == 0;
      });
  ASSERT_NE(found, outcome.skips.end());
  EXPECT_EQ(found->layer, "second");
  EXPECT_THAT(found->reason, HasSubstr("alone it does damage"));
  EXPECT_GT(outcome.counters.at("layers in int8"), 2);
}

/// A metric that is lost while one layer is in 8 bits.
class LosesWithLayer final : public Evaluator {
 public:
  LosesWithLayer(std::string weight, std::shared_ptr<const Dataset> data)
      : weight_(std::move(weight)), data_(std::move(data)) {}
  const MetricInfo& metric() const override { return find_metric("top1"); }
  const std::string& reason() const override { return weight_; }
  const Dataset& data() const override { return *data_; }
  const EvaluationResult& baseline() override { return baseline_; }
  EvaluationResult evaluate(const Model& model) override {
    ++asked;
    EvaluationResult result;
    const auto names = model.graph().initializers();
    const bool plain = std::find(names.begin(), names.end(), weight_) != names.end();
    result.value.value = plain ? 0.9 : 0.8;
    return result;
  }
  Comparison compare(const EvaluationResult& base, const EvaluationResult& other) const override {
    const double drop = base.value.value - other.value.value;
    return {.drop = drop, .low = drop / 2, .high = 2 * drop};
  }
  int asked = 0;

 private:
  std::string weight_;
  std::shared_ptr<const Dataset> data_;
  EvaluationResult baseline_;
};

TEST(QuantizeStatic, TheMetricDecidesWhereThereIsOne) {
  const auto layers_in_int8 = [](const char* tolerance, int& asked) {
    Model model = small_network();
    plant_bad_layer(model);
    const auto data = samples_for(model, 16);
    auto context = context_with(data);
    const auto judge = std::make_shared<LosesWithLayer>("second.w", data);
    context.set_evaluator(judge);
    const auto outcome = run_pass(
        "quantize-static", model,
        {{"where", "everywhere"}, {"store-float", "false"}, {"tolerance", tolerance}}, &context);
    asked = judge->asked;
    return outcome.counters.at("layers in int8");
  };
  int few = 0, more = 0;
  EXPECT_EQ(layers_in_int8("10.5", few), 6);
  // Only the one that loses it, and its reader: in float between 8 bits the runtime would quantize
  // it on its own.
  EXPECT_EQ(layers_in_int8("0.5", more), 4);
  EXPECT_EQ(few, 2);
  EXPECT_GT(more, few);
}

TEST(QuantizeStatic, WithoutDataItFailsOrIsLeftOut) {
  Model model = small_network();
  auto context = context_with(nullptr);
  const auto outcome = run_pass("quantize-static", model, {{"missing-data", "skip"}}, &context);
  EXPECT_FALSE(outcome.changed);
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("no calibration data")));
  EXPECT_THROW(run_pass("quantize-static", model, {{"missing-data", "fail"}}, &context), Error);
}

TEST(QuantizeStatic, WhatIsQuantizedAlreadyIsLeftAlone) {
  Model model = small_network();
  const auto data = samples_for(model, 8);
  auto context = context_with(data);
  run_pass("quantize-static", model, kEverywhere, &context);
  const Fingerprint before = model.fingerprint();
  auto again = context_with(data);
  const auto outcome = run_pass("quantize-static", model, kEverywhere, &again);
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(model.fingerprint(), before);
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("integers already")));
}

/// Runs the pass on a model in text form, everywhere, and returns the kernels of the result.
std::vector<std::string> kernels_of(std::string_view text, Outcome* outcome = nullptr) {
  Model model = parse_model(text);
  const Model before = model.clone();
  auto context = make_data_context(model, 1, 8);
  Outcome own = run_pass("quantize-static", model, kEverywhere, &context);
  EXPECT_GT(signal_to_noise(before, model, context.calibration().data()), 15);
  if (outcome != nullptr) *outcome = std::move(own);
  return kernels(model);
}

TEST(QuantizeStatic, ProductsAndConcatenationsOfBranchesFuse) {
  const auto ops = kernels_of(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,8,8] x) => (float[1,8,8,8] y)
<float[4,4,1,1] a = {1,2,-1,1, 0.5,1,2,-1, 1,-1,1,2, 2,1,0.5,1},
 float[4,4,1,1] b = {-1,1,2,1, 1,0.5,1,-2, 1,1,-1,2, 0.5,1,1,-1},
 float[8,8,1,1] c = {1,0,1,0,1,0,1,0, 0,1,0,1,0,1,0,1, 1,1,0,0,1,1,0,0, 0,0,1,1,0,0,1,1,
                     1,0,0,1,1,0,0,1, 0,1,1,0,0,1,1,0, 1,-1,1,-1,1,-1,1,-1, 1,1,1,1,-1,-1,-1,-1}> {
  p = Conv(x, a)
  q = Conv(x, b)
  r = Mul(p, q)
  s = Concat <axis = 1> (r, q)
  y0 = Conv(s, c)
  y1 = Relu(y0)
  y = Softplus(y1)
})");
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "QLinearConv"), 3);
  EXPECT_THAT(ops, Contains("QLinearMul"));
  EXPECT_THAT(ops, Contains("QLinearConcat"));
  EXPECT_THAT(ops, Not(Contains("Mul")));
  EXPECT_THAT(ops, Not(Contains("Concat")));
}

TEST(QuantizeStatic, GlobalPoolsAndTabulatedActivationsFuse) {
  const auto ops = kernels_of(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,8,8] x) => (float[1,4,1,1] y)
<float[4,4,1,1] a = {1,2,-1,1, 0.5,1,2,-1, 1,-1,1,2, 2,1,0.5,1},
 float[4,4,1,1] b = {-1,1,2,1, 1,0.5,1,-2, 1,1,-1,2, 0.5,1,1,-1}> {
  p = Conv(x, a)
  q = LeakyRelu <alpha = 0.1> (p)
  r = Conv(q, b)
  s = Sigmoid(r)
  t = Mul(r, s)
  u = GlobalAveragePool(t)
  v = Conv(u, a)
  y = Softplus(v)
})");
  for (const char* const op : {"QLinearLeakyRelu", "QLinearSigmoid", "QLinearGlobalAveragePool"}) {
    EXPECT_THAT(ops, Contains(op));
  }
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "QLinearConv"), 3);
  for (const char* const op : {"LeakyRelu", "Sigmoid", "GlobalAveragePool", "Mul"}) {
    EXPECT_THAT(ops, Not(Contains(op)));
  }
}

TEST(QuantizeStatic, PoolsAndSoftmaxOfSlowKernelsStayInFloat) {
  for (const char* const op : {"AveragePool <kernel_shape = [2, 2]>", "Softmax <axis = 3>"}) {
    const auto ops = kernels_of(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,8,8] x) => (float[1,4,N,N] y)
<float[4,4,1,1] a = {1,2,-1,1, 0.5,1,2,-1, 1,-1,1,2, 2,1,0.5,1},
 float[4,4,1,1] b = {-1,1,2,1, 1,0.5,1,-2, 1,1,-1,2, 0.5,1,1,-1}> {
  p = Conv(x, a)
  q = )" + std::string(op) + R"((p)
  r = Conv(q, b)
  y = Softplus(r)
})");
    EXPECT_THAT(ops, Contains("QLinearConv"));
    EXPECT_THAT(ops, Not(Contains("QLinearAveragePool")));
    EXPECT_THAT(ops, Not(Contains("QLinearSoftmax")));
  }
}

TEST(QuantizeStatic, ProductsOfComputedValuesFuse) {
  const auto ops = kernels_of(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,2,8,16] q, float[1,2,8,16] k) => (float[1,2,8,8] y) {
  t = Transpose <perm = [0, 1, 3, 2]> (k)
  y = MatMul(q, t)
})");
  EXPECT_THAT(ops, Contains("MatMulIntegerToFloat"));
  EXPECT_THAT(ops, Not(Contains("MatMul")));
}

TEST(QuantizeStatic, ConvolutionsInOneDimensionAndPerChannelFuse) {
  const auto ops = kernels_of(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,16] x) => (float[1,4,16] y)
<float[4,4,3] a = {1,2,-1,1, 0.5,1,2,-1, 1,-1,1,2, 2,1,0.5,1, -1,1,2,1, 1,0.5,1,-2, 1,1,-1,2, 0.5,1,1,-1,
                   1,2,-1,1, 0.5,1,2,-1, 1,-1,1,2, 2,1,0.5,1},
 float[4,1,3] b = {1,2,-1, 0.5,1,1, -1,1,2, 1,1,1}> {
  p = Conv <pads = [1, 1]> (x, a)
  q = Relu(p)
  r = Conv <pads = [1, 1], group = 4> (q, b)
  y = Softplus(r)
})");
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "QLinearConv"), 2);
}

TEST(QuantizeStatic, WhatHasNoIntegerKernelIsStoredInEightBitsAndSaysWhy) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,32,8,8] x) => (float[1,32,16,16] y) { y = Identity(x) })");
  Graph& graph = model.graph();
  Noise noise(5);
  const auto w = graph.add_constant("w", noise.tensor({32, 32, 2, 2}, 0.2F));
  const ValueRef up = graph
                          .insert({.op = "ConvTranspose",
                                   .inputs = {graph.find("x"), w},
                                   .attributes = {{"strides", std::vector<int64_t>{2, 2}}},
                                   .name = "up"})
                          .output();
  const NodeRef identity = graph.find("y").producer();
  graph.supersede(graph.find("y"), up);
  graph.erase(identity);
  auto context = make_data_context(model, 1, 4);
  const uint64_t before = model.file_size();
  const auto outcome = run_pass("quantize-static", model, kEverywhere, &context);
  ASSERT_EQ(outcome.skips.size(), 1u);
  EXPECT_THAT(outcome.skips[0].reason, HasSubstr("no integer kernel"));
  EXPECT_LT(model.file_size(), before / 3);
  EXPECT_THAT(kernels(model), ::testing::ElementsAre("ConvTranspose"));
}

TEST(QuantizeStatic, AWeightSharedByLayersOfDifferentRangesServesBoth) {
  Outcome outcome;
  const auto ops = kernels_of(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,8,8] x) => (float[1,4,8,8] y)
<float[4,4,1,1] w = {1,2,-1,1, 0.5,1,2,-1, 1,-1,1,2, 2,1,0.5,1}, float[4] b = {1, 2, -1, 0.5},
 float[1] big = {100}> {
  p = Conv(x, w, b)
  q = Mul(p, big)
  r = Conv(q, w, b)
  y = Softplus(r)
})",
                              &outcome);
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "QLinearConv"), 2);
}

TEST(QuantizeStatic, ABiasThatWouldOverflowGetsAWiderScale) {
  kernels_of(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,8,8] x) => (float[1,4,8,8] y)
<float[4,4,1,1] w = {1e-9,2e-9,-1e-9,1e-9, 0.5,1,2,-1, 1,-1,1,2, 2,1,0.5,1},
 float[4] b = {3000, 2, -1, 0.5}> {
  p = Conv(x, w, b)
  y = Identity(p)
})");
}

TEST(QuantizeStatic, InputsThatAreNoFloatsAndNodesWithoutNamesAreFine) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
g (int64[1,6] ids, bool[1,1] mask) => (float[1,6,8] y)
<float[16,8] table = {1,2,3,4,5,6,7,8, 8,7,6,5,4,3,2,1, 1,0,1,0,1,0,1,0, 2,2,2,2,1,1,1,1,
  1,2,3,4,5,6,7,8, 8,7,6,5,4,3,2,1, 1,0,1,0,1,0,1,0, 2,2,2,2,1,1,1,1,
  1,2,3,4,5,6,7,8, 8,7,6,5,4,3,2,1, 1,0,1,0,1,0,1,0, 2,2,2,2,1,1,1,1,
  1,2,3,4,5,6,7,8, 8,7,6,5,4,3,2,1, 1,0,1,0,1,0,1,0, 2,2,2,2,1,1,1,1},
 float[8,8] w = {1,2,3,4,5,6,7,8, 8,7,6,5,4,3,2,1, 1,0,1,0,1,0,1,0, 2,2,2,2,1,1,1,1,
  1,2,3,4,5,6,7,8, 8,7,6,5,4,3,2,1, 1,0,1,0,1,0,1,0, 2,2,2,2,1,1,1,1}> {
  e = Gather(table, ids)
  m = Cast <to = 1> (mask)
  h = Mul(e, m)
  y = MatMul(h, w)
})");
  auto context = make_data_context(model, 1, 8);
  EXPECT_TRUE(run_pass("quantize-static", model, kEverywhere, &context).changed);
  EXPECT_THAT(kernels(model), Contains("MatMulIntegerToFloat"));
}

TEST(QuantizeStatic, RoundingAndBiasCorrectionMakeModelsOfTheirOwn) {
  std::vector<std::string> seen;
  for (const auto& [rounding, bias] : std::vector<std::pair<const char*, const char*>>{
           {"nearest", "true"}, {"nearest", "false"}, {"gptq", "true"}, {"adaptive", "true"}}) {
    Model model = small_network(4);
    const Model before = model.clone();
    const auto data = samples_for(model, 16);
    auto context = context_with(data);
    Options options = kEverywhere;
    options["rounding"] = rounding;
    options["bias-correction"] = bias;
    run_pass("quantize-static", model, options, &context);
    EXPECT_GT(signal_to_noise(before, model, *data), 20) << rounding;
    EXPECT_THAT(seen, Not(Contains(model.fingerprint().hex()))) << rounding;
    seen.push_back(model.fingerprint().hex());
  }
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

TEST(QuantizeStatic, OnlyTheLayersThatAreNamed) {
  Model model = parse_model(
      "g (float[1,2,8] x) => (float[1,2,2] y) <float[8,8] w = {1}, float[8,8] v = {1}> {\n"
      " a = MatMul(x, w)\n b = MatMul(x, v)\n t = Transpose<perm = [0, 2, 1]>(b)\n"
      " y = MatMul(a, t)\n}");
  Noise noise(5);
  for (const char* const name : {"w", "v"})
    model.graph().set_constant(model.graph().find(name), noise.tensor({8, 8}, 1));
  PassContext context = make_data_context(model, 1, 20);
  PassManager manager(builtin_passes(), context);
  StepSpec step;
  step.pass = "quantize-static";
  for (const auto& [option, value] :
       {std::pair{"where", "everywhere"}, std::pair{"effort", "quick"}}) {
    ConfigValue scalar;
    scalar.kind = ConfigValue::Kind::kScalar;
    scalar.scalar = value;
    step.options.kind = ConfigValue::Kind::kMap;
    step.options.map.push_back({option, {}, scalar});
  }
  step.only = {"a"};
  ASSERT_TRUE(manager.run(model, step).changed);
  std::vector<std::string> quantized;
  for (const NodeRef node : model.graph().nodes()) {
    if (node.is("QuantizeLinear")) quantized.push_back(node.input_name(0));
  }
  EXPECT_EQ(quantized, std::vector<std::string>{"x"});
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
