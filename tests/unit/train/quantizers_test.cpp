// SPDX-License-Identifier: Apache-2.0
// Training of quantized models: gradients by the formulas of LSQ (arXiv:1902.08153), and what is
// written against what was computed.
#include "train/quantizers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>
#include <numeric>

#include "analysis/layer_matrix.h"
#include "forms/quantized_weight.h"
#include "mcompress/runtime_service.h"
#include "numerics/pair_rule.h"
#include "tests/support/model_text.h"
#include "tests/support/noise.h"
#include "tests/support/training_data.h"
#include "train/make_trainer.h"
#include "train/program.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

using test::parse_model;
using ::testing::Each;
using ::testing::Le;

std::vector<int> random_codes(test::Noise& noise, size_t count, int limit) {
  std::vector<int> result(count);
  for (int& code : result) code = static_cast<int>(std::lround(noise.uniform() * limit));
  return result;
}

std::string list(const std::vector<int>& values) {
  return fmt::format("{{{}}}", fmt::join(values, ","));
}

/// A convolution with its Relu, values that are only moved, and a product that leaves floats.
Model quantized_network(int limit = 127) {
  test::Noise noise(5);
  return parse_model(fmt::format(
      R"(g (float[N,2,4,4] x) => (float[N,3] y)
      <float xs = {{0.01}}, uint8 xz = {{128}}, int8[4,2,3,3] wq = {},
       float[4] ws = {{{}, {}, {}, {}}}, int32[4] bq = {{100, -50, 0, 70}},
       float[4] bs = {{{}, {}, {}, {}}}, float hs = {{0.008}}, uint8 hz = {{0}}, float ys = {{0.1}}, uint8 yz = {{128}},
       int8[64,3] vq = {}, float[3] vs = {{{}, {}, {}}}> {{
        xc = QuantizeLinear(x, xs, xz)
        xd = DequantizeLinear(xc, xs, xz)
        wd = DequantizeLinear<axis=0>(wq, ws)
        bd = DequantizeLinear<axis=0>(bq, bs)
        c = Conv<pads=[1,1,1,1]>(xd, wd, bd)
        r = Relu(c)
        rc = QuantizeLinear(r, hs, hz)
        rd = DequantizeLinear(rc, hs, hz)
        f = Flatten(rd)
        fc = QuantizeLinear(f, hs, hz)
        fd = DequantizeLinear(fc, hs, hz)
        vd = DequantizeLinear<axis=1>(vq, vs)
        p = MatMul(fd, vd)
        yc = QuantizeLinear(p, ys, yz)
        y = DequantizeLinear(yc, ys, yz)
      }})",
      list(random_codes(noise, 72, limit)), 0.3 / limit, 0.35 / limit, 0.4 / limit, 0.25 / limit,
      0.003 / limit, 0.0035 / limit, 0.004 / limit, 0.0025 / limit, list(random_codes(noise, 192, limit)),
      0.2 / limit, 0.3 / limit, 0.25 / limit));
}

TrainingTask quantized_task() {
  TrainingTask task;
  task.quantizers.enabled = true;
  return task;
}

Parameter& named(const std::vector<std::unique_ptr<Parameter>>& parameters,
                 const std::string& name) {
  for (const auto& parameter : parameters) {
    if (parameter->name() == name) return *parameter;
  }
  throw std::runtime_error("no parameter " + name);
}

std::vector<at::Tensor> copies(Parameter& parameter) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& leaf : parameter.leaves()) {
    result.push_back(leaf.detach().clone().requires_grad_(true));
  }
  return result;
}

std::vector<float> floats(const at::Tensor& tensor) {
  return from_torch(tensor.detach()).to_float();
}

Tensor stored(const Model& model, const std::string& name) {
  return *model.graph().find(name).constant();
}

/// What the file says a DequantizeLinear gives.
std::vector<float> dequantized(const Model& model, const std::string& output) {
  return forms::quantized_weight(model.graph().find(output))->dequantized().to_float();
}

TEST(Quantizers, NoneUnlessEnabled) {
  EXPECT_TRUE(make_quantizers(quantized_network(), TrainingTask()).empty());
}

TEST(Quantizers, AreTheIntegersAndTheScalesOfActivations) {
  const Model model = quantized_network();
  TrainingTask task = quantized_task();
  std::vector<std::string> names;
  for (const auto& parameter : make_quantizers(model, task)) names.push_back(parameter->name());
  EXPECT_THAT(names, testing::UnorderedElementsAre("xs", "hs", "ys", "wd", "bd", "vd"));
  task.quantizers.learn_scales = false;
  names.clear();
  for (const auto& parameter : make_quantizers(model, task)) {
    names.push_back(parameter->name());
    EXPECT_EQ(parameter->leaves().size(), 1U);
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("wd", "bd", "vd"));
  // A bias whose scales move has to follow, chosen or not.
  task.quantizers.learn_scales = true;
  task.parameters = {"wq"};
  names.clear();
  for (const auto& parameter : make_quantizers(model, task)) names.push_back(parameter->name());
  EXPECT_THAT(names, testing::UnorderedElementsAre("xs", "hs", "ys", "wd", "bd"));
}

TEST(Quantizers, StartWhereTheModelIs) {
  Model model = quantized_network();
  const Model before = model.clone();
  for (const auto& parameter : make_quantizers(model, quantized_task())) {
    const at::Tensor value = parameter->value(parameter->leaves());
    if (parameter->name() == "wd" || parameter->name() == "vd") {
      EXPECT_EQ(floats(value), dequantized(model, parameter->name())) << parameter->name();
    }
    parameter->store(model);
  }
  for (const char* const name : {"xs", "hs", "wq", "ws", "bq", "bs", "vq", "vs"}) {
    EXPECT_EQ(stored(model, name).type(), stored(before, name).type()) << name;
    EXPECT_EQ(stored(model, name).shape(), stored(before, name).shape()) << name;
    const auto now = stored(model, name).to_float(), then = stored(before, name).to_float();
    for (size_t i = 0; i < now.size(); ++i) {
      EXPECT_NEAR(now[i], then[i], 1e-6 * std::abs(then[i])) << name;
    }
  }
}

TEST(Quantizers, FloatsToStartFromKeepTheCodes) {
  Model model = quantized_network();
  TrainingTask task = quantized_task();
  auto weights = dequantized(model, "wd");
  // 0.3 steps off, which rounds to the same; one far off, as GPTQ would leave it.
  const auto scale = stored(model, "ws").to_float();
  for (size_t i = 0; i < weights.size(); ++i) weights[i] += 0.3F * scale[i / 18];
  weights[5] += 4 * scale[0];
  task.quantizers.start = {{"wq", Tensor::from<float>({4, 2, 3, 3}, weights)}};
  const auto parameters = make_quantizers(model, task);
  Parameter& weight = named(parameters, "wd");
  EXPECT_EQ(floats(weight.value(weight.leaves())), dequantized(model, "wd"));
  EXPECT_NEAR(floats(weight.leaves()[0])[7], weights[7], 1e-6);
}

TEST(Quantizers, GradientsOfAWeightAreThoseOfLsq) {
  const Model model = quantized_network(7);
  TrainingTask task = quantized_task();
  task.quantizers.limits = {{"wq", 7}};
  const auto parameters = make_quantizers(model, task);
  Parameter& weight = named(parameters, "wd");
  auto leaves = copies(weight);
  {
    const at::NoGradGuard no_gradients;
    leaves[0].mul_(1.23);
    leaves[0][0][0][0][0] = 10.0;  // far outside
    leaves[1].fill_(0.1);
  }
  const at::Tensor value = weight.value(leaves);
  test::Noise noise(9);
  std::vector<float> upstream(72);
  for (float& g : upstream) g = static_cast<float>(noise.uniform());
  (value * to_torch(Tensor::from<float>({4, 2, 3, 3}, upstream))).sum().backward();
  const auto w = floats(leaves[0]), start = stored(model, "ws").to_float();
  const auto of_weight = floats(leaves[0].grad()), of_scale = floats(leaves[1].grad());
  for (size_t channel = 0; channel < 4; ++channel) {
    const double s = start[channel] * std::exp(0.1);
    double expected = 0;
    for (size_t i = channel * 18; i < channel * 18 + 18; ++i) {
      const double steps = w[i] / s;
      const bool inside = std::abs(std::nearbyint(steps)) <= 7;
      EXPECT_FLOAT_EQ(of_weight[i], inside ? upstream[i] : 0.0F);
      expected += upstream[i] * (inside ? std::nearbyint(steps) - steps : steps > 0 ? 7 : -7);
    }
    // By u, where s = s0 exp(u); 18 weights share a scale.
    EXPECT_NEAR(of_scale[channel], expected * s / std::sqrt(18 * 7.0), 1e-5);
  }
}

TEST(Quantizers, PlainDescentMovesAScaleAsLsqSays) {
  const Model model = quantized_network();
  TrainingTask task = quantized_task();
  const auto gradient = [&](OptimizerKind kind) {
    task.optimizer.kind = kind;
    const auto parameters = make_quantizers(model, task);
    Parameter& scale = named(parameters, "hs");
    auto leaves = copies(scale);
    scale.value(leaves).sum().backward();
    return floats(leaves[0].grad())[0];
  };
  EXPECT_NEAR(gradient(OptimizerKind::kAdam), 0.008, 1e-7);            // ds/du = s
  EXPECT_NEAR(gradient(OptimizerKind::kSgd), 0.008 / 0.000064, 1e-2);  // s / s0^2
}

/// The pair of QuantizeLinear and DequantizeLinear with a gradient of `upstream`.
struct Pair {
  at::Tensor value, of_x, of_scale;
};
Pair run_pair(const at::Tensor& x, double scale, int64_t zero, const at::Tensor& upstream) {
  const Model model = parse_model(fmt::format(
      R"(g (float[N,3] x) => (float[N,3] y) <float s = {{{}}}, uint8 z = {{{}}}> {{
        q = QuantizeLinear(x, s, z)
        y = DequantizeLinear(q, s, z)
      }})",
      scale, zero));
  const Program program(model, {"x"}, {"y"}, {"s"});
  Execution execution;
  execution.learn_scales = true;
  const at::Tensor input = x.clone().requires_grad_(true);
  const at::Tensor s = at::scalar_tensor(scale, at::kFloat).requires_grad_(true);
  Pair result;
  result.value = program.run({{"x", input}, {"s", s}}, execution)[0];
  (result.value * upstream).sum().backward();
  result.of_x = input.grad();
  result.of_scale = s.grad();
  return result;
}

TEST(Quantizers, ActivationsPassStraightThroughWithGradientsOfLsq) {
  const std::vector<float> values = {-9, -0.3F, 0.12F,  0.49F, 1.26F, 0.25F,
                                     30, 2.5F,  -0.05F, 12.7F, 12.4F, 3.3F};
  std::vector<float> weights = {1, 2, -1, 0.5F, 3, -2, 1.5F, 0.3F, -0.7F, 2.5F, 1, 4};
  const at::Tensor x = to_torch(Tensor::from<float>({4, 3}, values));
  const at::Tensor upstream = to_torch(Tensor::from<float>({4, 3}, weights));
  const double s = 0.1F;
  const int64_t z = 3;
  const Pair pair = run_pair(x, 0.1, z, upstream);
  double expected = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double steps = values[i] / s, rounded = std::nearbyint(steps) + z;
    const bool inside = rounded >= 0 && rounded <= 255;
    const double code = std::clamp(rounded, 0.0, 255.0) - static_cast<double>(z);
    EXPECT_FLOAT_EQ(floats(pair.value)[i], static_cast<float>(code) * 0.1F) << values[i];
    EXPECT_FLOAT_EQ(floats(pair.of_x)[i], inside ? weights[i] : 0) << values[i];
    expected += weights[i] * (inside ? std::nearbyint(steps) - steps : code);
  }
  // 3 values of a sample share the scale.
  EXPECT_NEAR(floats(pair.of_scale)[0], expected / std::sqrt(3 * 255.0), 1e-4);
}

TEST(Quantizers, WithoutGradientsCodesAreIntegers) {
  const Model model = quantized_network();
  const auto trainer = make_trainer();
  const Tensor x(DataType::kFloat, {2, 2, 4, 4});
  const auto results = trainer->run(model, {{"x", x}}, {"xc", "rc"});
  EXPECT_EQ(results[0].type(), DataType::kUint8);
  EXPECT_THAT(results[0].to_int64(), Each(128));
}

TEST(Quantizers, BiasFollowsTheScales) {
  Model model = quantized_network();
  const auto parameters = make_quantizers(model, quantized_task());
  const auto before = dequantized(model, "bd");
  {
    const at::NoGradGuard no_gradients;
    named(parameters, "xs").leaves()[0].fill_(0.4);
    named(parameters, "wd").leaves()[1].fill_(-0.2);
  }
  const auto computed = floats(named(parameters, "bd").value(named(parameters, "bd").leaves()));
  for (const auto& parameter : parameters) parameter->store(model);
  EXPECT_EQ(dequantized(model, "bd"), computed);
  const auto weight = stored(model, "ws").to_float(), bias = stored(model, "bs").to_float();
  const float input = stored(model, "xs").to_float()[0];
  EXPECT_NEAR(input, 0.01 * std::exp(0.4), 1e-7);
  for (size_t i = 0; i < bias.size(); ++i) {
    EXPECT_EQ(bias[i], weight[i] * input);  // else the runtime computes in float
    EXPECT_NEAR(computed[i], before[i], bias[i] / 2);
  }
}

std::vector<int8_t> codes_after_noise(Model& model, const TrainingTask& task, double size) {
  const auto parameters = make_quantizers(model, task);
  Parameter& weight = named(parameters, "wd");
  test::Noise noise(21);
  std::vector<float> moved = floats(weight.leaves()[0]);
  for (float& w : moved) w += static_cast<float>(size * noise.uniform());
  {
    const at::NoGradGuard no_gradients;
    weight.leaves()[0].copy_(to_torch(Tensor::from<float>({4, 2, 3, 3}, moved)));
  }
  weight.project();
  const auto value = floats(weight.value(weight.leaves()));
  weight.store(model);
  EXPECT_EQ(value, dequantized(model, "wd")) << "what is stored is not what was computed";
  const Tensor codes = stored(model, "wq");
  return {codes.as<int8_t>().begin(), codes.as<int8_t>().end()};
}

TEST(Quantizers, CodesObeyThePairRule) {
  Model model = quantized_network();
  TrainingTask task = quantized_task();
  const auto layout = numerics::ReductionLayout::conv(4, 2, 9);
  EXPECT_GT(numerics::count_pair_violations(codes_after_noise(model, task, 0.1), layout), 0);
  model = quantized_network();
  task.quantizers.pairs = {"wq"};
  EXPECT_EQ(numerics::count_pair_violations(codes_after_noise(model, task, 0.1), layout), 0);
}

TEST(Quantizers, CodesStayWithinTheirLimit) {
  for (const int limit : {7, 3, 1}) {
    Model model = quantized_network(limit);
    TrainingTask task = quantized_task();
    task.quantizers.limits = {{"wq", limit}};
    for (const int8_t code : codes_after_noise(model, task, 1)) EXPECT_LE(std::abs(code), limit);
  }
}

TEST(Quantizers, BinaryWeightsAreSigns) {
  Model model = quantized_network(1);
  TrainingTask task = quantized_task();
  task.quantizers.limits = {{"wq", 0}};
  for (const int8_t code : codes_after_noise(model, task, 1)) EXPECT_EQ(std::abs(code), 1);
  // Straight through everywhere, but no weight runs further away than two scales.
  const auto parameters = make_quantizers(model, task);
  Parameter& weight = named(parameters, "wd");
  {
    const at::NoGradGuard no_gradients;
    weight.leaves()[0].mul_(100);
  }
  weight.project();
  const auto scale = stored(model, "ws").to_float();
  const auto moved = floats(weight.leaves()[0]);
  for (size_t i = 0; i < moved.size(); ++i) EXPECT_LE(std::abs(moved[i]), 2.0001 * scale[i / 18]);
  auto leaves = copies(weight);
  weight.value(leaves).sum().backward();
  EXPECT_THAT(floats(leaves[0].grad()), Each(1.0F));
}

TEST(Quantizers, ZerosOfPruningStay) {
  Model model = quantized_network();
  TrainingTask task = quantized_task();
  auto weights = dequantized(model, "wd");
  for (size_t i = 0; i < weights.size(); i += 2) weights[i] = 0;
  Tensor codes = stored(model, "wq");
  for (size_t i = 0; i < weights.size(); i += 2) codes.mutate_as<int8_t>()[i] = 0;
  model.graph().set_constant(model.graph().find("wq"), codes);
  task.quantizers.start = {{"wq", Tensor::from<float>({4, 2, 3, 3}, weights)}};
  const auto after = codes_after_noise(model, task, 0.1);
  for (size_t i = 0; i < after.size(); i += 2) EXPECT_EQ(after[i], 0);
}

TEST(Quantizers, ARangeNeverOutgrowsTheClipBeforeIt) {
  Model model = parse_model(R"(g (float[N,4] x) => (float[N,4] y)
    <float low = {0}, float high = {6}, float s = {0.0235}, uint8 z = {0}> {
      c = Clip(x, low, high)
      q = QuantizeLinear(c, s, z)
      y = DequantizeLinear(q, s, z)
    })");
  const auto parameters = make_quantizers(model, quantized_task());
  Parameter& scale = named(parameters, "s");
  {
    const at::NoGradGuard no_gradients;
    scale.leaves()[0].fill_(1);
  }
  scale.project();
  scale.store(model);
  EXPECT_THAT(stored(model, "s").to_float()[0], Le(6.0F / 255));
  EXPECT_GT(stored(model, "s").to_float()[0], 5.99F / 255);
}

/// Images whose class is the quarter with the largest mean, three of four.
std::shared_ptr<const Dataset> quarters(size_t count) {
  test::Noise noise(33);
  std::vector<float> values;
  std::vector<int64_t> labels;
  for (size_t i = 0; i < count; ++i) {
    const auto label = static_cast<int64_t>(i % 3);
    for (int channel = 0; channel < 2; ++channel) {
      for (int64_t at = 0; at < 16; ++at) {
        const bool mine = at / 8 * 2 + at % 4 / 2 == label;
        values.push_back(static_cast<float>(0.5 * noise.uniform() + (mine ? 0.4 : 0)));
      }
    }
    labels.push_back(label);
  }
  return std::make_shared<test::RowDataset>("x", Shape{2, 4, 4}, std::move(values),
                                            std::move(labels));
}

/// Largest difference of the codes `value` between the trainer and ONNX Runtime.
int64_t largest_difference(const Model& model, Trainer& trainer, const Feeds& feeds,
                           const std::string& value, bool optimize) {
  static const auto runtime = make_onnx_runtime();
  SessionOptions options;
  options.optimize = optimize;
  options.extra_outputs = {value};
  options.only_extra = true;
  const auto expected = runtime->open(model, options)->run(feeds)[0].to_int64();
  const auto computed = trainer.run(model, feeds, {value})[0].to_int64();
  int64_t largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i] - computed[i]));
  }
  return largest;
}

TEST(Quantizers, WhatIsWrittenIsWhatWasTrained) {
  const auto trainer = make_trainer();
  for (const int limit : {127, 7, 1}) {
    for (const bool learned : {true, false}) {
      Model model = quantized_network(limit);
      const Model before = model.clone();
      TrainingTask task = quantized_task();
      task.data = quarters(60);
      task.batch = 20;
      task.epochs = 20;
      task.optimizer.learning_rate = 0.03;
      task.quantizers.learn_scales = learned;
      task.quantizers.limits = {{"wq", limit}, {"vq", limit}};
      if (limit == 127) task.quantizers.pairs = {"wq", "vq"};
      const TrainingResult result = trainer->train(model, task);
      EXPECT_TRUE(result.changed);
      EXPECT_LT(result.epochs.back().loss, 0.7 * result.epochs.front().loss) << limit << learned;
      EXPECT_NE(stored(model, "wq"), stored(before, "wq"));
      EXPECT_EQ(stored(model, "hs") == stored(before, "hs"), !learned);
      const Feeds feeds = task.data->feeds(0, 20);
      for (const bool optimize : {true, false}) {
        EXPECT_LE(largest_difference(model, *trainer, feeds, "rc", optimize), 1) << optimize;
        EXPECT_LE(largest_difference(model, *trainer, feeds, "yc", optimize), 1) << optimize;
      }
    }
  }
}

}  // namespace
}  // namespace mcompress::train
