// SPDX-License-Identifier: Apache-2.0
#include "quantization/costs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/ir/ir_test_support.h"

namespace mcompress::quantization {
namespace {

using forms::LayerForm;
using test::model_from_text;

class Costs : public ::testing::Test {
 protected:
  /// The only layer of a model, its weight a zero constant of the shape.
  Layer layer(const std::string& node, const Shape& weight) {
    model_ = model_from_text(
        "<ir_version: 8, opset_import: [\"\" : 17]> g (float[N] x, float w) "
        "=> (float[M] y) { y = " +
        node + "(x, w) }");
    Graph& graph = model_->graph();
    graph.replace_uses(graph.find("w"), graph.add_constant("c", Tensor(DataType::kFloat, weight)));
    return find_layers(*model_).at(0);
  }
  std::optional<Model> model_;
  const CostModel built_in_{Target{TargetKind::kCpuVnni}};
};

TEST_F(Costs, KnowWhatDoesNotPay) {
  const Layer conv = layer("Conv", {64, 64, 3, 3});
  EXPECT_LT(built_in_.relative_time(LayerForm::kStaticInt8, conv, 196), 0.5);
  EXPECT_TRUE(std::isinf(built_in_.relative_time(LayerForm::kDynamicInt8, conv, 196)));
  EXPECT_GT(built_in_.relative_time(LayerForm::kDequantizeEachRun, conv, 196), 1.0);
  const Layer grouped = layer("Conv <group = 8>", {64, 8, 3, 3});
  EXPECT_GT(built_in_.relative_time(LayerForm::kStaticInt8, grouped, 196), 1.0);
  const Layer product = layer("MatMul", {1024, 1024});
  EXPECT_LT(built_in_.relative_time(LayerForm::kDynamicInt8, product, 16), 0.5);
  EXPECT_LT(built_in_.relative_time(LayerForm::kWeightOnly8, product, 1), 0.5);
  EXPECT_GT(built_in_.relative_time(LayerForm::kWeightOnly8, product, 16), 1.0);
}

TEST_F(Costs, NameWhatDecidesTheKernel) {
  EXPECT_EQ(layer_key(layer("Conv <strides = [2, 1], dilations = [1, 1], group = 2>", {8, 4, 3, 3}),
                      49, LayerForm::kStaticInt8),
            "Conv 8x4x3x3 groups 2 stride 2x1 rows 49: static int8");
  EXPECT_EQ(layer_key(layer("Gemm <transB = 1>", {10, 84}), 1, LayerForm::kFloat),
            "Gemm 10x84 transposed rows 1: float");
  EXPECT_EQ(quantize_key(64, true), "QuantizeLinear 64 spatial");
  EXPECT_EQ(dequantize_key(64, false), "DequantizeLinear 64");
}

TEST_F(Costs, ComeFromTheTableWhereItHasBoth) {
  const Layer product = layer("MatMul", {64, 64});
  CostTable table;
  const CostModel costs(Target{TargetKind::kCpuVnni}, &table);
  const double before = costs.relative_time(LayerForm::kDynamicInt8, product, 3);
  EXPECT_EQ(before, built_in_.relative_time(LayerForm::kDynamicInt8, product, 3));
  table.set("MatMul 64x64 rows 3: dynamic int8", 900);
  EXPECT_EQ(costs.relative_time(LayerForm::kDynamicInt8, product, 3), before);
  EXPECT_EQ(costs.layer(LayerForm::kDynamicInt8, product, 3), 900);
  table.set("MatMul 64x64 rows 3: float", 600);
  EXPECT_EQ(costs.relative_time(LayerForm::kDynamicInt8, product, 3), 1.5);
  table.set("QuantizeLinear 12", 77);
  EXPECT_EQ(costs.quantize(12, false), 77);
  EXPECT_EQ(costs.quantize(12, true), built_in_.quantize(12, true));
}

}  // namespace
}  // namespace mcompress::quantization
