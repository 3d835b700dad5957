// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "forms/cast.h"
#include "forms/quantized_weight.h"
#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

Model sparse_model() {
  Model model = parse_model(R"(
    g (float[N, 50] x) => (float[N, 30] y) <float[50, 30] w = {0.0}> { y = MatMul(x, w) })");
  std::vector<float> w(1500, 0.0F);
  for (size_t i = 0; i < w.size(); i += 1 + i % 9) w[i] = 0.3F * static_cast<float>(i % 6) - 1;
  model.graph().set_constant(model.graph().find("w"), Tensor::from(Shape{50, 30}, w));
  return model;
}

TEST(DecodeWeights, UndoesEncodingToTheLastName) {
  for (const char* form : {"codes", "gap", "bitmask"}) {
    SCOPED_TRACE(form);
    Model model = sparse_model();
    Model original = model.clone();
    ASSERT_TRUE(run_pass("encode-weights", model, {{"forms", form}}).changed);
    EXPECT_TRUE(run_pass("decode-weights", model).changed);
    EXPECT_EQ(model.graph().initializers(), original.graph().initializers());
    EXPECT_EQ(normal_form(model), normal_form(original));
    EXPECT_TRUE(*model.graph().find("w").constant() == *original.graph().find("w").constant());
    EXPECT_FALSE(run_pass("decode-weights", model).changed);
  }
}

TEST(DecodeWeights, EveryStoring) {
  const Model model = sparse_model();
  for (Storing& storing : six_storings(model, "w")) {
    SCOPED_TRACE(storing.how);
    const Model original = storing.model.clone();
    ASSERT_TRUE(run_pass("encode-weights", storing.model).changed);
    EXPECT_TRUE(run_pass("decode-weights", storing.model).changed);
    for (Graph* graph : storing.model.graphs()) {
      for (const NodeRef node : graph->nodes()) {
        EXPECT_FALSE(node.is("Gather") || node.is("ScatterElements") || node.is("Mod"));
      }
    }
    expect_close(original, storing.model, kExact);
  }
}

Model with_weight(const std::function<ValueRef(Graph&)>& emit) {
  Model model = sparse_model();
  Graph& graph = model.graph();
  graph.replace_uses(graph.find("w"), emit(graph));
  graph.erase_initializer("w");
  return model;
}

TEST(DecodeWeights, CastsAndQuantizedOnlyWhenAsked) {
  Model half = with_weight([](Graph& graph) {
    const Tensor narrow = graph.find("w").constant()->cast(DataType::kFloat16);
    return forms::emit_cast(graph, "h", narrow);
  });
  EXPECT_FALSE(run_pass("decode-weights", half).changed);
  const Model before = half.clone();
  EXPECT_TRUE(run_pass("decode-weights", half, {{"casts", "true"}}).changed);
  EXPECT_EQ(half.graph().nodes().size(), 1U);
  expect_close(before, half, kExact);

  Model integers = with_weight([](Graph& graph) {
    forms::QuantizedWeight weight;
    weight.codes = Tensor(DataType::kInt8, {50, 30});
    for (size_t i = 0; i < 1500; ++i) weight.codes.mutate_as<int8_t>()[i] = static_cast<int8_t>(i % 99);
    weight.scales = Tensor::from(Shape{30}, std::vector<float>(30, 0.03F));
    weight.axis = 1;
    return forms::emit_scaled(graph, "q", weight);
  });
  EXPECT_FALSE(run_pass("decode-weights", integers, {{"casts", "true"}}).changed);
  const Model original = integers.clone();
  EXPECT_TRUE(run_pass("decode-weights", integers, {{"quantized", "true"}}).changed);
  EXPECT_EQ(integers.graph().nodes().size(), 1U);
  expect_close(original, integers, kExact);
}

}  // namespace
}  // namespace mcompress::test
