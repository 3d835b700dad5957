// SPDX-License-Identifier: Apache-2.0
#include "costs/measure.h"

#include <gmock/gmock.h>

#include "quantization/costs.h"
#include "tests/support/pass_test.h"

namespace mcompress::costs {
namespace {

using ::testing::HasSubstr;

struct Silent final : Progress {
  void begin(std::string_view, size_t) override {}
  void advance(size_t) override {}
  void end() override {}
};

/// Two convolutions, a pool, a sum, and a product in the end.
Model small_model() {
  const auto zeros = [](size_t count) {
    std::string text = "0.5";
    for (size_t i = 1; i < count; ++i) text += i % 3 == 0 ? ", 0.25" : ", -0.5";
    return text;
  };
  return test::parse_model(
      "g (float[1,16,6,6] x) => (float[1,8] y) <float[16,16,1,1] w1 = {" + zeros(256) +
      "}, float[16,16,1,1] w2 = {" + zeros(256) + "}, float[144,8] w3 = {" + zeros(1152) +
      "}> {\n a = Conv(x, w1)\n r = Relu(a)\n b = Conv(r, w2)\n p = Relu(b)\n"
      " q = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(p)\n s = Add(q, q)\n"
      " m = Mul(s, q)\n c = Concat<axis = 1>(m, m)\n v = MatMul(q, s)\n"
      " f = Flatten(s)\n y = MatMul(f, w3)\n}");
}

TEST(Measure, EveryUnitInEachOfItsForms) {
  Model model = small_model();
  const auto runtime = test::runtime();
  const ValueTypes types = runtime->infer_types(model);
  CostTable table;
  Silent progress;
  const Measured measured = measure_costs(model, types, *runtime, {}, progress, table);
  EXPECT_EQ(measured.unmeasured, 0u);
  EXPECT_EQ(measured.units, 7u);  // the convolutions are alike
  for (const char* const key : {"Conv 16x16x1x1 rows 36: float",
                                "Conv 16x16x1x1 rows 36: static int8",
                                "MaxPool 144 window 2x2 stride 2x2: float",
                                "MaxPool 144 window 2x2 stride 2x2: static int8",
                                "Add 144: float",
                                "Add 144: static int8",
                                "Mul 144: float",
                                "Mul 144: static int8",
                                "Concat 288 of 2: float",
                                "Concat 288 of 2: static int8",
                                "MatMul of values 144 macs 432: float",
                                "MatMul of values 144 macs 432: static int8",
                                "MatMul 144x8 rows 1: float",
                                "MatMul 144x8 rows 1: static int8",
                                "MatMul 144x8 rows 1: dynamic int8",
                                "MatMul 144x8 rows 1: 8-bit weights",
                                "MatMul 144x8 rows 1: 4-bit weights",
                                "QuantizeLinear 576 spatial",
                                "DequantizeLinear 576 spatial",
                                "QuantizeLinear 144"}) {
    EXPECT_GT(table.find(key).value_or(0), 0) << key;
  }
  const size_t lines = table.entries().size();
  EXPECT_EQ(measure_costs(model, types, *runtime, {}, progress, table).units, 0u);
  EXPECT_EQ(table.entries().size(), lines);
  const auto in_situ =
      compare_in_situ(model, types, *runtime, {}, table, test::random_feeds(model, 1));
  ASSERT_TRUE(in_situ);
  EXPECT_GT(in_situ->float_predicted_ms, 0);
  EXPECT_GT(in_situ->float_measured_ms, 0);
}

TEST(Measure, WhatHasNoShapeIsLeftOut) {
  Model model = test::parse_model(
      "g (float[1,4,N,N] x) => (float[1,4,N,N] y) <float[4,4,1,1] w = {1, 0, 0, 0, 0, 1, 0, 0, 0, "
      "0, "
      "1, 0, 0, 0, 0, 1}> {\n a = Conv(x, w)\n y = Sigmoid(a)\n}");
  CostTable table;
  Silent progress;
  const auto measured = measure_costs(model, ValueTypes(), *test::runtime(), {}, progress, table);
  EXPECT_EQ(measured.units, 0u);
  EXPECT_TRUE(table.entries().empty());
}

}  // namespace
}  // namespace mcompress::costs
