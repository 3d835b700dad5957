// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "forms/stored_form.h"
#include "tests/support/output_error.h"
#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

std::string product(const std::string& values) {
  return "g (float[2,4] x) => (float[2,2] y) <float[4,2] W = {" + values +
         "}> { y = MatMul(x, W) }";
}

/// A layer with `rows` x 8 weights, a third of them zero.
Model smooth_model(int64_t rows) {
  Model model =
      parse_model("g (float[2,K] x) => (float[2,8] y) <float[1,1] W = {1.0}> { y = MatMul(x, W) }");
  std::vector<float> values(static_cast<size_t>(rows * 8));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = i % 3 == 0 ? 0.0F : std::sin(static_cast<float>(i) * 0.7F) + 0.01F;
  }
  model.graph().set_constant(model.graph().find("W"), Tensor::from({rows, 8}, values));
  return model;
}

std::vector<float> weight_of(const Model& model) {
  return model.graph().find("W").constant()->to_float();
}

TEST(ShareWeights, ClustersAndKeepsZeros) {
  expect_rewrite("share-weights", product("0.125, 0.375, 0.0, -1.0, -2.0, 0.0, 0.25, -1.5"),
                 product("0.25, 0.25, 0.0, -1.5, -1.5, 0.0, 0.25, -1.5"), {{"values", "2"}});
}

TEST(ShareWeights, GivesExactlyTheValuesAskedFor) {
  for (const int values : {1, 3, 15, 31}) {
    for (const char* method : {"auto", "exact", "histogram"}) {
      Model model = smooth_model(64);
      const std::vector<float> before = weight_of(model);
      run_pass("share-weights", model, {{"values", std::to_string(values)}, {"method", method}});
      const std::vector<float> after = weight_of(model);
      const std::set<float> distinct(after.begin(), after.end());
      EXPECT_EQ(distinct.size(), static_cast<size_t>(values) + 1)
          << method << ": the zero counts apart";
      for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(after[i] == 0, before[i] == 0);
    }
  }
}

TEST(ShareWeights, MoreValuesMeanLessError) {
  double last = 1e30;
  for (const char* values : {"3", "15", "63"}) {
    Model model = smooth_model(64);
    const std::vector<float> before = weight_of(model);
    run_pass("share-weights", model, {{"values", values}});
    const std::vector<float> after = weight_of(model);
    double error = 0;
    for (size_t i = 0; i < before.size(); ++i) error += std::pow(before[i] - after[i], 2);
    EXPECT_LT(error, last);
    last = error;
  }
}

TEST(ShareWeights, BothWeightsOfARecurrentLayerKeepTheirOwnValues) {
  // Of one size, so that one in the other's place would run.
  Model model = parse_model(
      "g (float[2,1,3] x) => (float[2,1,1,3] y) <float[1,12,3] W = {1.0}, float[1,12,3] R = {1.0}> "
      "{ y = LSTM <hidden_size = 3> (x, W, R) }");
  std::map<std::string, std::vector<float>> before;
  for (const auto& [name, frequency] : {std::pair("W", 0.7F), std::pair("R", 0.4F)}) {
    for (int i = 1; i <= 36; ++i) before[name].push_back(std::sin(frequency * static_cast<float>(i)));
    model.graph().set_constant(model.graph().find(name), Tensor::from({1, 12, 3}, before[name]));
  }
  EXPECT_TRUE(run_pass("share-weights", model, {{"values", "15"}}).changed);
  for (const auto& [name, values] : before) {
    const std::vector<float> after = model.graph().find(name).constant()->to_float();
    ASSERT_EQ(after.size(), values.size());
    for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(after[i], values[i], 0.2) << name;
  }
}

TEST(ShareWeights, LeavesWeightsThatHaveFewValues) {
  expect_unchanged("share-weights", product("1.0, 2.0, 1.0, 2.0, 0.0, 0.0, 1.0, 3.0"),
                   "has 3 distinct values besides zero", {{"values", "3"}});
}

TEST(ShareWeights, IsIdempotentAndRecordsTheCodebook) {
  Model model = smooth_model(16);
  EXPECT_TRUE(run_pass("share-weights", model).changed);
  EXPECT_FALSE(run_pass("share-weights", model).changed);
  ASSERT_EQ(model.state().constraints.count("W"), 1U);
  EXPECT_EQ(model.state().constraints.find("W")->second.kind, ConstraintKind::kCodebook);
}

TEST(ShareWeights, RefusesWhatCannotBeClustered) {
  Model model = smooth_model(16);
  std::vector<float> values = weight_of(model);
  values[5] = INFINITY;
  model.graph().set_constant(model.graph().find("W"), Tensor::from({16, 8}, values));
  const Outcome outcome = run_pass("share-weights", model);
  EXPECT_FALSE(outcome.changed);
  EXPECT_NE(outcome.skips.at(0).reason.find("infinite"), std::string::npos);
}

/// Inputs that go together: what one weight loses the next can make up for.
Model correlated_model() {
  Model model = parse_model(R"(
    g (float[2,8] x) => (float[2,24] y) <float[1] M = {1.0}, float[1] W = {1.0}> {
      h = MatMul(x, M)
      y = MatMul(h, W)
    })");
  const auto set = [&](const char* name, const Shape& shape, float pitch) {
    std::vector<float> values(static_cast<size_t>(element_count(shape)));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = std::sin(static_cast<float>(i * i % 97) * pitch) + 0.2F;
    }
    model.graph().set_constant(model.graph().find(name), Tensor::from(shape, values));
  };
  set("M", {8, 32}, 0.37F);
  set("W", {32, 24}, 0.53F);
  return model;
}

TEST(ShareWeights, WithDataOutputsLoseLess) {
  const Model before = correlated_model();
  std::map<std::string, double> errors;
  for (const char* fit : {"weights", "outputs"}) {
    Model model = before.clone();
    PassContext context = make_data_context(model, 1, 60);
    run_pass("share-weights", model, {{"values", "7"}, {"fit", fit}}, &context);
    const std::vector<float> after = weight_of(model);
    EXPECT_LE(std::set<float>(after.begin(), after.end()).size(), 8U);
    errors[fit] = output_error(before, model);
  }
  EXPECT_LT(errors["outputs"], 0.5 * errors["weights"]);
}

TEST(ShareWeights, ScalesOfOutputsAreStoredBesideCodes) {
  for (const bool data : {false, true}) {
    Model model = correlated_model();
    std::vector<float> before = weight_of(model);
    for (size_t i = 0; i < before.size(); i += 3) before[i] = 0;
    model.graph().set_constant(model.graph().find("W"), Tensor::from({32, 24}, before));
    PassContext context = data ? make_data_context(model) : make_context();
    const Options options{{"values", "7"}, {"scope", "channel"}};
    EXPECT_TRUE(run_pass("share-weights", model, options, &context).changed);
    const Layer layer = find_layers(model).at(1);
    const auto form = forms::recognise(layer.weight);
    ASSERT_TRUE(form);
    EXPECT_EQ(form->kind, forms::FormKind::kScaled);
    const std::vector<float> after = form->decode().to_float();
    double error = 0, energy = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_TRUE(before[i] != 0 || after[i] == 0);
      error += std::pow(before[i] - after[i], 2);
      energy += std::pow(before[i], 2);
    }
    EXPECT_LT(error, 0.1 * energy);
  }
}

TEST(ShareWeights, OneCodebookForTheModel) {
  Model model = correlated_model();
  run_pass("share-weights", model, {{"values", "15"}, {"scope", "model"}});
  std::set<float> all;
  for (const char* name : {"M", "W"}) {
    for (const float v : model.graph().find(name).constant()->to_float()) all.insert(v);
  }
  all.erase(0);
  EXPECT_LE(all.size(), 15U);
}

/// A bias of 8 entries, read by one layer.
Model biased_model(const std::string& more = "") {
  return parse_model(R"(
    g (float[2,2] x) => (float[2,8] y) <
        float[2,8] W = {1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0},
        float[8] b = {0.125, 0.375, 0.0, -1.0, -2.0, 0.0, 0.25, -1.5}> {
      )" + more + R"(
      y = Gemm(x, W, b)
    })");
}

std::vector<float> bias_of(const Model& model) {
  return model.graph().find("b").constant()->to_float();
}

TEST(ShareWeights, BiasesTakeFewValuesWhenAsked) {
  Model model = biased_model();
  const std::vector<float> before = bias_of(model);
  EXPECT_FALSE(run_pass("share-weights", model, {{"values", "2"}}).changed);
  EXPECT_EQ(bias_of(model), before);
  // The weight has few values already; the bias is shared all the same.
  const Options options{{"values", "2"}, {"bias-values", "2"}};
  EXPECT_TRUE(run_pass("share-weights", model, options).changed);
  EXPECT_EQ(bias_of(model), (std::vector<float>{0.25F, 0.25F, 0, -1.5F, -1.5F, 0, 0.25F, -1.5F}));
  ASSERT_EQ(model.state().constraints.count("b"), 1U);
  EXPECT_EQ(model.state().constraints.find("b")->second.kind, ConstraintKind::kCodebook);
  EXPECT_FALSE(run_pass("share-weights", model, options).changed);
}

TEST(ShareWeights, BiasesThatOthersReadOrThatAreShortStay) {
  Model read_twice = biased_model("z = Relu(b)");
  EXPECT_FALSE(
      run_pass("share-weights", read_twice, {{"values", "2"}, {"bias-values", "2"}}).changed);
  Model few = biased_model();
  EXPECT_FALSE(run_pass("share-weights", few, {{"values", "2"}, {"bias-values", "3"}}).changed);
}

TEST(ShareWeights, EveryStoring) {
  const Model model = parse_model(product("0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8"));
  for (Storing& storing : six_storings(model, "W")) {
    SCOPED_TRACE(storing.how);
    const bool shared = storing.how == "shared";
    EXPECT_EQ(run_pass("share-weights", storing.model, {{"values", "3"}}).changed, !shared);
    for (const Layer& layer : find_layers(storing.model)) {
      const std::vector<float> values = layer.weight.constant()->to_float();
      EXPECT_EQ(std::set<float>(values.begin(), values.end()).size(), shared ? 8U : 3U);
    }
  }
}

}  // namespace
}  // namespace mcompress::test
