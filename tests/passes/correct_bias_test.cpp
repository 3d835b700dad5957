// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "calibration/calibration.h"
#include "numerics/quantize.h"
#include "opset/service.h"
#include "pass/manager.h"
#include "quantization/bias_correction.h"
#include "tests/support/memory_dataset.h"
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

/// Inputs that are mostly positive, so that errors of weights have a mean.
PassContext positive_data(const Model& model, size_t samples) {
  std::vector<Feeds> feeds;
  for (size_t i = 0; i < samples; ++i) {
    Feeds one = random_feeds(model, i + 1);
    for (auto& [name, tensor] : one) {
      for (float& v : tensor.mutate_as<float>()) v = std::abs(v);
    }
    feeds.push_back(std::move(one));
  }
  PassContext::Services services;
  services.runtime = runtime();
  services.opset = make_opset_service();
  services.sample = feeds[0];
  services.calibration =
      make_calibration(runtime(), std::make_shared<MemoryDataset>(std::move(feeds)), 1);
  return PassContext(std::move(services));
}

/// Largest difference of the means of an output's channels (axis 1), beside its deviation.
double mean_error(const Model& before, const Model& after, PassContext& context) {
  std::vector<double> means[2];
  double squares = 0, count = 0;
  const Model* models[] = {&before, &after};
  for (size_t m = 0; m < 2; ++m) {
    const std::vector<std::string> names{"y"};
    context.calibration().for_each(
        *models[m], names, 1000,
        [&](size_t, std::span<const std::string>, std::span<const Tensor> values) {
          const auto y = values[0].as<float>();
          const auto channels = static_cast<size_t>(values[0].shape()[1]);
          const size_t inner = y.size() / static_cast<size_t>(values[0].shape()[0]) / channels;
          means[m].resize(channels, 0.0);
          for (size_t i = 0; i < y.size(); ++i) {
            means[m][i / inner % channels] += y[i];
            if (m == 0) {
              squares += double{y[i]} * double{y[i]};
              count += 1;
            }
          }
        });
  }
  double worst = 0;
  const double per_channel = count / static_cast<double>(means[0].size());
  for (size_t c = 0; c < means[0].size(); ++c) {
    worst = std::max(worst, std::abs(means[0][c] - means[1][c]) / per_channel);
  }
  return worst / std::sqrt(squares / count);
}

std::string weights(const std::string& shape, size_t count, double seed) {
  std::string text = "float[" + shape + "] w" + std::to_string(static_cast<int>(seed)) + " = {";
  for (size_t i = 0; i < count; ++i) {
    const double w = 0.2 + std::sin(seed + 1.7 * static_cast<double>(i));
    text += (i == 0 ? "" : ", ") + std::to_string(w);
  }
  return text + "}";
}

/// Three convolutions; the first without a bias, the second with one that has zeros.
std::string chain() {
  return "g (float[1,4,6,6] x) => (float[1,8,6,6] y) <" + weights("8,4,3,3", 288, 1) + ", " +
         weights("8,8,1,1", 64, 2) + ", " + weights("8,8,3,3", 576, 3) +
         R"(, float[8] b = {0.0, 1.0, 0.0, -2.0, 0.5, 0.0, 3.0, 1.0}> {
    a = Conv <pads = [1,1,1,1]> (x, w1)
    r = Relu(a)
    c = Conv(r, w2, b)
    s = Relu(c)
    y = Conv <pads = [1,1,1,1]> (s, w3)
  })";
}

TEST(CorrectBias, BringsTheMeansBack) {
  for (const char* quantize : {"quantize-static", "quantize-weights"}) {
    SCOPED_TRACE(quantize);
    Model model = parse_model(chain());
    const Model before = model.clone();
    PassContext context = positive_data(model, 24);
    Options options;
    if (std::string(quantize) == "quantize-static") {
      options = {{"where", "everywhere"}, {"effort", "quick"}, {"bias-correction", "false"}};
    }
    run_pass(quantize, model, options, &context);
    ASSERT_NE(context.reference(), nullptr);
    const double error = mean_error(before, model, context);
    const Outcome outcome = run_pass("correct-bias", model, {}, &context);
    EXPECT_TRUE(outcome.changed);
    EXPECT_GE(outcome.counters.at("biases corrected"), 1);
    EXPECT_LT(mean_error(before, model, context), 0.25 * error) << error;
  }
}

TEST(CorrectBias, BiasesOf8BitLayersStayIntegers) {
  Model model = parse_model(chain());
  PassContext context = positive_data(model, 24);
  run_pass("quantize-static", model,
           {{"where", "everywhere"}, {"effort", "quick"}, {"bias-correction", "false"}}, &context);
  const auto kernels = [&] {
    int64_t count = 0;
    for (const auto& node : runtime()->optimized_nodes(model)) {
      count += node.op == "QLinearConv" ? 1 : 0;
    }
    return count;
  };
  const int64_t fused = kernels();
  ASSERT_GE(fused, 2);
  run_pass("correct-bias", model, {}, &context);
  EXPECT_EQ(kernels(), fused);
  for (const char* name : {"a", "c"}) {
    const NodeRef conv = model.graph().find(name).producer();
    const NodeRef bias = conv.input(2).producer();
    ASSERT_TRUE(bias && bias.is("DequantizeLinear")) << name << " has an integer bias";
    EXPECT_EQ(bias.input(0).constant_type(), DataType::kInt32);
    const auto scales = bias.input(1).constant()->to_float();
    const auto of_weight = conv.input(1).producer().input(1).constant()->to_float();
    const auto of_input = conv.input(0).producer().input(1).constant()->to_float();
    for (size_t i = 0; i < scales.size(); ++i) {
      EXPECT_FLOAT_EQ(scales[i], of_weight[i] * of_input[0]);
    }
  }
}

TEST(CorrectBias, NeedsTheModelBeforeQuantization) {
  Model model = parse_model(chain());
  PassContext context = positive_data(model, 4);
  run_pass("quantize-static", model, {{"where", "everywhere"}, {"effort", "quick"}}, &context);
  PassContext other = positive_data(model, 4);
  const Outcome outcome = run_pass("correct-bias", model, {}, &other);
  EXPECT_FALSE(outcome.changed);
  ASSERT_FALSE(outcome.warnings.empty());
  EXPECT_NE(outcome.warnings[0].find("not known"), std::string::npos);
}

TEST(CorrectBias, LeavesFloatLayersAlone) {
  Model model = parse_model(chain());
  PassContext context = positive_data(model, 4);
  const Outcome outcome = run_pass("correct-bias", model, {}, &context);
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(outcome.skips.at(0).reason, "its weight is not quantized");
}

TEST(CorrectBias, TheReferenceIsTheLastModelInFloat) {
  Model model = parse_model(chain());
  PassContext context = positive_data(model, 8);
  run_pass("equalize-ranges", model, {}, &context);
  EXPECT_EQ(context.reference(), nullptr);
  const Fingerprint equalized = model.fingerprint();
  run_pass("quantize-static", model, {{"where", "everywhere"}, {"effort", "quick"}}, &context);
  ASSERT_NE(context.reference(), nullptr);
  EXPECT_TRUE(context.reference()->fingerprint() == equalized);
  run_pass("quantize-weights", model, {}, &context);
  EXPECT_TRUE(context.reference()->fingerprint() == equalized) << "later steps do not replace it";
}

// Every kind of layer takes a shift, with and without a bias.
TEST(ShiftOutput, AddsAConstantToEveryKind) {
  for (const char* body : {
           "y = Conv(x4, W4)",
           "y = Conv(x4, W4, b)",
           "y = ConvTranspose(x4, W4, b)",
           "y = Gemm(x2, W2)",
           "y = Gemm <transB = 1> (x2, W2, b)",
           "m = MatMul(x2, W2) y = Identity(m)",
           "m = MatMul(x2, W2) y = Add(b, m)",
       }) {
    SCOPED_TRACE(body);
    const bool flat = std::string(body).find("x2") != std::string::npos;
    Model model = parse_model(
        std::string("g (") + (flat ? "float[3,2] x2" : "float[1,2,3,3] x4") + ") => (float" +
        (flat ? "[3,2]" : "[1,2,3,3]") +
        " y) <float[2,2] W2 = {1.0, 2.0, 3.0, 4.0}, float[2,2,1,1] W4 = {1.0, 2.0, 3.0, 4.0},"
        " float[2] b = {0.5, 0.0}> { " +
        body + " }");
    const Model before = model.clone();
    const Layer layer = find_layers(model).at(0);
    ASSERT_EQ(quantization::shift_obstacle(layer), "");
    const std::vector<float> shift{10, -20};
    EXPECT_TRUE(quantization::shift_output(layer, shift));
    const Feeds feeds = random_feeds(before, 3);
    const auto old = runtime()->open(before)->run(feeds)[0].to_float();
    const auto now = runtime()->open(model)->run(feeds)[0].to_float();
    for (size_t i = 0; i < old.size(); ++i) {
      EXPECT_NEAR(now[i] - old[i], shift[flat ? i % 2 : i / 9], 1e-4);
    }
  }
}

// 1 + 1e-30 is 1: the model is what it was, and the step says so.
TEST(ShiftOutput, WhatRoundsToNothingIsNoChange) {
  for (const char* body : {"y = Gemm(x, W, b)", "m = MatMul(x, W) y = Add(b, m)"}) {
    Model model = parse_model(
        std::string("g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {1.0, 2.0, 3.0, 4.0},"
                    " float[2] b = {1.0, -1.0}> { ") +
        body + " }");
    const Fingerprint before = model.fingerprint();
    const std::vector<float> shift{1e-30F, 1e-42F};
    EXPECT_FALSE(quantization::shift_output(find_layers(model).at(0), shift)) << body;
    EXPECT_TRUE(model.fingerprint() == before) << body;
  }
}

TEST(MeanCorrection, BelievesWhatManySamplesShow) {
  const quantization::SampleMeans wanted(100, {1.0, 0.0}), found(100, {0.0, 0.0});
  const auto sure = quantization::mean_correction(wanted, found);
  EXPECT_NEAR(sure[0], 1.0, 1e-6);
  EXPECT_EQ(sure[1], 0.0F);
  quantization::SampleMeans noisy, zeros(16, {0.0});
  for (int i = 0; i < 16; ++i) noisy.push_back({i % 2 == 0 ? 1.0 : -0.9});
  EXPECT_LT(quantization::mean_correction(noisy, zeros)[0], 0.5 * 0.05);
}

}  // namespace
}  // namespace mcompress::test
