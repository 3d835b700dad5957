// SPDX-License-Identifier: Apache-2.0
#include "analysis/patterns.h"

#include <gtest/gtest.h>

#include "tests/support/model_text.h"

namespace mcompress::test {
namespace {

using analysis::as_affine;
using analysis::ChannelLayout;

TEST(Patterns, SoleConsumerIsNeitherOutputNorInAnotherGraph) {
  Model model = parse_model(R"(
    g (bool choose, float[2] x) => (float[2] y, float[2] out) {
      once = Exp(x)
      out = Relu(once)
      captured = Neg(x)
      y = If(choose) <
        then_branch = t () => (float[2] ty) { ty = Relu(captured) },
        else_branch = e () => (float[2] ey) { ey = Abs(x) }
      >
    })");
  Graph& graph = model.graph();
  EXPECT_TRUE(analysis::sole_consumer(graph.find("once")).is("Relu"));
  EXPECT_FALSE(analysis::sole_consumer(graph.find("out")));
  EXPECT_FALSE(analysis::sole_consumer(graph.find("captured")));
  EXPECT_FALSE(analysis::sole_consumer(graph.find("x")));
}

TEST(Patterns, AffineOfAChannel) {
  Model model = parse_model(R"(
    g (float[1,2,3,3] x) => (float[1,2,3,3] a, float[1,2,3,3] b, float[1,2,3,3] c, float[1,2,3,3] d)
    <float[2,1,1] s = {2.0, 4.0}, float[3] row = {1.0, 2.0, 3.0}, float one = {1.0}, float none = {0.0}> {
      a = Div(x, s)
      b = Sub(one, x)
      c = Mul(x, row)
      d = Div(x, none)
    })");
  const ChannelLayout layout{4, 1, 2};
  const auto node = [&model](const char* value) { return model.graph().find(value).producer(); };
  EXPECT_EQ(as_affine(node("a"), layout)->scale, (std::vector<double>{0.5, 0.25}));
  EXPECT_EQ(as_affine(node("b"), layout)->scale, (std::vector<double>{-1.0}));
  EXPECT_EQ(as_affine(node("b"), layout)->shift, (std::vector<double>{1.0}));
  EXPECT_FALSE(as_affine(node("c"), layout));
  EXPECT_FALSE(as_affine(node("d"), layout));
  EXPECT_FALSE(as_affine(node("a"), {}));  // of rank 3, and the rank of x is not told
}

}  // namespace
}  // namespace mcompress::test
