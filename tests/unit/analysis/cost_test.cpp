// SPDX-License-Identifier: Apache-2.0
#include "analysis/cost.h"

#include <gtest/gtest.h>

#include "forms/quantized_weight.h"
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

using analysis::model_cost;
using analysis::ModelCost;

ModelCost cost_of(const char* text) {
  Model model = parse_model(text);
  return model_cost(model, runtime()->infer_types(model));
}

TEST(Cost, CountsAConv) {
  // 2x2 kernel without padding: 3x3 positions, 2 outputs, 1 input per group, 4 taps.
  const ModelCost cost = cost_of(R"(
    g (float[N,2,4,4] x) => (float[N,2,3,3] y) <float[2,1,2,2] W = {1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0}, float[2] b = {0.0, 1.0}> {
      y = Conv <group = 2> (x, W, b)
    })");
  EXPECT_EQ(cost.parameters, 10U);
  EXPECT_EQ(cost.nonzeros, 7U);
  EXPECT_EQ(cost.weight_bytes, 40U);
  EXPECT_EQ(cost.macs, 3U * 3 * 2 * 4);
}

TEST(Cost, CountsConvTransposeGemmAndBothKindsOfMatMul) {
  EXPECT_EQ(cost_of(R"(
    g (float[1,1,4,4] x) => (float[1,2,5,5] y) <float[1,2,2,2] W = {1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0}> {
      y = ConvTranspose(x, W)
    })")
                .macs,
            16U * 8);
  EXPECT_EQ(cost_of(R"(
    g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {1.0, 2.0, 3.0, 4.0}> { y = Gemm <transB = 1> (x, W) })")
                .macs,
            3U * 2 * 2);
  EXPECT_EQ(cost_of(R"(
    g (float[N,3,2] x) => (float[N,3,3] z) <float[2,2] W = {1.0, 2.0, 3.0, 4.0}> {
      y = MatMul(x, W)
      t = Transpose <perm = [0, 2, 1]> (x)
      z = MatMul(y, t)
    })")
                .macs,
            3U * 2 * 2 + 3 * 3 * 2);
}

TEST(Cost, CountsNonZerosOfLargeConstantsAndOfQuantizedOnes) {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["": 17]>
    g (float[N,400] x) => (float[N,100] z) <float[100,100] V = {0.0}> {
      z = MatMul(x, V)
    })");
  std::vector<float> weight(400 * 100, 0.5F);
  for (size_t i = 0; i < weight.size(); i += 3) weight[i] = i % 2 == 0 ? 0.0F : -0.0F;
  const uint64_t nonzeros = weight.size() - (weight.size() + 2) / 3;
  model.graph().set_constant(model.graph().find("V"), Tensor::from(Shape{400, 100}, weight));
  EXPECT_EQ(model_cost(model, ValueTypes()).nonzeros, nonzeros);

  std::vector<int8_t> codes(400 * 100, 3);
  for (size_t i = 0; i < codes.size(); i += 4) codes[i] = 0;
  forms::QuantizedWeight quantized;
  quantized.codes = Tensor::from(Shape{400, 100}, codes);
  quantized.scales = Tensor::from(Shape{100}, std::vector<float>(100, 0.1F));
  quantized.axis = 1;
  const auto cost_with = [&](const forms::QuantizedWeight& one) {
    Model other = model.clone();
    const ValueRef end = forms::emit_scaled(other.graph(), "W", one);
    other.graph().replace_uses(other.graph().find("V"), end);
    other.graph().erase_initializer("V");
    return model_cost(other, ValueTypes()).nonzeros;
  };
  EXPECT_EQ(cost_with(quantized), 30000U);
  std::vector<float> scales(100, 0.1F);
  scales[1] = 0;  // nothing of this column is left: 400 codes, none of them 0
  quantized.scales = Tensor::from(Shape{100}, scales);
  EXPECT_EQ(cost_with(quantized), 30000U - 400U);
}

TEST(Cost, APartOfTheMacsIsNoSum) {
  const ModelCost cost = cost_of(R"(
    g (float[N,1,H,4] x, float[1,2] a) => (float[N,1,H,4] y, float[1,2] b)
    <float[1,1,1,1] W = {2.0}, float[2,2] V = {1.0, 2.0, 3.0, 4.0}> { y = Conv(x, W) b = MatMul(a, V) })");
  EXPECT_EQ(cost.macs, 0U) << "the product's 4 are known, the convolution's are not";
}

}  // namespace
}  // namespace mcompress::test
