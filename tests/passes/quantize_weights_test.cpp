// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "calibration/calibration.h"
#include "forms/quantized_weight.h"
#include "opset/service.h"
#include "tests/support/memory_dataset.h"
#include "tests/support/storings.h"
#include "tests/support/weight_tests.h"

namespace mcompress::test {
namespace {

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
       {"Cast", "Gather", "Gather", "Mul"}},
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
    return normal_form(model) + model.fingerprint().hex();
  };
  const std::string channel = made({}), tensor = made({{"granularity", "tensor"}});
  EXPECT_NE(channel, tensor);
  for (const char* const method : {"nearest", "mse"}) {
    EXPECT_NE(channel, made({{"method", method}})) << method;
  }
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

using ::testing::HasSubstr;

const char* const kConv =
    "g (float[1,64,6,6] x) => (float[1,16,4,4] y) <float W = {1.0}> { y = Conv(x, W) }";
const Shape kConvShape{16, 64, 3, 3};

/// Bits of each weight, scales and unpacking included.
double bits_per_weight(const Model& model) {
  for (const NodeRef node : model.graph().nodes()) {
    if (!node.is("Conv") && !node.is("MatMul")) continue;
    const auto form = forms::recognise(node.input(1));
    return form ? form->bits_per_weight : 32;
  }
  return 0;
}

TEST(QuantizeWeights, EveryWidthIsPackedAndFolds) {
  struct Width {
    const char* bits;
    double most_bits, tolerance;
  };
  for (const auto& [bits, most_bits, tolerance] :
       {Width{"4", 4.7, 0.15}, Width{"3", 4.1, 0.3}, Width{"2", 2.8, 0.9},
        Width{"ternary", 1.9, 0.8}, Width{"binary", 1.3, 1.2}}) {
    for (const int64_t opset : {int64_t{9}, int64_t{17}, int64_t{21}}) {
      SCOPED_TRACE(std::string(bits) + " opset " + std::to_string(opset));
      Model model = with_weight(kConv, kConvShape, opset);
      const Model before = model.clone();
      EXPECT_TRUE(run_pass("quantize-weights", model, {{"bits", bits}}).changed);
      EXPECT_EQ(kernels(model), std::vector<std::string>{"Conv"});
      // Below opset 10 no filling can be cut off.
      EXPECT_LT(bits_per_weight(model), most_bits + (opset < 10 ? 0.6 : 0));
      expect_close(before, model, {tolerance, true});
      expect_close(before, model, {tolerance, false});
      const Outcome again = run_pass("quantize-weights", model, {{"bits", bits}});
      EXPECT_FALSE(again.changed);
    }
  }
}

TEST(QuantizeWeights, BlocksAndZeroPoints) {
  const char* const left =
      "g (float[64,3] x) => (float[48,3] y) <float W = {1.0}> { y = MatMul(W, x) }";
  const char* const right =
      "g (float[9,64] x) => (float[9,48] y) <float W = {1.0}> { y = MatMul(x, W) }";
  for (const char* const symmetric : {"true", "false"}) {
    for (const auto& [text, shape] : std::vector<std::pair<std::string, Shape>>{
             {kConv, kConvShape}, {left, {48, 64}}, {right, {64, 48}}}) {
      SCOPED_TRACE(text + symmetric);
      Model model = with_weight(text, shape);
      const Model before = model.clone();
      const Options options{{"bits", "4"}, {"block-size", "16"}, {"symmetric", symmetric}};
      EXPECT_TRUE(run_pass("quantize-weights", model, options).changed);
      expect_close(before, model, {0.12, true});
      expect_close(before, model, {0.12, false});
    }
  }
}

TEST(QuantizeWeights, FourBitsWithFewRowsAreOneKernel) {
  const char* const gemm =
      "g (float[1,512] x) => (float[1,256] y) <float W = {1.0}, float b = {1.0}> "
      "{ y = Gemm <transB = 1> (x, W, b) }";
  for (const int64_t opset : {int64_t{17}, int64_t{21}}) {
    for (const char* const symmetric : {"true", "false"}) {
      for (const char* const block : {"0", "32", "128"}) {
        SCOPED_TRACE(std::to_string(opset) + symmetric + block);
        Model model = with_weight(gemm, {256, 512}, opset);
        model.graph().set_constant(model.graph().find("b"),
                                   Tensor::from({256}, std::vector<float>(256, 0.5F)));
        const Model before = model.clone();
        const Options options{{"bits", "4"}, {"block-size", block}, {"symmetric", symmetric}};
        EXPECT_TRUE(run_pass("quantize-weights", model, options).changed);
        EXPECT_EQ(kernels(model), std::vector<std::string>{"MatMulNBits"});
        EXPECT_LT(model.file_size(), before.file_size() / 5);
        expect_close(before, model, {0.2, true});
      }
    }
  }
}

TEST(QuantizeWeights, EightBitsInBlocksAreOneKernelAtAnyOpset) {
  for (const int64_t opset : {int64_t{12}, int64_t{21}}) {
    Model model = with_weight(kProduct, {512, 256}, opset);
    const Model before = model.clone();
    EXPECT_TRUE(run_pass("quantize-weights", model, {{"block-size", "64"}}).changed);
    EXPECT_EQ(kernels(model), std::vector<std::string>{"MatMulNBits"});
    expect_close(before, model, {0.02, true});
  }
}

TEST(QuantizeWeights, TablesOfEmbeddingsStayIntegers) {
  const char* const text =
      "g (int64[2,3] x) => (float[2,3,48] y) <float W = {1.0}> { y = Gather(W, x) }";
  for (const auto& [bits, share, tolerance] :
       std::vector<std::tuple<std::string, double, double>>{
           {"8", 0.3, 0.01}, {"4", 0.2, 0.15}, {"3", 0.2, 0.35}, {"2", 0.12, 0.7}}) {
    SCOPED_TRACE(bits);
    Model model = with_weight(text, {640, 48});
    const Model before = model.clone();
    EXPECT_TRUE(run_pass("quantize-weights", model, {{"bits", bits}}).changed);
    EXPECT_LT(static_cast<double>(model.file_size()),
              share * static_cast<double>(before.file_size()));
    const auto ops = kernels(model);  // two Gathers: nothing was folded to one float table
    EXPECT_EQ(std::count(ops.begin(), ops.end(), "Gather"), 2);
    expect_close(before, model, {tolerance, true});
    expect_close(before, model, {tolerance, false});
  }
}

/// Rows whose columns differ in size and go together, as behind a normalization.
PassContext calibrated(const Model& model, size_t rows) {
  std::vector<Feeds> samples;
  for (size_t r = 0; r < rows; ++r) {
    const Shape shape = model.graph().inputs()[0].shape;
    std::vector<float> x(static_cast<size_t>(element_count(shape)));
    for (size_t i = 0; i < x.size(); ++i) {
      const auto k = static_cast<double>(i % 64);
      const double common = std::sin(0.7 * static_cast<double>(r * 5 + i / 64));
      const double own = std::sin(static_cast<double>((r * 131 + i * 17) % 1009));
      x[i] = static_cast<float>((common + 0.3 * own) * (0.1 + k * k / 1000));
    }
    Feeds feeds;
    feeds.push_back({"x", Tensor::from(shape, x)});
    samples.push_back(std::move(feeds));
  }
  PassContext::Services services;
  services.runtime = runtime();
  services.opset = make_opset_service();
  services.calibration =
      make_calibration(runtime(), std::make_shared<MemoryDataset>(std::move(samples)), 1);
  return PassContext(std::move(services));
}

double output_error(const Model& before, const Model& after, PassContext& context) {
  const auto a = runtime()->open(before), b = runtime()->open(after);
  double noise = 0;
  const Dataset& data = context.calibration().data();
  for (size_t i = 0; i < data.size(); ++i) {
    const auto x = a->run(data.feeds(i, 1))[0].to_float(), y = b->run(data.feeds(i, 1))[0].to_float();
    for (size_t k = 0; k < x.size(); ++k) noise += std::pow(x[k] - y[k], 2);
  }
  return noise;
}

TEST(QuantizeWeights, CalibrationDataLessensTheErrorAtTheOutputs) {
  const char* const text =
      "g (float[9,64] x) => (float[9,48] y) <float W = {1.0}> { y = MatMul(x, W) }";
  for (const char* const bits : {"4", "2", "ternary"}) {
    const auto error = [&](const char* method) {
      Model model = with_weight(text, {64, 48});
      const Model before = model.clone();
      PassContext context = calibrated(model, 20);
      EXPECT_TRUE(run_pass("quantize-weights", model, {{"bits", bits}, {"method", method}}, &context)
                      .changed);
      expect_close(model, model, {0.0, false});
      return output_error(before, model, context);
    };
    const double nearest = error("nearest");
    EXPECT_LT(error("gptq"), 0.5 * nearest) << bits;
    EXPECT_LT(error("awq"), nearest) << bits;
  }
}

TEST(QuantizeWeights, FewRowsAreSaidAndMissingOnesAnError) {
  Model model = with_weight(
      "g (float[2,64] x) => (float[2,48] y) <float W = {1.0}> { y = MatMul(x, W) }", {64, 48});
  PassContext context = calibrated(model, 3);
  EXPECT_TRUE(run_pass("quantize-weights", model, {{"method", "gptq"}}, &context).changed);
  ASSERT_EQ(context.decisions().size(), 1U);
  EXPECT_THAT(context.decisions()[0].decision.detail, HasSubstr("6 rows for 64 inputs: damped"));
  Model other = with_weight(kConv, kConvShape);
  for (const char* const method : {"gptq", "awq"}) {
    try {
      run_pass("quantize-weights", other, {{"method", method}});
      FAIL() << "no data, and no complaint";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kData);
      EXPECT_THAT(error.hint(), HasSubstr("--data calibration="));
    }
  }
}

TEST(QuantizeWeights, WeightsThatAreOdd) {
  const auto run = [](const Tensor& weight, const char* bits) {
    Model model = with_weight(kConv, kConvShape);
    model.graph().set_constant(model.graph().find("W"), weight);
    const Model before = model.clone();
    const Outcome outcome = run_pass("quantize-weights", model, {{"bits", bits}});
    if (outcome.changed) expect_close(before, model, {1e-6, true});
    return outcome;
  };
  Tensor weight = weight_values(kConvShape);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    weight.mutate_as<float>()[7] = bad;
    for (const char* const bits : {"8", "4", "ternary", "binary"}) {
      const Outcome outcome = run(weight, bits);
      EXPECT_FALSE(outcome.changed);
      EXPECT_THAT(outcome.skips.at(0).reason, HasSubstr("'W' holds NaN or infinite"));
    }
  }
  for (const float constant : {0.0F, 0.25F, -3.0F}) {
    const Tensor all =
        Tensor::from(kConvShape, std::vector<float>(static_cast<size_t>(weight.count()), constant));
    for (const char* const bits : {"8", "4", "3", "2", "ternary", "binary"}) {
      SCOPED_TRACE(std::to_string(constant) + bits);
      EXPECT_TRUE(run(all, bits).changed);
    }
  }
  const Tensor tiny =
      Tensor::from(kConvShape, std::vector<float>(static_cast<size_t>(weight.count()), 1e-42F));
  for (const char* const bits : {"8", "4", "3", "2"}) {
    const Outcome outcome = run(tiny, bits);
    EXPECT_FALSE(outcome.changed);
    EXPECT_THAT(outcome.skips.at(0).reason, HasSubstr("scale would underflow"));
  }
}

TEST(QuantizeWeights, WeightsThatAreInputsOrOutputsStay) {
  Model output = with_weight(
      "g (float[3,64] x) => (float[3,48] y, float[64,48] W) <float W = {1.0}> { y = MatMul(x, W) }",
      {64, 48});
  EXPECT_FALSE(run_pass("quantize-weights", output).changed);
  Model input = parse_model(
      "g (float[3,2] x, float[2,2] W) => (float[3,2] y) <float[2,2] W = {1.0,2.0,3.0,4.0}> "
      "{ y = MatMul(x, W) }");
  EXPECT_FALSE(run_pass("quantize-weights", input).changed);
}

TEST(QuantizeWeights, SaysWhichOptionsDoNotGoTogether) {
  const auto complaint = [](const Options& options) {
    Model model = with_weight(kConv, kConvShape);
    try {
      run_pass("quantize-weights", model, options);
    } catch (const Error& error) {
      return error.message();
    }
    return std::string();
  };
  EXPECT_THAT(complaint({{"block-size", "48"}}), HasSubstr("'block-size' is 48, no power of two"));
  EXPECT_THAT(complaint({{"block-size", "32"}, {"granularity", "tensor"}}), HasSubstr("more scales"));
  EXPECT_THAT(complaint({{"bits", "binary"}, {"symmetric", "false"}}), HasSubstr("symmetric"));
  EXPECT_THAT(complaint({{"bits", "binary"}, {"method", "gptq"}}), HasSubstr("no other rounding"));
  EXPECT_THAT(complaint({{"method", "awq"}, {"granularity", "tensor"}}), HasSubstr("per output"));
}

}  // namespace
}  // namespace mcompress::test
