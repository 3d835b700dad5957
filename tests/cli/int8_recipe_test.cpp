// SPDX-License-Identifier: Apache-2.0
//
// The recipe int8 on small models of the kinds that static quantization alone spoils: recurrent,
// embeddings with attention, convolutions of few channels. Nothing may get worse, and no form may
// be left that the runtime is slow in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "calibration/calibration.h"
#include "mcompress/metric.h"
#include "mcompress/recipe.h"
#include "opset/service.h"
#include "pass/manager.h"
#include "tests/support/memory_dataset.h"
#include "tests/support/noise.h"
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

using ::testing::Contains;
using ::testing::Not;

/// Builds a model of one input on top of a skeleton in text form whose output is an Identity of it.
class Builder {
 public:
  explicit Builder(std::string_view text) : model_(parse_model(text)), noise_(23) {}
  ValueRef input() { return model_.graph().find("x"); }
  ValueRef weight(const Shape& shape, float scale) {
    return model_.graph().add_constant("w" + std::to_string(++count_), noise_.tensor(shape, scale));
  }
  ValueRef node(const std::string& op, std::vector<ValueRef> inputs,
                std::vector<Attribute> attributes = {}) {
    return model_.graph()
        .insert({.op = op, .inputs = std::move(inputs), .attributes = std::move(attributes)})
        .output();
  }
  ValueRef product(const ValueRef& x, int64_t inputs, int64_t outputs) {
    return node("MatMul",
                {x, weight({inputs, outputs}, 1 / std::sqrt(static_cast<float>(inputs)))});
  }
  ValueRef conv(const ValueRef& x, int64_t inputs, int64_t outputs, int64_t kernel, int64_t groups,
                int64_t stride) {
    const int64_t fan = inputs / groups * kernel * kernel;
    const float scale = 1.5F / std::sqrt(static_cast<float>(fan));
    return node("Relu", {node("Conv",
                              {x, weight({outputs, inputs / groups, kernel, kernel}, scale),
                               weight({outputs}, 0.1F)},
                              {{"pads", std::vector<int64_t>(4, kernel / 2)},
                               {"strides", std::vector<int64_t>(2, stride)},
                               {"group", groups}})});
  }
  Model finish(const ValueRef& y) {
    Graph& graph = model_.graph();
    const NodeRef identity = graph.find("y").producer();
    graph.supersede(graph.find("y"), y);
    graph.erase(identity);
    return std::move(model_);
  }

 private:
  Model model_;
  test::Noise noise_;
  int count_ = 0;
};

Model voice_detector() {
  Builder b(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[20,1,32] x) => (float[1,2] y) { y = Identity(x) })");
  Graph& graph = b.input().scope();
  const NodeRef lstm =
      graph.insert({.op = "LSTM",
                    .inputs = {b.input(), b.weight({1, 256, 32}, 0.2F),
                               b.weight({1, 256, 64}, 0.15F), b.weight({1, 512}, 0.1F)},
                    .attributes = {{"hidden_size", int64_t{64}}},
                    .outputs = {"", "last"}});
  const ValueRef axes =
      graph.add_constant("axes", Tensor::from<int64_t>({1}, std::vector<int64_t>{0}));
  const ValueRef last = b.node("Squeeze", {lstm.output(1), axes});
  return b.finish(b.node("Softmax", {b.product(last, 64, 2)}));
}

Model sentence_encoder() {
  Builder b(R"(<ir_version: 8, opset_import: ["" : 17]>
g (int64[1,24] x) => (float[1,64] y) { y = Identity(x) })");
  Graph& graph = b.input().scope();
  const ValueRef embedded = b.node("Gather", {b.weight({200, 64}, 1), b.input()});
  const ValueRef q = b.product(embedded, 64, 64), k = b.product(embedded, 64, 64),
                 v = b.product(embedded, 64, 64);
  const ValueRef turned = b.node("Transpose", {k}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  const ValueRef eighth = graph.add_constant("eighth", Tensor::scalar(0.125F));
  const ValueRef scores =
      b.node("Softmax", {b.node("Mul", {b.node("MatMul", {q, turned}), eighth})});
  const ValueRef mixed = b.node("Add", {b.node("MatMul", {scores, v}), embedded});
  const ValueRef wide = b.node("Relu", {b.product(mixed, 64, 256)});
  const ValueRef sum = b.node("Add", {b.product(wide, 256, 64), mixed});
  return b.finish(
      b.node("ReduceMean", {sum}, {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}}));
}

Model page_classifier() {
  Builder b(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,40,40] x) => (float[1,4] y) { y = Identity(x) })");
  ValueRef x = b.conv(b.input(), 3, 16, 3, 1, 2);
  x = b.conv(x, 16, 16, 3, 16, 1);
  x = b.conv(x, 16, 32, 1, 1, 1);
  x = b.conv(x, 32, 32, 3, 32, 2);
  x = b.conv(x, 32, 64, 1, 1, 1);
  x = b.node("Flatten", {b.node("GlobalAveragePool", {x})});
  return b.finish(b.node("Softmax", {b.product(x, 64, 4)}));
}

std::shared_ptr<const Dataset> samples_for(const Model& model, size_t count, uint64_t seed) {
  test::Noise noise(seed);
  const ValueInfo input = model.graph().inputs()[0];
  std::vector<Feeds> samples;
  for (size_t i = 0; i < count; ++i) {
    if (input.type == DataType::kInt64) {
      std::vector<int64_t> ids(static_cast<size_t>(element_count(input.shape)));
      for (int64_t& id : ids) id = static_cast<int64_t>(noise.below(200));
      samples.push_back({{"x", Tensor::from<int64_t>(input.shape, ids)}});
    } else {
      samples.push_back({{"x", noise.tensor(input.shape, 1)}});
    }
  }
  return std::make_shared<MemoryDataset>(std::move(samples));
}

/// The steps of the built-in recipe, as a run would take them.
Model compressed(const Model& before, bool with_data) {
  PassContext::Services services;
  services.runtime = runtime();
  services.opset = make_opset_service();
  const auto data = samples_for(before, 60, 3);
  if (with_data) {
    services.calibration = make_calibration(runtime(), data, 1);
    services.evaluator = make_evaluator(runtime(), samples_for(before, 40, 5), before);
  }
  services.sample = data->feeds(0, 1);
  PassContext context(services);
  PassManager manager(builtin_passes(), context);
  Model model = before.clone();
  for (const StepSpec& step : find_recipe("int8", builtin_passes()).steps) manager.run(model, step);
  return model;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

void expect_no_worse(const Model& before, bool with_data) {
  const Model after = compressed(before, with_data);
  EXPECT_LT(after.file_size(), before.file_size() * 45 / 100);
  std::vector<std::string> kernels;
  for (const auto& node : runtime()->optimized_nodes(after)) kernels.push_back(node.op);
  for (const char* const slow : {"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"}) {
    EXPECT_THAT(kernels, Not(Contains(slow)));
  }
  const auto data = samples_for(before, 40, 9);
  const auto a = runtime()->open(before), b = runtime()->open(after);
  for (size_t i = 0; i < data->size(); ++i) {
    const auto x = a->run(data->feeds(i, 1))[0].to_float(),
               y = b->run(data->feeds(i, 1))[0].to_float();
    EXPECT_GT(cosine(x, y), 0.99) << "sample " << i;
  }
}

TEST(RecipeInt8, ARecurrentModelGetsNoWorse) {
  expect_no_worse(voice_detector(), true);
  expect_no_worse(voice_detector(), false);
}

TEST(RecipeInt8, EmbeddingsAndAttentionGetNoWorse) {
  expect_no_worse(sentence_encoder(), true);
  expect_no_worse(sentence_encoder(), false);
}

TEST(RecipeInt8, ConvolutionsOfFewChannelsGetNoWorse) {
  expect_no_worse(page_classifier(), true);
  expect_no_worse(page_classifier(), false);
}

}  // namespace
}  // namespace mcompress::test
