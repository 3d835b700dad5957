// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

std::vector<float> constant(const Model& model, const std::string& name) {
  return model.graph().find(name).constant()->to_float();
}

// Both products read one value, so they share its factors.
constexpr const char* kNorm = R"(
  g (float[2,5,4] x) => (float[2,5,3] y, float[2,5,2] z)
  <float[4] scale = {20.0, 0.5, 1.0, 0.1}, float[4] shift = {1.0, 0.1, 0.0, -0.1},
   float[4,3] W = {0.1,0.2,0.1, 1.0,-1.0,0.5, 0.3,0.7,0.9, -2.0,1.5,1.0},
   float[4,2] V = {0.2,0.1, 1.0,1.0, -0.5,0.25, 3.0,1.0}, float[3] b = {0.1, 0.2, 0.3}> {
    n = LayerNormalization <axis = -1> (x, scale, shift)
    m = MatMul(n, W)
    y = Add(m, b)
    z = MatMul(n, V)
  })";

TEST(SmoothActivations, MovesIntoTheNormAllReadersSharingOneFactor) {
  for (const char* method : {"smooth", "aware"}) {
    SCOPED_TRACE(method);
    Model model = parse_model(kNorm);
    const Model before = model.clone();
    PassContext context = make_data_context(model, 1, 16);
    const Outcome outcome =
        run_pass("smooth-activations", model, {{"method", method}, {"bits", "3"}}, &context);
    EXPECT_TRUE(outcome.changed);
    EXPECT_EQ(outcome.counters.at("activations smoothed"), 1);
    expect_close(before, model);
    const auto scale = constant(model, "scale"), old_scale = constant(before, "scale");
    const auto w = constant(model, "W"), old_w = constant(before, "W");
    const auto v = constant(model, "V"), old_v = constant(before, "V");
    for (size_t j = 0; j < 4; ++j) {
      const float s = old_scale[j] / scale[j];
      EXPECT_NEAR(w[j * 3] / old_w[j * 3], s, 1e-4 * s);
      EXPECT_NEAR(v[j * 2 + 1] / old_v[j * 2 + 1], s, 1e-4 * s);
    }
    EXPECT_GT(old_scale[0] / scale[0], old_scale[3] / scale[3]);
  }
}

TEST(SmoothActivations, IsTheFormula) {
  // One value per channel: max|X| = 8, 2; max|W| = 1, 4; s = sqrt(8), sqrt(1/2): ratio 4.
  const Model before = parse_model(R"(
    g (float[1,2] x) => (float[1,1] y)
    <float[2] zero = {0.0, 0.0}, float[2] eight = {8.0, 2.0}, float[2,1] W = {1.0, 4.0}> {
      s = Sigmoid(x)
      t = Mul(s, zero)
      c = Cos(t)
      n = Mul(c, eight)
      y = MatMul(n, W)
    })");
  Model model = before.clone();
  PassContext context = make_data_context(model, 1, 4);
  run_pass("smooth-activations", model, {}, &context);
  const auto w = constant(model, "W");
  EXPECT_NEAR(w[0] / w[1], 1.0, 1e-5);  // 1 s_0 : 4 s_1
  Model more = before.clone();
  PassContext again = make_data_context(more, 1, 4);
  run_pass("smooth-activations", more, {{"alpha", "1"}}, &again);
  const auto all = constant(more, "eight");
  EXPECT_NEAR(all[0] / all[1], 1.0, 1e-5) << "alpha 1: activations are even";
}

TEST(SmoothActivations, NormalizationInPieces) {
  Model model = parse_model(R"(
    g (float[2,5,4] x) => (float[2,5,2] y)
    <float two = {2.0}, float eps = {0.00001}, float[4] scale = {20.0, 0.5, 1.0, 0.1},
     float[4] shift = {1.0, 0.1, 0.0, -0.1}, float[4,2] W = {0.2,0.1, 1.0,1.0, -0.5,0.25, 3.0,1.0}> {
      a = ReduceMean <axes = [-1]> (x)
      d = Sub(x, a)
      p = Pow(d, two)
      v = ReduceMean <axes = [-1]> (p)
      e = Add(v, eps)
      r = Sqrt(e)
      q = Div(d, r)
      m = Mul(q, scale)
      n = Add(m, shift)
      y = MatMul(n, W)
    })");
  const Model before = model.clone();
  PassContext context = make_data_context(model, 1, 8);
  EXPECT_TRUE(run_pass("smooth-activations", model, {}, &context).changed);
  expect_close(before, model);
  EXPECT_EQ(model.graph().find("scale").constant_shape(), (Shape{4}));
  EXPECT_NE(constant(model, "shift"), constant(before, "shift"));
  EXPECT_EQ(runtime()->optimized_nodes(model).size(), runtime()->optimized_nodes(before).size())
      << "the runtime still sees one normalization";
}

TEST(SmoothActivations, LeavesAloneWhatCannotTakeFactors) {
  const auto refused = [](const char* text, const std::string& reason) {
    Model model = parse_model(text);
    PassContext context = make_data_context(model, 1, 4);
    const Outcome outcome = run_pass("smooth-activations", model, {}, &context);
    EXPECT_FALSE(outcome.changed);
    ASSERT_FALSE(outcome.skips.empty());
    EXPECT_NE(outcome.skips[0].reason.find(reason), std::string::npos) << outcome.skips[0].reason;
  };
  refused(R"(g (float[2,2] x) => (float[2,2] y) <float[2,2] W = {1.0, 2.0, 3.0, 4.0}> {
      y = MatMul(x, W) })",
          "x is an input of the model");
  refused(R"(g (float[2,2] x) => (float[2,2] y) <float[2,2] W = {1.0, 2.0, 3.0, 4.0}> {
      s = Softmax(x)
      y = MatMul(s, W) })",
          "gives the value as it is");
  refused(R"(g (float[1,2,3,3] x) => (float[1,1,3,3] y)
      <float[2,2,1,1] A = {1.0, 9.0, 2.0, 1.0}, float[1,2,1,1] W = {1.0, 2.0}> {
      c = Conv(x, A)
      y = Conv(c, W) })",
          "no product");
}

// What it is for: one outlying channel no longer sets the step of all.
TEST(SmoothActivations, Int8ProductsLoseLess) {
  const auto noise = [](bool smooth) {
    Model model = parse_model(R"(
      g (float[8,4] x) => (float[8,3] y)
      <float[4] scale = {100.0, 0.5, 1.0, 0.2}, float[4] shift = {0.0, 0.1, 0.0, -0.1},
       float[4,3] W = {0.01,0.02,0.01, 1.0,-1.0,0.5, 0.3,0.7,0.9, -2.0,1.5,1.0}> {
        n = LayerNormalization <axis = -1> (x, scale, shift)
        y = MatMul(n, W)
      })");
    const Model before = model.clone();
    PassContext context = make_data_context(model, 1, 32);
    if (smooth) run_pass("smooth-activations", model, {}, &context);
    run_pass("quantize-static", model, {{"where", "everywhere"}, {"effort", "quick"}}, &context);
    double sum = 0;
    for (uint64_t seed = 50; seed < 54; ++seed) {
      const Feeds feeds = random_feeds(before, seed);
      const auto expected = runtime()->open(before)->run(feeds)[0].to_float();
      const auto found = runtime()->open(model)->run(feeds)[0].to_float();
      for (size_t i = 0; i < expected.size(); ++i) sum += std::pow(expected[i] - found[i], 2);
    }
    return sum;
  };
  EXPECT_LT(noise(true), 0.2 * noise(false));
}

}  // namespace
}  // namespace mcompress::test
