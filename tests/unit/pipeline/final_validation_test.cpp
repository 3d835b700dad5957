// SPDX-License-Identifier: Apache-2.0
#include "pipeline/final_validation.h"

#include <gtest/gtest.h>

#include "forms/chain.h"
#include "forms/quantized_weight.h"
#include "forms/stored_form.h"
#include "mcompress/layer.h"
#include "mcompress/runtime_service.h"
#include "pipeline/narrow_layer.h"
#include "tests/support/spread_codes.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress {
namespace {

constexpr int64_t kInputs = 64, kOutputs = 96;

forms::QuantizedWeight weight(int bits, int64_t block) {
  forms::QuantizedWeight result;
  result.codes = test::spread_codes({kInputs, kOutputs}, bits);
  result.axis = block > 0 ? 0 : 1;
  result.block = block;
  const Shape scales = block > 0 ? Shape{kInputs / block, kOutputs} : Shape{kOutputs};
  std::vector<float> values;
  for (int64_t s = 0; s < element_count(scales); ++s) {
    values.push_back(0.01F + 0.001F * static_cast<float>(s));
  }
  result.scales = Tensor::from(scales, values);
  return result;
}

enum class How { kScaled, kPacked, kDequantize };

Model product(const std::string& node, How how, const forms::QuantizedWeight& stored) {
  Model model = test::model_from_text(R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[2,64] x, float[64,96] w) => (float[2,96] y) { y = )" + node + " }");
  Graph& graph = model.graph();
  ValueRef end;
  if (how == How::kScaled) end = forms::emit_scaled(graph, "w", stored);
  if (how == How::kDequantize) end = forms::emit_dequantize(graph, "w", stored);
  if (how == How::kPacked) {
    forms::Emitter emitter(graph);
    end = forms::emit_packed(emitter, "w", stored, 4);
  }
  graph.set_input(graph.find("y").producer(), 1, end);
  if (node.starts_with("Gemm")) {
    const ValueRef bias = graph.add_constant("b", Tensor::from(Shape{kOutputs}, std::vector<float>(kOutputs, 1.5F)));
    graph.set_input(graph.find("y").producer(), 2, bias);
  }
  return model;
}

/// First columns.
std::vector<float> first(const Tensor& matrix, int64_t columns) {
  std::vector<float> result;
  const auto values = matrix.as<float>();
  for (int64_t i = 0; i < matrix.count(); ++i) {
    if (i % kOutputs < columns) result.push_back(values[static_cast<size_t>(i)]);
  }
  return result;
}

TEST(NarrowLayer, KeepsTheFirstOutputsInTheSameForm) {
  struct Case {
    std::string node;
    How how;
    forms::QuantizedWeight stored;
  };
  const std::vector<Case> cases{{"MatMul(x, w)", How::kScaled, weight(8, 0)},
                                {"MatMul(x, w)", How::kScaled, weight(8, 16)},
                                {"Gemm(x, w, w)", How::kScaled, weight(8, 0)},
                                {"MatMul(x, w)", How::kPacked, weight(4, 0)},
                                {"MatMul(x, w)", How::kDequantize, weight(8, 0)},
                                {"MatMul(x, w)", How::kDequantize, weight(8, 16)}};
  for (const auto& [node, how, stored] : cases) {
    Model model = product(node, how, stored);
    Layer layer = find_layers(model).at(0);
    const auto before = forms::recognise(layer.weight);
    ASSERT_TRUE(before);
    EXPECT_FALSE(narrow_layer(layer, kInputs * kOutputs));  // it is that small
    ASSERT_TRUE(narrow_layer(layer, kInputs * 40));
    const auto after = forms::recognise(find_layers(model).at(0).weight);
    ASSERT_TRUE(after);
    EXPECT_EQ(after->kind, before->kind);
    EXPECT_EQ(after->inner, before->inner);
    EXPECT_EQ(after->shape, (Shape{kInputs, 32}));
    EXPECT_EQ(first(stored.dequantized(), 32), after->decode().to_float());
    if (layer.bias) {
      EXPECT_EQ(find_layers(model).at(0).bias.constant_shape(), Shape{32});
    }
  }
}

/// A recurrent layer of 2 values that reads the matrix `r` of its state.
Model recurrent(const std::string& r) {
  Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,1,3] x) => (float[1,1,1,2] y) <float[1,2,3] w = {1, 2, 3, 4, 5, 6},
    float[1,2,2] r = {1, 2, 3, 4}> { y = RNN<hidden_size = 2>(x, w, )" + r + ") }");
  return model;
}

TEST(ValidateFinal, WhatTheInputRunsOnTheResultRunsOn) {
  const auto runtime = make_onnx_runtime();
  const Model input = recurrent("r");
  const std::optional<Feeds> zeros = Feeds{{"x", Tensor(DataType::kFloat, {1, 1, 3})}};
  EXPECT_NE(validate_final(*runtime, input, input, nullptr, zeros, 8).find("on 1 sample"),
            std::string::npos);
  const Model broken = recurrent("w");
  try {
    validate_final(*runtime, input, broken, nullptr, zeros, 8);
    FAIL() << "nobody noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBug);
    EXPECT_NE(std::string(error.what()).find("the input model runs"), std::string::npos);
  }
  // What runs on neither says nothing about the result.
  EXPECT_NE(validate_final(*runtime, broken, broken, nullptr, zeros, 8).find("not run"),
            std::string::npos);
}

TEST(ValidateLayers, RunsOneLayerOfAKindAndPartOfALargeOne) {
  Model model = product("MatMul(x, w)", How::kScaled, weight(8, 0));
  const auto runtime = make_onnx_runtime();
  ValueTypes types;
  types.set(&model.graph(), "x", {.type = DataType::kFloat, .known_rank = true, .shape = {2, kInputs}});
  for (const int64_t most : {kInputs * 32, kInputs * kOutputs}) {
    const std::string found = validate_layers(*runtime, model, types, most);
    EXPECT_NE(found.find("1 of 1 kinds"), std::string::npos) << found;
  }
  // The model itself stays whole.
  EXPECT_EQ(find_layers(model).at(0).outputs, kOutputs);
}

}  // namespace
}  // namespace mcompress
