// SPDX-License-Identifier: Apache-2.0
// Graphs run by the trainer give what ONNX Runtime gives. Forms of operators that onnx's own node
// tests leave out are here; with MCOMPRESS_TRAIN_MODELS=FOLDER every model below it is compared,
// too.
#include "train/program.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "mcompress/error.h"
#include "mcompress/runtime_service.h"
#include "tests/support/model_text.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

using test::parse_model;

RuntimeService& runtime() {
  static const auto service = make_onnx_runtime();
  return *service;
}

/// Floats in -1..1, integers 1..4, for every input; open dimensions are `open`.
Feeds random_feeds(const Model& model, int64_t open, uint32_t seed = 1) {
  std::mt19937 random(seed);
  Feeds feeds;
  for (const auto& input : model.graph().inputs()) {
    Shape shape = input.shape;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] < 0) shape[i] = i == 0 ? open : 64;
    }
    std::vector<float> values(static_cast<size_t>(element_count(shape)));
    for (float& value : values) {
      value = is_floating(input.type) ? static_cast<float>(random() % 2001) / 1000.0F - 1.0F
                                      : static_cast<float>(random() % 4 + 1);
    }
    feeds.push_back({input.name, Tensor::from(shape, values).cast(input.type)});
  }
  return feeds;
}

std::vector<std::string> output_names(const Model& model) {
  std::vector<std::string> names;
  for (const auto& output : model.graph().outputs()) names.push_back(output.name);
  return names;
}

Values to_values(const Feeds& feeds) {
  Values values;
  for (const auto& feed : feeds) values[feed.name] = to_torch(feed.tensor);
  return values;
}

Tensors run_program(const Model& model, const Feeds& feeds) {
  const at::NoGradGuard no_gradients;
  std::vector<std::string> fed;
  for (const auto& feed : feeds) fed.push_back(feed.name);
  const Program program(model, fed, output_names(model));
  Execution execution;
  return program.run(to_values(feeds), execution);
}

/// Largest difference, relative to the largest value of each output.
double difference_to_runtime(const Model& model, const Feeds& feeds) {
  const Tensors results = run_program(model, feeds);
  const auto expected = runtime().open(model)->run(feeds);
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const at::Tensor wanted = to_torch(expected[i]).to(at::kDouble);
    const at::Tensor got = results[i].to(at::kDouble);
    if (got.sizes() != wanted.sizes()) {
      ADD_FAILURE() << "shape " << got.sizes() << " instead of " << wanted.sizes();
      return INFINITY;
    }
    if (wanted.numel() == 0) continue;
    const double scale = std::max(wanted.abs().max().item<double>(), 1e-6);
    worst = std::max(worst, (got - wanted).abs().max().item<double>() / scale);
  }
  return worst;
}

void expect_as_runtime(std::string_view text, int64_t opset = 17) {
  SCOPED_TRACE(std::string(text));
  const Model model = parse_model(text, opset);
  EXPECT_LE(difference_to_runtime(model, random_feeds(model, 2)), 2e-5);
}

TEST(Program, ConvolutionsPadAsTheRuntime) {
  for (const char* const attributes :
       {"pads = [1,0,2,1]", "pads = [1,1,1,1], strides = [2,2]",
        "auto_pad = \"SAME_UPPER\", strides = [2,3]", "auto_pad = \"SAME_LOWER\", strides = [2,2]",
        "auto_pad = \"VALID\", dilations = [2,1]", "dilations = [2,2], pads = [2,2,2,2]"}) {
    expect_as_runtime(std::string("g (float[2,4,9,10] x, float[6,4,3,2] w, float[6] b) => "
                                  "(float[n,c,h,v] y) { y = Conv <") +
                      attributes + "> (x, w, b) }");
  }
  expect_as_runtime(
      "g (float[2,4,9] x, float[4,1,3] w) => (float[n,c,h] y) { y = Conv <group = 4, pads = [1,1]> "
      "(x, w) }");
  expect_as_runtime(
      "g (float[2,4,9] x, float[4,2,3] w) => (float[n,c,h] y) { y = Conv <group = 2, strides = "
      "[2]> (x, w) }");
}

TEST(Program, TransposedConvolutionsCropAsTheRuntime) {
  for (const char* const attributes :
       {"strides = [2,2]", "strides = [3,2], output_padding = [1,1]",
        "pads = [1,0,0,1], strides = [2,2]", "auto_pad = \"SAME_UPPER\", strides = [2,3]",
        "auto_pad = \"SAME_LOWER\", strides = [2,2]", "output_shape = [12,13], strides = [2,2]",
        "dilations = [2,1], pads = [1,1,1,1]",
        "strides = [2,2], pads = [1,1,1,1], output_padding = [1,1]"}) {
    expect_as_runtime(std::string("g (float[2,4,5,6] x, float[4,3,3,3] w, float[3] b) => "
                                  "(float[n,c,h,v] y) { y = ConvTranspose <") +
                      attributes + "> (x, w, b) }");
  }
  expect_as_runtime(
      "g (float[2,4,5] x, float[4,2,3] w) => (float[n,c,h] y) "
      "{ y = ConvTranspose <group = 2, strides = [2]> (x, w) }");
}

TEST(Program, PoolsCountAsTheRuntime) {
  for (const char* const op : {"MaxPool", "AveragePool", "LpPool"}) {
    for (const char* const attributes :
         {"kernel_shape = [3,2], strides = [2,2]", "kernel_shape = [3,3], pads = [1,0,2,1]",
          "kernel_shape = [3,3], strides = [2,2], ceil_mode = 1",
          "kernel_shape = [3,3], strides = [2,2], ceil_mode = 1, pads = [1,1,1,1]",
          "kernel_shape = [3,3], auto_pad = \"SAME_UPPER\", strides = [2,2]",
          "kernel_shape = [2,3], auto_pad = \"SAME_LOWER\"",
          "kernel_shape = [2,2], dilations = [2,3]"}) {
      const std::string form = attributes;
      if (op == std::string("LpPool") && form.find("ceil") != std::string::npos) continue;
      expect_as_runtime("g (float[2,3,9,10] x) => (float[n,c,h,v] y) { y = " + std::string(op) +
                            " <" + form + "> (x) }",
                        19);
    }
  }
  expect_as_runtime(
      "g (float[2,3,9,10] x) => (float[n,c,h,v] y) { y = AveragePool <kernel_shape = [3,3], "
      "pads = [1,1,0,1], count_include_pad = 1> (x) }");
  expect_as_runtime(
      "g (float[2,3,9,10] x) => (float[n,c,h,v] y) { y = AveragePool <kernel_shape = [3,3], "
      "pads = [1,1,1,1], count_include_pad = 1, ceil_mode = 1, strides = [2,2]> (x) }");
  expect_as_runtime(
      "g (float[2,3,9] x) => (float[n,c,h] y) { y = MaxPool <kernel_shape = [3], strides = [2]> "
      "(x) }");
}

TEST(Program, ProductsAndNormalizations) {
  expect_as_runtime(
      "g (float[4,3] a, float[5,4] b, float[5] c) => (float[n,m] y) "
      "{ y = Gemm <transA = 1, transB = 1, alpha = 0.5, beta = 2.0> (a, b, c) }");
  expect_as_runtime(
      "g (float[3,4] a, float[4,5] b, float c) => (float[n,m] y) { y = Gemm (a, b, c) }");
  expect_as_runtime(
      "g (float[2,3,4,5] a, float[3,5,6] b) => (float[p,q,n,m] y) { y = MatMul (a, b) }");
  expect_as_runtime("g (float[5] a, float[3,5,6] b) => (float[n,m] y) { y = MatMul (a, b) }");
  expect_as_runtime(
      "g (float[2,6,5,5] x, float[6] s, float[6] b) => (float[n,c,h,w] y) "
      "{ y = InstanceNormalization (x, s, b) }");
  expect_as_runtime(
      "g (float[2,6,5] x, float[6,5] s, float[6,5] b) => (float[n,c,h] y) "
      "{ y = LayerNormalization <axis = 1> (x, s, b) }");
  expect_as_runtime(
      "g (float[2,6,5,5] x) => (float[n,c,h,w] y) { y = LRN <size = 5, alpha = 0.5> (x) }");
  expect_as_runtime(
      "g (float[2,6,5,5] x, float[6] s, float[6] b) => (float[n,c,h,w] y) "
      "{ y = GroupNormalization <num_groups = 3> (x, s, b) }",
      21);
}

TEST(Program, RecurrentNetworks) {
  for (const char* const direction : {"forward", "reverse", "bidirectional"}) {
    const std::string count = direction == std::string("bidirectional") ? "2" : "1";
    const auto text = [&](const std::string& op, int gates, const std::string& attributes,
                          const std::string& inputs) {
      const std::string rows = std::to_string(4 * gates);
      return "g (float[5,3,6] x, float[" + count + "," + rows + ",6] w, float[" + count + "," +
             rows + ",4] r, float[" + count + "," + std::to_string(8 * gates) +
             "] b, int32[3] l, float[" + count + ",3,4] h, float[" + count + ",3,4] c, float[" +
             count + ",12] p) => (float[t,d,n,e] y, float[d,n,e] z) " + "{ y, z = " + op +
             " <hidden_size = 4, direction = \"" + direction + "\"" + attributes + "> (" + inputs +
             ") }";
    };
    expect_as_runtime(text("LSTM", 4, "", "x, w, r"));
    expect_as_runtime(text("LSTM", 4, "", "x, w, r, b, l, h, c, p"));
    expect_as_runtime(text("GRU", 3, "", "x, w, r, b"));
    expect_as_runtime(text("GRU", 3, ", linear_before_reset = 1", "x, w, r, b, l, h"));
    expect_as_runtime(text("RNN", 1, "", "x, w, r, b, l, h"));
    expect_as_runtime(text("GRU", 3, ", clip = 0.3", "x, w, r, b"));
  }
  EXPECT_THROW(
      run_program(
          parse_model("g (float[5,3,6] x, float[1,16,6] w, float[1,16,4] r) => (float[t,d,n,e] y) "
                      "{ y = LSTM <hidden_size = 4, activations = [\"Sine\", \"Tanh\", \"Tanh\"]> "
                      "(x, w, r) }"),
          {{"x", Tensor(DataType::kFloat, {5, 3, 6})},
           {"w", Tensor(DataType::kFloat, {1, 16, 6})},
           {"r", Tensor(DataType::kFloat, {1, 16, 4})}}),
      Unsupported);
}

constexpr const char* kTwoLayers = R"(
    g (float[n,3] x) => (float[n,2] y)
    <float[3,4] w = {1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,1.0,2.0,3.0}, float[4,2] v = {1.0,-1.0,2.0,0.5,1.0,1.0,3.0,-2.0},
     int64[2] turn = {1, 0}> {
      h = MatMul(x, w)
      a = Relu(h)
      t = Constant <value = float[2,4] {1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0}> ()
      u = Transpose(t)
      s = Add(u, v)
      y = MatMul(a, s)
    })";

TEST(Program, ComputesConstantsOnce) {
  const Model model = parse_model(kTwoLayers);
  EXPECT_EQ(Program(model, {"x"}, {"y"}).step_count(), 3U);
  EXPECT_EQ(Program(model, {"x"}, {"y"}, {"v"}).step_count(), 4U);
  EXPECT_EQ(Program(model, {"x"}, {"y"}, {"s"}).step_count(), 3U);
  EXPECT_EQ(Program(model, {"a"}, {"y"}).step_count(), 1U);
  EXPECT_LE(difference_to_runtime(model, random_feeds(model, 2)), 1e-6);
}

TEST(Program, GradientsReachItsVariables) {
  const Model model = parse_model(kTwoLayers);
  const Program program(model, {"x"}, {"y", "a"}, {"w", "v"});
  Values values = {{"x", at::ones({2, 3})},
                   {"w", program.constant("w").requires_grad_()},
                   {"v", program.constant("v").requires_grad_()}};
  Execution execution;
  const Tensors results = program.run(values, execution);
  results[0].sum().backward();
  // d sum(y) / d v = sum over samples of the hidden values, in each column.
  EXPECT_TRUE(
      at::allclose(values["v"].grad(), results[1].detach().sum(0).unsqueeze(1).expand({4, 2})));
  EXPECT_EQ(values["w"].grad().sizes(), at::IntArrayRef({3, 4}));
}

TEST(Program, NamesWhatItCannotRun) {
  const auto build = [](const char* text, std::vector<std::string> fed) {
    return Program(parse_model(text), std::move(fed), {"y"});
  };
  EXPECT_THROW(build("g (float[2] x) => (float[2] y) { y = com.acme.Odd(x) }", {"x"}), Unsupported);
  EXPECT_THROW(build("g (float[2] x) => (float[2] y) { y = Relu(x) }", {}), Error);
  try {
    Execution execution;
    build("g (float[2,3] x) => (float[2,3] y) { y = MatMul(x, x) }", {"x"})
        .run({{"x", at::ones({2, 3})}}, execution);
    FAIL() << "shapes that do not fit went through";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel);
    EXPECT_NE(error.message().find("MatMul"), std::string::npos) << error.message();
  }
}

TEST(Program, RecordsStatisticsOfTheBatch) {
  const Model model = parse_model(R"(
    g (float[n,2,2] x) => (float[n,2,2] y)
    <float[2] s = {1.0,2.0}, float[2] b = {0.0,1.0}, float[2] m = {0.0,0.0}, float[2] v = {1.0,1.0}> {
      y = BatchNormalization <epsilon = 0.0> (x, s, b, m, v)
    })");
  const Program program(model, {"x"}, {"y"});
  const at::Tensor x = at::arange(12, at::kFloat).reshape({3, 2, 2});
  Execution execution = {.batch_statistics = true};
  const at::Tensor y = program.run({{"x", x}}, execution)[0];
  const at::Tensor channels = x.transpose(0, 1).reshape({2, 6});
  EXPECT_TRUE(at::allclose(execution.recorded_statistics.at("m"), channels.mean(1)));
  EXPECT_TRUE(at::allclose(execution.recorded_statistics.at("v"), channels.var(1), 1e-4));
  EXPECT_NEAR(y.select(1, 0).mean().item<double>(), 0, 1e-5);
  EXPECT_NEAR(y.select(1, 1).mean().item<double>(), 1, 1e-5);
}

TEST(Program, OfWholeModels) {
  const char* const folder = std::getenv("MCOMPRESS_TRAIN_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "MCOMPRESS_TRAIN_MODELS names no folder";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".onnx") continue;
    const Model model = Model::load(entry.path());
    try {
      const double worst = difference_to_runtime(model, random_feeds(model, 4));
      std::printf("%-60s %.2e\n", entry.path().c_str(), worst);
      EXPECT_LE(worst, 1e-4) << entry.path();
    } catch (const Unsupported& why) {
      std::printf("%-60s %s\n", entry.path().c_str(), why.reason().c_str());
    }
  }
}

}  // namespace
}  // namespace mcompress::train
