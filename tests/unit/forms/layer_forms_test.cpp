// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "form_test_support.h"
#include "forms/activation.h"
#include "forms/cast.h"
#include "forms/layer_form.h"
#include "forms/dynamic.h"
#include "forms/nbits.h"
#include "forms/quantized_weight.h"
#include "tests/support/spread_codes.h"

namespace mcompress::forms {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

constexpr int64_t kInputs = 64;
constexpr int64_t kOutputs = 32;

QuantizedWeight weight(int bits, int axis, bool per_channel = true) {
  QuantizedWeight result;
  result.codes = test::spread_codes({kInputs, kOutputs}, bits);
  result.axis = axis;
  const int64_t scales = per_channel ? result.codes.shape()[static_cast<size_t>(axis)] : 1;
  std::vector<float> values;
  for (int64_t s = 0; s < scales; ++s) values.push_back(0.01F + 0.001F * static_cast<float>(s));
  result.scales = Tensor::from(per_channel ? Shape{scales} : Shape{}, values);
  return result;
}

/// x [3, inputs] and whatever `emit` makes of it as output y.
Model with_input(int64_t opset, const std::function<ValueRef(Graph&, const ValueRef&)>& emit) {
  onnx::ModelProto proto;
  proto.set_ir_version(opset >= 21 ? 10 : 8);
  auto* import = proto.add_opset_import();
  import->set_domain("");
  import->set_version(opset);
  auto* graph = proto.mutable_graph();
  graph->set_name("g");
  auto* x = graph->add_input();
  testing::add_value(*x, "x", DataType::kFloat);
  for (const int64_t d : {int64_t{3}, kInputs}) {
    x->mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(d);
  }
  testing::add_value(*graph->add_output(), "y", DataType::kFloat);
  auto* last = graph->add_node();
  last->set_op_type("Identity");
  last->add_input("x");
  last->add_output("y");
  Model model = Model::parse(proto.SerializeAsString());
  Graph& g = model.graph();
  const NodeRef identity = g.find("y").producer();
  g.set_input(identity, 0, emit(g, g.find("x")));
  return model;
}

std::vector<float> run(const Model& model, bool optimize = true) {
  std::vector<float> x;
  for (int i = 0; i < 3 * kInputs; ++i) x.push_back(std::sin(static_cast<float>(i)));
  SessionOptions options;
  options.optimize = optimize;
  return testing::runtime().open(model, options)->run({{"x", Tensor::from(Shape{3, kInputs}, x)}})
      .front().to_float();
}

ValueRef multiply(Graph& graph, const ValueRef& x, const ValueRef& w) {
  return graph.insert({.op = "MatMul", .inputs = {x, w}}).output();
}

/// The product with the decoded weight, in float.
std::vector<float> reference(const Tensor& w) {
  return run(with_input(17, [&](Graph& graph, const ValueRef& x) {
    return multiply(graph, x, graph.add_constant("w", w));
  }));
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b, float relative) {
  ASSERT_EQ(a.size(), b.size());
  float largest = 0;
  for (const float v : b) largest = std::max(largest, std::fabs(v));
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], relative * largest) << i;
}

TEST(Dequantize, DecodesToWhatTheRuntimeComputes) {
  for (const int axis : {0, 1}) {
    for (const bool per_channel : {true, false}) {
      const QuantizedWeight w = weight(8, axis, per_channel);
      ValueRef end;
      const Model model = with_input(17, [&](Graph& graph, const ValueRef& x) {
        end = emit_dequantize(graph, "w", w);
        return multiply(graph, x, end);
      });
      const auto form = recognise(end);
      ASSERT_TRUE(form);
      EXPECT_EQ(form->kind, FormKind::kDequantize);
      EXPECT_TRUE(form->decode() == w.dequantized());
      EXPECT_TRUE(quantized_weight(end)->codes == w.codes);
      expect_near(run(model, false), reference(form->decode()), 1e-6F);
    }
  }
}

TEST(Dequantize, PerOutputBeforeMatMulBecomesMatMulNBits) {
  const QuantizedWeight w = weight(8, 1);
  const Model model = with_input(17, [&](Graph& graph, const ValueRef& x) {
    return multiply(graph, x, emit_dequantize(graph, "w", w));
  });
  EXPECT_THAT(testing::optimized_ops(model), ElementsAre("MatMulNBits"));
}

TEST(Dequantize, BlocksOfFourBits) {
  QuantizedWeight w = weight(4, 0);
  w.codes = w.codes.cast(DataType::kInt4);
  w.block = 32;
  std::vector<float> scales;
  for (int64_t i = 0; i < kInputs / 32 * kOutputs; ++i) scales.push_back(0.02F + 0.001F * static_cast<float>(i));
  w.scales = Tensor::from(Shape{kInputs / 32, kOutputs}, scales);
  EXPECT_EQ(dequantize_opset(w), 21);
  ValueRef end;
  const Model model = with_input(21, [&](Graph& graph, const ValueRef& x) {
    end = emit_dequantize(graph, "w", w);
    return multiply(graph, x, end);
  });
  const auto form = recognise(end);
  ASSERT_TRUE(form);
  expect_near(run(model, false), reference(form->decode()), 1e-6F);
  EXPECT_THAT(testing::optimized_ops(model), ElementsAre("MatMulNBits"));
}

TEST(Scaled, FoldsToAFloatWeight) {
  for (const int axis : {0, 1}) {
    const QuantizedWeight w = weight(8, axis);
    ValueRef end;
    const Model model = with_input(13, [&](Graph& graph, const ValueRef& x) {
      end = emit_scaled(graph, "w", w);
      return multiply(graph, x, end);
    });
    const auto form = recognise(end);
    ASSERT_TRUE(form);
    EXPECT_EQ(form->kind, FormKind::kScaled);
    EXPECT_TRUE(form->quantized());
    EXPECT_TRUE(form->decode() == w.dequantized());
    EXPECT_TRUE(quantized_weight(end)->dequantized() == w.dequantized());
    EXPECT_THAT(testing::optimized_ops(model), ElementsAre("MatMul"));
    expect_near(run(model), reference(form->decode()), 1e-6F);
  }
}

/// The form at `end` decodes to what the runtime computes, and the runtime folds it away.
void expect_folded(const Model& model, const ValueRef& end, const Tensor& expected) {
  const auto form = recognise(end);
  ASSERT_TRUE(form);
  EXPECT_EQ(form->kind, FormKind::kScaled);
  EXPECT_EQ(form->shape, expected.shape());
  EXPECT_EQ(form->decode(), expected);
  EXPECT_THAT(testing::optimized_ops(model), ElementsAre("MatMul"));
  expect_near(run(model), reference(expected), 1e-6F);
  EXPECT_EQ(form_nodes(model).size(), form->nodes.size());
}

TEST(Scaled, ZeroPointsBlocksAndInputScales) {
  for (const int64_t block : {int64_t{0}, int64_t{16}}) {
    for (const bool zero_points : {false, true}) {
      for (const bool input_scales : {false, true}) {
        QuantizedWeight w = weight(8, 1);
        if (block > 0) {
          w.axis = 0;
          w.block = block;
          std::vector<float> scales;
          for (int i = 0; i < kInputs / block * kOutputs; ++i) {
            scales.push_back(0.01F + 0.0003F * static_cast<float>(i % 50));
          }
          w.scales = Tensor::from(Shape{kInputs / block, kOutputs}, scales);
        }
        if (zero_points) {
          std::vector<int8_t> zeros;
          for (int64_t i = 0; i < w.scales.count(); ++i) zeros.push_back(static_cast<int8_t>(i % 9 - 4));
          w.zero_points = Tensor::from(w.scales.shape(), zeros);
        }
        if (input_scales) {
          std::vector<float> factors;
          for (int i = 0; i < kInputs; ++i) factors.push_back(0.5F + 0.1F * static_cast<float>(i % 7));
          w.input_scales = Tensor::from(Shape{kInputs}, factors);
        }
        ValueRef end;
        const Model model = with_input(13, [&](Graph& graph, const ValueRef& x) {
          end = emit_scaled(graph, "w", w);
          return multiply(graph, x, end);
        });
        expect_folded(model, end, w.dequantized());
      }
    }
  }
}

TEST(Scaled, PackedCodes) {
  for (const int bits : {4, 2}) {
    for (const int64_t opset : {int64_t{9}, int64_t{13}, int64_t{21}}) {
      const QuantizedWeight w = weight(bits, 1);
      ValueRef end;
      const Model model = with_input(opset, [&](Graph& graph, const ValueRef& x) {
        Emitter emitter(graph);
        end = emit_packed(emitter, "w", w, bits);
        return multiply(graph, x, end);
      });
      expect_folded(model, end, w.dequantized());
      EXPECT_LT(recognise(end)->bits_per_weight, bits + 1.0);
    }
  }
}

TEST(Scaled, ABroadcastAlongTheOtherAxisIsNoInputScale) {
  // 32 factors for 32 outputs look like factors of the inputs of a square matrix.
  QuantizedWeight w = weight(8, 1);
  w.codes = Tensor(DataType::kInt8, {kOutputs, kOutputs});
  ValueRef end;
  const Model model = with_input(13, [&](Graph& graph, const ValueRef& x) {
    const ValueRef plain = emit_scaled(graph, "w", w);
    const std::vector<float> factors(static_cast<size_t>(kOutputs), 2.0F);
    NodeSpec mul{.op = "Mul", .inputs = {plain, graph.add_constant("f", Tensor::from({kOutputs}, factors))}};
    end = graph.insert(std::move(mul)).output();
    return x;
  });
  EXPECT_FALSE(recognise(end));
}

TEST(Scaled, RefusesBlocksThatAreNotWhole) {
  QuantizedWeight w = weight(8, 0);
  w.block = 48;
  EXPECT_THROW(with_input(13, [&](Graph& graph, const ValueRef&) { return emit_scaled(graph, "w", w); }),
               Error);
}

TEST(Cast, HalfFoldsAndDecodes) {
  const Tensor w = weight(8, 1).dequantized();
  for (const DataType type : {DataType::kFloat16, DataType::kBfloat16}) {
    ValueRef end;
    const Model model = with_input(13, [&](Graph& graph, const ValueRef& x) {
      end = emit_cast(graph, "w", w.cast(type));
      return multiply(graph, x, end);
    });
    const auto form = recognise(end);
    ASSERT_TRUE(form);
    EXPECT_EQ(form->bits_per_weight, 16.0);
    EXPECT_THAT(testing::optimized_ops(model), ElementsAre("MatMul"));
    expect_near(run(model), reference(form->decode()), 1e-6F);
  }
}

TEST(NBits, ComputesWithTheDecodedWeight) {
  for (const int bits : {4, 8}) {
    for (const int64_t block : {16, 32}) {
      const QuantizedWeight w = weight(bits, 1);
      const NBitsWeight packed = pack_nbits(w, bits, block);
      EXPECT_TRUE(packed.dequantized() == w.dequantized());
      const Model model = with_input(17, [&](Graph& graph, const ValueRef& x) {
        return emit_nbits(graph, "w", x, packed);
      });
      const auto match = match_nbits(model.graph().find("y").producer().input(0).producer());
      ASSERT_TRUE(match);
      EXPECT_TRUE(match->dequantized() == w.dequantized());
      // Its kernel rounds the input to 8 bits.
      expect_near(run(model), reference(w.dequantized()), 0.02F);
    }
  }
}

TEST(NBits, RefusesWhatItCannotHold) {
  EXPECT_THROW(pack_nbits(weight(8, 1), 4, 32), Unsupported);
  EXPECT_THROW(pack_nbits(weight(4, 0), 4, 32), Unsupported);
  EXPECT_THROW(pack_nbits(weight(4, 1), 4, 512), Unsupported);
}

TEST(Dynamic, FusesAndSharesTheQuantizedInput) {
  const QuantizedWeight w = weight(8, 1);
  const Model model = with_input(17, [&](Graph& graph, const ValueRef& x) {
    const ValueRef a = emit_dynamic(graph, "a", x, w);
    const ValueRef b = emit_dynamic(graph, "b", x, w);
    return graph.insert({.op = "Add", .inputs = {a, b}}).output();
  });
  int quantizers = 0;
  for (const NodeRef node : model.graph().nodes()) {
    quantizers += node.is("DynamicQuantizeLinear") ? 1 : 0;
    if (!node.is("MatMulInteger")) continue;
    const auto match = match_dynamic(node);
    ASSERT_TRUE(match);
    EXPECT_TRUE(match->weight() == w.dequantized());
  }
  EXPECT_EQ(quantizers, 1);
  std::vector<float> twice = reference(w.dequantized());
  for (float& v : twice) v *= 2;
  expect_near(run(model), twice, 0.02F);

  const Model one = with_input(17, [&](Graph& graph, const ValueRef& x) {
    return emit_dynamic(graph, "a", x, w, graph.add_constant("bias", Tensor(DataType::kFloat, {kOutputs})));
  });
  EXPECT_THAT(testing::optimized_ops(one), ElementsAre("DynamicQuantizeMatMul"));
}

TEST(Activation, QuantizedProductFuses) {
  const QuantizedWeight w = weight(8, 1);
  ValueRef pair;
  const Model model = with_input(17, [&](Graph& graph, const ValueRef& x) {
    const auto codes = emit_quantize(graph, "x", x, 0.008F, Tensor::scalar(uint8_t{128}));
    pair = emit_dequantize(graph, codes);
    return multiply(graph, pair, emit_dequantize(graph, "w", w));
  });
  const auto match = match_activation(pair);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->x.name(), "x");
  EXPECT_EQ(match->parameters.zero_point, 128);
  EXPECT_EQ(match->parameters.type, DataType::kUint8);
  EXPECT_THAT(testing::optimized_ops(model), Contains("MatMulIntegerToFloat"));
  EXPECT_THAT(testing::optimized_ops(model), Not(Contains("DequantizeLinear")));
  expect_near(run(model), reference(w.dequantized()), 0.02F);
}

TEST(LayerForm, SaysWhatItNeeds) {
  EXPECT_EQ(facts(LayerForm::kStaticInt8).least_opset, 13);
  EXPECT_EQ(facts(LayerForm::kWeightOnly4).name, "4-bit weights");
}

}  // namespace
}  // namespace mcompress::forms
