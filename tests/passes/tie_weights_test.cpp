// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/hidden_axis.h"
#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

constexpr const char* kEqual = R"(
  g (float[2,2] x) => (float[2,2] y)
  <float[2,2] A = {1.0, 2.0, 3.0, 4.0}, float[2,2] B = {1.0, 2.0, 3.0, 4.0}> {
    h = MatMul(x, A)
    y = MatMul(h, B)
  })";

TEST(TieWeights, EqualWeightsBecomeOne) {
  expect_rewrite("tie-weights", kEqual, R"(
    g (float[2,2] x) => (float[2,2] y) <float[2,2] A = {1.0, 2.0, 3.0, 4.0}> {
      h = MatMul(x, A)
      y = MatMul(h, A)
    })");
  Model model = parse_model(kEqual);
  run_pass("tie-weights", model);
  ASSERT_EQ(model.state().constraints.count("A"), 1U);
  EXPECT_EQ(model.state().constraints.find("A")->second.kind, ConstraintKind::kTied);
  EXPECT_FALSE(run_pass("tie-weights", model).changed);
}

TEST(TieWeights, BothWeightsOfRecurrentLayersAreTiedToTheirOwnTwins) {
  Model model = parse_model(R"(
    g (float[2,1,3] x) => (float[2,1,1,3] y, float[2,1,1,3] z)
    <float[1,12,3] W = {1.0}, float[1,12,3] R = {1.0}, float[1,12,3] V = {1.0}, float[1,12,3] S = {1.0}> {
      y = LSTM <hidden_size = 3> (x, W, R)
      z = LSTM <hidden_size = 3> (x, V, S)
    })");
  for (const auto& [name, frequency] : {std::pair("W", 0.7F), std::pair("R", 0.4F), std::pair("V", 0.7F),
                                        std::pair("S", 0.4F)}) {
    std::vector<float> values;
    for (int i = 1; i <= 36; ++i) values.push_back(std::sin(frequency * static_cast<float>(i)));
    model.graph().set_constant(model.graph().find(name), Tensor::from({1, 12, 3}, values));
  }
  const Model before = model.clone();
  EXPECT_TRUE(run_pass("tie-weights", model).changed);
  EXPECT_EQ(model.graph().initializers(), (std::vector<std::string>{"W", "R"}));
  expect_close(before, model, kExact);
}

TEST(TieWeights, ProjectionReadsTheEmbedding) {
  const char* before = R"(
    g (int64[2] ids) => (float[2,4] y)
    <float[4,2] E = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0},
     float[2,4] P = {1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 8.0}> {
      e = Gather(E, ids)
      y = MatMul(e, P)
    })";
  Model model = parse_model(before);
  EXPECT_TRUE(run_pass("tie-weights", model).changed);
  EXPECT_EQ(model.graph().initializers().size(), 1U);
  expect_close(parse_model(before), model, kExact);
  Model kept = parse_model(before);
  EXPECT_FALSE(run_pass("tie-weights", kept, {{"transposes", "false"}}).changed);
}

TEST(TieWeights, GemmIsTurnedInPlace) {
  const char* before = R"(
    g (int64[2] ids) => (float[2,4] y)
    <float[4,2] E = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0},
     float[2,4] P = {1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 8.0}> {
      e = Gather(E, ids)
      y = Gemm(e, P)
    })";
  Model model = parse_model(before);
  EXPECT_TRUE(run_pass("tie-weights", model).changed);
  EXPECT_EQ(model.graph().initializers().size(), 1U);
  for (const NodeRef node : model.graph().nodes()) EXPECT_NE(node.op(), "Transpose");
  expect_close(parse_model(before), model, kExact);
}

TEST(TieWeights, SimilarOnesOnlyWithinTheTolerance) {
  const char* text = R"(
    g (float[2,2] x) => (float[2,2] y)
    <float[2,2] A = {1.0, 2.0, 3.0, 4.0}, float[2,2] B = {1.1, 2.0, 3.0, 4.0}> {
      h = MatMul(x, A)
      y = MatMul(h, B)
    })";
  for (const bool data : {false, true}) {
    for (const char* tolerance : {"0", "0.00001", "0.01"}) {
      Model model = parse_model(text);
      PassContext context = data ? make_data_context(model) : make_context();
      const bool tied = run_pass("tie-weights", model, {{"tolerance", tolerance}}, &context).changed;
      EXPECT_EQ(tied, std::string(tolerance) == "0.01") << tolerance;
      EXPECT_EQ(model.graph().initializers().size(), tied ? 1U : 2U);
      if (tied && !data) {
        // Without data the common weight is the mean of both at one scale.
        EXPECT_NEAR(model.graph().find("A").constant()->to_float()[0], 1.05, 1e-3);
      }
    }
  }
}

/// Two feed-forward parts that differ in the order of their hidden units only.
Model feed_forward(std::span<const int64_t> order) {
  const auto part = [](int n) {
    const std::string s = std::to_string(n), input = n == 1 ? "x" : "y1";
    return "h" + s + " = MatMul(" + input + ", in" + s + ")\n a" + s + " = Add(h" + s + ", b" + s +
           ")\n r" + s + " = Relu(a" + s + ")\n y" + s + " = MatMul(r" + s + ", out" + s + ")\n";
  };
  Model model = parse_model(
      "g (float[3,4] x) => (float[3,4] y2) <float[1] in1 = {1.0}, float[1] b1 = {1.0}, float[1] "
      "out1 = {1.0}, float[1] in2 = {1.0}, float[1] b2 = {1.0}, float[1] out2 = {1.0}> {\n" +
      part(1) + part(2) + "}");
  const size_t units = order.size();
  for (int n = 1; n <= 2; ++n) {
    std::vector<float> in(4 * units), bias(units), out(4 * units);
    for (size_t u = 0; u < units; ++u) {
      const auto from = n == 1 ? u : static_cast<size_t>(order[u]);
      bias[u] = static_cast<float>(from) * 0.1F;
      for (size_t i = 0; i < 4; ++i) {
        in[i * units + u] = std::sin(static_cast<float>(7 * from + i));
        out[u * 4 + i] = std::cos(static_cast<float>(5 * from + i));
      }
    }
    const auto set = [&](const std::string& name, const Shape& shape, const std::vector<float>& v) {
      model.graph().set_constant(model.graph().find(name + std::to_string(n)), Tensor::from(shape, v));
    };
    set("in", {4, static_cast<int64_t>(units)}, in);
    set("b", {static_cast<int64_t>(units)}, bias);
    set("out", {static_cast<int64_t>(units), 4}, out);
  }
  return model;
}

TEST(TieWeights, AlignsHiddenUnitsFirst) {
  const std::vector<int64_t> order{3, 0, 4, 1, 5, 2};
  Model model = feed_forward(order);
  const Outcome outcome = run_pass("tie-weights", model, {{"tolerance", "0.000001"}});
  EXPECT_EQ(outcome.counters.at("hidden axes aligned"), 1);
  EXPECT_EQ(model.graph().initializers().size(), 4U) << "two products and two biases";
  expect_close(feed_forward(order), model, kRounding);
  Model apart = feed_forward(order);
  EXPECT_FALSE(run_pass("tie-weights", apart, {{"tolerance", "0.000001"}, {"align", "false"}}).changed);
}

TEST(HiddenAxes, ReorderingChangesNothing) {
  std::vector<int64_t> order(6);
  std::iota(order.begin(), order.end(), 0);
  Model model = feed_forward(order);
  const std::vector<Layer> layers = find_layers(model);
  const auto axes = analysis::find_hidden_axes(layers);
  ASSERT_EQ(axes.size(), 3U) << "both hidden ones, and what is between the two parts";
  const std::vector<int64_t> turned{5, 4, 3, 2, 1, 0};
  analysis::reorder_units(layers, axes[0], turned);
  expect_close(feed_forward(order), model, kRounding);
}

TEST(TieWeights, EveryStoring) {
  const Model model = parse_model(kEqual);
  for (Storing& storing : six_storings(model, "A")) {
    SCOPED_TRACE(storing.how);
    const Model before = storing.model.clone();
    run_pass("tie-weights", storing.model);
    expect_close(before, storing.model, kExact);
  }
}

}  // namespace
}  // namespace mcompress::test
