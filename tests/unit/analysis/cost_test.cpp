// SPDX-License-Identifier: Apache-2.0
#include "analysis/cost.h"

#include <gtest/gtest.h>

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
  EXPECT_TRUE(cost.macs_complete);
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

TEST(Cost, SaysWhenShapesAreUnknown) {
  const ModelCost cost = cost_of(R"(
    g (float[N,1,H,4] x) => (float[N,1,H,4] y) <float[1,1,1,1] W = {2.0}> { y = Conv(x, W) })");
  EXPECT_EQ(cost.macs, 0U);
  EXPECT_FALSE(cost.macs_complete);
}

}  // namespace
}  // namespace mcompress::test
