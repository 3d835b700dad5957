// SPDX-License-Identifier: Apache-2.0
#include "quantization/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/ir/ir_test_support.h"

namespace mcompress::quantization {
namespace {

using test::model_from_text;

/// A chain of convolutions with `channels`, one of them grouped where asked.
std::string chain(int channels, int groups_of_second) {
  const std::string c = std::to_string(channels);
  const std::string g = std::to_string(groups_of_second);
  const std::string in_second = std::to_string(channels / groups_of_second);
  return R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,)" +
         c + ",28,28] x, float[" + c + "," + c + ",3,3] w1, float[" + c + "," + in_second +
         ",3,3] w2, float[" + c + "," + c + R"(,3,3] w3) => (float[1,)" + c + R"(,28,28] y) {
  a = Conv <pads = [1,1,1,1]> (x, w1)
  b = Conv <pads = [1,1,1,1], group = )" +
         g + R"(> (a, w2)
  d = Conv <pads = [1,1,1,1]> (b, w3)
  e = Relu(d)
  y = Sigmoid(e)
})";
}

struct Case {
  Model model;
  ValueTypes types;
  std::vector<Unit> units;
  std::vector<RefusedLayer> refused;
};

Case make_case(const std::string& text, int channels) {
  Case c{model_from_text(text), {}, {}, {}};
  Graph& graph = c.model.graph();
  // Inputs become constants: the text form has no large ones.
  for (const char* const name : {"w1", "w2", "w3"}) {
    Shape shape;
    for (const auto& input : graph.inputs()) {
      if (input.name == name) shape = input.shape;
    }
    if (shape.empty()) continue;
    const ValueRef constant =
        graph.add_constant(std::string(name) + "c", Tensor(DataType::kFloat, shape));
    graph.replace_uses(graph.find(name), constant);
  }
  for (const char* const name : {"x", "a", "b", "d", "e", "y"}) {
    c.types.set(&graph, name, {DataType::kFloat, true, {1, channels, 28, 28}});
  }
  c.units = find_units(c.model, c.types, find_layers(c.model), c.refused);
  return c;
}

Case make_case(int channels, int groups) { return make_case(chain(channels, groups), channels); }

TEST(Plan, LargeLayersRunIn8Bits) {
  Case c = make_case(64, 1);
  ASSERT_EQ(c.units.size(), 3u);
  EXPECT_TRUE(c.units[2].activation);
  EXPECT_EQ(c.units[2].output, "e");
  const Plan plan = make_plan(c.model, c.types, c.units, CostModel(Target{}), {}, true);
  EXPECT_THAT(plan.in_int8, ::testing::Each(true));
  EXPECT_LT(plan.planned_nanoseconds, plan.float_nanoseconds);
}

TEST(Plan, SmallLayersDoNotPay) {
  Case c = make_case(2, 1);
  const Plan plan = make_plan(c.model, c.types, c.units, CostModel(Target{}), {}, true);
  EXPECT_THAT(plan.in_int8, ::testing::Each(false));
  const Plan all = make_plan(c.model, c.types, c.units, CostModel(Target{}), {}, false);
  EXPECT_THAT(all.in_int8, ::testing::Each(true));
}

TEST(Plan, WhatIsKeptInFloatStaysThere) {
  Case c = make_case(64, 1);
  const Plan plan = make_plan(c.model, c.types, c.units, CostModel(Target{}), {"e"}, true);
  EXPECT_EQ(plan.in_int8, (std::vector<bool>{true, true, false}));
}

TEST(Plan, APoolJoinsTheConvolutionBeforeIt) {
  Case c = make_case(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,64,28,28] x, float[64,64,3,3] w1, float[64,64,3,3] w2) => (float[1,64,28,28] y) {
  a = Conv <pads = [1,1,1,1]> (x, w1)
  b = MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> (a)
  d = Conv <pads = [1,1,1,1]> (b, w2)
  e = Relu(d)
  y = Sigmoid(e)
})",
                     64);
  ASSERT_EQ(c.units.size(), 3u);
  EXPECT_THAT(make_plan(c.model, c.types, c.units, CostModel(Target{}), {}, true).in_int8,
              ::testing::Each(true));
  const Plan plan = make_plan(c.model, c.types, c.units, CostModel(Target{}), {"a"}, true);
  // Nor would a Q behind the pool stay there: the runtime moves it in front.
  EXPECT_THAT(plan.in_int8, ::testing::Each(false));
}

TEST(Plan, NoFloatLayerIsLeftBetweenTwoIn8Bits) {
  // The grouped one in the middle has no integer kernel worth having: the runtime would quantize it
  // by itself if its neighbours both were in 8 bits.
  Case c = make_case(64, 4);
  ASSERT_EQ(c.units.size(), 2u);
  ASSERT_EQ(c.refused.size(), 1u);
  EXPECT_THAT(c.refused[0].reason, ::testing::HasSubstr("grouped"));
  const Plan plan = make_plan(c.model, c.types, c.units, CostModel(Target{}), {}, false);
  EXPECT_FALSE(plan.in_int8[0] && plan.in_int8[1]);
}

TEST(Plan, OutputsOfTheGraphStayFloat) {
  Model model = model_from_text(chain(64, 1));
  std::vector<RefusedLayer> refused;
  ValueTypes types;
  const auto units = find_units(model, types, find_layers(model), refused);
  EXPECT_TRUE(units.empty());  // weights are inputs here, and no shape is known
}

}  // namespace
}  // namespace mcompress::quantization
