// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

/// Values of a [rows, columns] matrix of rank 2, plus noise.
std::vector<float> nearly_rank_two(int64_t rows, int64_t columns, float noise = 0) {
  std::vector<float> values;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const auto a = static_cast<float>(r), b = static_cast<float>(c);
      values.push_back(std::sin(a) * std::cos(b * 0.5F) + 0.5F * std::cos(a * 0.3F) * std::sin(b) +
                       noise * std::sin(a * 7.1F + b * 3.3F + a * b));
    }
  }
  return values;
}

/// The text's weight W becomes a tensor of this shape.
Model with_weight(const std::string& text, const Shape& shape, float noise = 0,
                  int64_t opset = 17) {
  Model model = parse_model(text, opset);
  const auto values = nearly_rank_two(shape[0], element_count(shape) / shape[0], noise);
  model.graph().set_constant(model.graph().find("W"), Tensor::from(shape, values));
  return model;
}

/// Rank 2 is exact for these weights, so the layer computes the same.
void expect_factored(const std::string& text, const Shape& shape, int64_t opset = 17) {
  Model model = with_weight(text, shape, 0, opset);
  const Model before = model.clone();
  const Outcome outcome = run_pass("factorize-weights", model, {{"rank", "2"}});
  EXPECT_TRUE(outcome.changed) << (outcome.skips.empty() ? text : outcome.skips[0].reason);
  EXPECT_FALSE(model.graph().find("W"));
  expect_close(before, model, {1e-4, true});
}

/// A kernel of rank 4 by every method: sums of products over all axes.
std::vector<float> separable_kernel(int64_t outputs, int64_t channels, int64_t rows,
                                    int64_t columns) {
  std::vector<float> values;
  for (int64_t i = 0; i < outputs * channels * rows * columns; ++i) {
    const auto c = static_cast<float>(i % columns);
    const auto r = static_cast<float>(i / columns % rows);
    const auto in = static_cast<float>(i / columns / rows % channels);
    const auto out = static_cast<float>(i / columns / rows / channels);
    float sum = 0;
    for (float k = 1; k <= 3; ++k) {
      sum += std::sin(k * out + k) * std::cos(k * in) * std::cos(k * r) * std::cos(1 + k * c);
    }
    values.push_back(sum);
  }
  return values;
}

constexpr const char* kProduct =
    "g (float[3,24] x) => (float[3,20] y) <float W = {1.0}> { y = MatMul(x, W) }";

TEST(FactorizeWeights, MatMulAndGemm) {
  expect_factored(kProduct, {24, 20});
  expect_factored("g (float[24,3] x) => (float[20,3] y) <float W = {1.0}> { y = MatMul(W, x) }",
                  {20, 24});
  expect_factored(
      "g (float[3,24] x) => (float[3,N] y) <float W = {1.0}, float b = {3.0}> "
      "{ y = Gemm <alpha = 0.5, beta = 2.0> (x, W, b) }",
      {24, 20});
  expect_factored(
      "g (float[3,24] x) => (float[3,N] y) <float W = {1.0}, float b = {3.0}> "
      "{ y = Gemm <alpha = 0.5, transB = 1> (x, W, b) }",
      {20, 24}, 9);
  expect_factored(
      "g (float[24,3] x) => (float[3,N] y) <float W = {1.0}> "
      "{ y = Gemm <transA = 1, transB = 1> (x, W) }",
      {20, 24});
}

TEST(FactorizeWeights, ConvolutionsOfAllKinds) {
  expect_factored(
      "g (float[1,10,7,8] x) => (float[1,C,H,W1] y) <float W = {1.0}, float[12] b = "
      "{1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,1.0,2.0,3.0}> "
      "{ y = Conv <strides = [2,1], pads = [1,2,0,1], dilations = [1,2]> (x, W, b) }",
      {12, 10, 3, 2});
  expect_factored(
      "g (float[1,10,7,8] x) => (float[1,C,H,W1] y) <float W = {1.0}> "
      "{ y = Conv <kernel_shape = [1,1], strides = [2,2]> (x, W) }",
      {12, 10, 1, 1});
  expect_factored(
      "g (float[1,10,7] x) => (float[1,C,H] y) <float W = {1.0}> "
      "{ y = Conv <auto_pad = \"SAME_UPPER\", strides = [2]> (x, W) }",
      {12, 10, 3});
}

TEST(FactorizeWeights, TheRankFollowsTheOptions) {
  const auto rank = [](const Options& options) {
    Model model =
        with_weight("g (float[3,96] x) => (float[3,80] y) <float W = {1.0}> { y = MatMul(x, W) }",
                    {96, 80}, 0.3F);
    PassContext context = make_context();
    run_pass("factorize-weights", model, options, &context);
    return context.decisions().empty() ? 0 : static_cast<int>(context.decisions()[0].decision.rank);
  };
  EXPECT_EQ(rank({{"rank", "5"}}), 5);
  EXPECT_EQ(rank({{"ratio", "0.5"}, {"multiple", "1"}}), 21);  // 0.5 * 96 * 80 / 176
  EXPECT_EQ(rank({{"ratio", "0.5"}}), 16);
  EXPECT_EQ(rank({{"ratio", "0.5"}, {"multiple", "10"}}), 20);
  EXPECT_EQ(rank({{"energy", "0.5"}, {"multiple", "1"}}), 1);
  EXPECT_GT(rank({{"energy", "0.9"}, {"multiple", "1"}}), 1);
  EXPECT_EQ(rank({{"energy", "0.5"}}), 16) << "what the kernels of the target like";
}

TEST(FactorizeWeights, StaysDenseWhereFactorsAreNotSmaller) {
  Model model = with_weight(kProduct, {24, 20});
  const Outcome outcome = run_pass("factorize-weights", model, {{"rank", "11"}});
  EXPECT_FALSE(outcome.changed);
  EXPECT_NE(outcome.skips.at(0).reason.find("10 is the most that does"), std::string::npos)
      << outcome.skips[0].reason;
}

TEST(FactorizeWeights, RefusesGroupsAndContradictions) {
  expect_unchanged("factorize-weights",
                   "g (float[1,2,4] x) => (float[1,2,4] y) <float[2,1,1] W = {1.0, 2.0}> "
                   "{ y = Conv <group = 2> (x, W) }",
                   "it has 2 groups");
  Model model = with_weight(kProduct, {24, 20});
  EXPECT_THROW(run_pass("factorize-weights", model, {{"rank", "2"}, {"energy", "0.5"}}), Error);
  EXPECT_THROW(run_pass("factorize-weights", model, {{"rank", "2.5"}}), Error);
}

TEST(FactorizeWeights, ErrorIsThatOfTheLostSingularValues) {
  Model model = with_weight(kProduct, {24, 20}, 0.1F);
  const Tensor before = *model.graph().find("W").constant();
  run_pass("factorize-weights", model, {{"rank", "4"}});
  // The report says what part of the energy is kept; the product of the factors must agree.
  const std::vector<float> left = model.graph().find("W_1").constant()->to_float();
  const std::vector<float> right = model.graph().find("W_2").constant()->to_float();
  const std::vector<float> w = before.to_float();
  double signal = 0, error = 0;
  for (size_t r = 0; r < 24; ++r) {
    for (size_t c = 0; c < 20; ++c) {
      double sum = 0;
      for (size_t k = 0; k < 4; ++k) sum += left[r * 4 + k] * right[k * 20 + c];
      signal += w[r * 20 + c] * w[r * 20 + c];
      error += std::pow(w[r * 20 + c] - sum, 2);
    }
  }
  EXPECT_GT(error / signal, 1e-6);
  EXPECT_LT(error / signal, 0.02);
}

TEST(FactorizeWeights, ConvolutionsBySpatialAndTucker) {
  const char* pads =
      "g (float[1,10,7,9] x) => (float[1,C,H,W1] y) <float W = {1.0}, float[12] b = "
      "{1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,1.0,2.0,3.0}> "
      "{ y = Conv <strides = [2,1], pads = [1,2,0,1], dilations = [1,2]> (x, W, b) }";
  const char* same =
      "g (float[1,10,8,9] x) => (float[1,C,H,W1] y) <float W = {1.0}> "
      "{ y = Conv <auto_pad = \"SAME_LOWER\", strides = [2,3]> (x, W) }";
  for (const char* text : {pads, same}) {
    for (const auto& [method, nodes] :
         {std::pair<const char*, size_t>{"channel", 2}, {"spatial", 2}, {"tucker", 3}}) {
      SCOPED_TRACE(method);
      Model model = parse_model(text, 17);
      model.graph().set_constant(model.graph().find("W"),
                                 Tensor::from({12, 10, 3, 2}, separable_kernel(12, 10, 3, 2)));
      const Model before = model.clone();
      EXPECT_TRUE(
          run_pass("factorize-weights", model, {{"rank", "3"}, {"convolution", method}}).changed);
      EXPECT_EQ(model.graph().nodes().size(), nodes);
      expect_close(before, model, {1e-4, true});
    }
  }
}

TEST(FactorizeWeights, EmbeddingsAreGatheredThin) {
  Model model = with_weight(
      "g (int64[2,5] i) => (float[2,5,20] y) <float W = {1.0}> { y = Gather(W, i) }", {40, 20});
  const Model before = model.clone();
  EXPECT_TRUE(run_pass("factorize-weights", model, {{"rank", "2"}}).changed);
  expect_close(before, model, {1e-4, true});
  EXPECT_LT(model.file_size(), before.file_size() / 2);
}

/// Inputs of W fill 4 of 24 dimensions: A is too small for factors itself.
Model narrow_model(const char* text) {
  Model model = with_weight(text, {24, 20}, 1);
  model.graph().set_constant(model.graph().find("A"),
                             Tensor::from({4, 24}, nearly_rank_two(4, 24, 1)));
  return model;
}

TEST(FactorizeWeights, WithDataTheOutputsChangeLeast) {
  const char* text =
      "g (float[64,4] x) => (float[64,20] y) <float W = {1.0}, float A = {1.0}> "
      "{ h = MatMul(x, A) y = MatMul(h, W) }";
  Model seen = narrow_model(text), blind = narrow_model(text);
  const Model before = seen.clone();
  PassContext context = make_data_context(before);
  EXPECT_TRUE(run_pass("factorize-weights", seen, {{"rank", "4"}}, &context).changed);
  EXPECT_TRUE(
      run_pass("factorize-weights", blind, {{"rank", "4"}, {"fit", "weights"}}, &context).changed);
  expect_close(before, seen, {1e-4, true}, 7);
  const auto outputs = [](const Model& model) {
    return runtime()->open(model)->run(random_feeds(model, 7));
  };
  EXPECT_NE(difference(outputs(before), outputs(blind), 1e-2), "");
}

TEST(FactorizeWeights, TheBiasTakesUpTheMean) {
  Model model = with_weight(
      "g (float[64,24] x) => (float[64,20] y) <float W = {1.0}, float b = {1.0}> "
      "{ r = Relu(x) y = Gemm(r, W, b) }",
      {24, 20}, 1);
  model.graph().set_constant(model.graph().find("b"),
                             Tensor::from({20}, std::vector<float>(20, 0.5F)));
  const Model before = model.clone();
  PassContext context = make_data_context(before);
  EXPECT_TRUE(run_pass("factorize-weights", model, {{"rank", "3"}}, &context).changed);
  std::vector<double> shift(20), size(20);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const Feeds feeds = random_feeds(before, seed);
    const auto a = runtime()->open(before)->run(feeds).at(0).to_float();
    const auto b = runtime()->open(model)->run(feeds).at(0).to_float();
    for (size_t i = 0; i < a.size(); ++i) {
      shift[i % 20] += b[i] - a[i];
      size[i % 20] += std::abs(b[i] - a[i]);
    }
  }
  for (size_t i = 0; i < 20; ++i) EXPECT_LT(std::abs(shift[i]), 1e-3 * size[i] + 1e-3) << i;
}

TEST(FactorizeWeights, ABudgetGoesWhereItIsWorthMost) {
  // The weight of nearly rank 2 gives up its parameters, the noisy one keeps them.
  const char* text =
      "g (float[3,96] x) => (float[3,96] y) <float W = {1.0}, float V = {1.0}> "
      "{ h = MatMul(x, W) y = MatMul(h, V) }";
  Model model = with_weight(text, {96, 96});
  std::vector<float> noise;
  for (int i = 0; i < 96 * 96; ++i) noise.push_back(std::sin(static_cast<float>(i * i % 7919)));
  model.graph().set_constant(model.graph().find("V"), Tensor::from({96, 96}, noise));
  const Outcome outcome = run_pass("factorize-weights", model, {{"budget", "0.7"}});
  EXPECT_TRUE(outcome.changed);
  EXPECT_FALSE(model.graph().find("W"));
  EXPECT_TRUE(model.graph().find("V"));
  EXPECT_EQ(outcome.skips.at(0).reason, "within the budget it may stay dense");
}

std::vector<float> wild(int64_t count, int seed) {
  std::vector<float> values;
  for (int i = 1; i <= count; ++i) {
    values.push_back(std::sin(static_cast<float>((i + seed) * (i + 2 * seed) % 7919)));
  }
  return values;
}

TEST(FactorizeWeights, LayersMakeUpForTheOnesBeforeThem) {
  // What the first layer loses, the second finds in x.
  Model before = with_weight(
      "g (float[64,16] x) => (float[64,24] y) <float[16,32] W = {1.0}, float[48,24] V = {1.0}> "
      "{ h = MatMul(x, W) c = Concat <axis = 1> (h, x) y = MatMul(c, V) }",
      {16, 32}, 1);
  before.graph().set_constant(before.graph().find("V"), Tensor::from({48, 24}, wild(48 * 24, 2)));
  const auto error = [&](const char* inputs) {
    Model model = before.clone();
    PassContext context = make_data_context(before);
    EXPECT_TRUE(run_pass("factorize-weights", model, {{"rank", "8"}, {"inputs", inputs}}, &context).changed);
    double sum = 0;
    for (uint64_t seed = 100; seed < 110; ++seed) {
      const Feeds feeds = random_feeds(before, seed);
      const auto a = runtime()->open(before)->run(feeds).at(0).to_float();
      const auto b = runtime()->open(model)->run(feeds).at(0).to_float();
      for (size_t i = 0; i < a.size(); ++i) sum += std::pow(b[i] - a[i], 2);
    }
    return sum;
  };
  EXPECT_LT(error("compressed"), 0.9 * error("original"));
}

TEST(FactorizeWeights, NarrowLayersHaveAChoiceWithinABudget) {
  // Below the 16 that kernels like there is one rank, and all layers at it are above the budget.
  const char* text =
      "g (float[8,20] x) => (float[8,20] y) <float[20,20] W = {1.0}, float[20,20] V = {1.0}> "
      "{ h = MatMul(x, W) y = MatMul(h, V) }";
  Model before = with_weight(text, {20, 20}, 0.1F);
  before.graph().set_constant(before.graph().find("V"), Tensor::from({20, 20}, wild(400, 1)));
  const auto factored = [&](const char* budget, PassContext* context) {
    Model model = before.clone();
    const Outcome outcome = run_pass("factorize-weights", model, {{"budget", budget}}, context);
    int64_t parameters = 0;
    for (const Layer& layer : find_layers(model)) parameters += layer.weight_count();
    return std::pair(parameters, outcome.warnings);
  };
  PassContext context = make_data_context(before);
  for (PassContext* const of : {static_cast<PassContext*>(nullptr), &context}) {
    const auto [parameters, warnings] = factored("0.5", of);
    EXPECT_LE(parameters, 400);
    EXPECT_GE(parameters, 240);
    EXPECT_TRUE(warnings.empty());
  }
  const auto [least, warnings] = factored("0.05", nullptr);
  ASSERT_FALSE(warnings.empty());
  EXPECT_NE(warnings[0].find("cannot be reached: 0.20 of the parameters"), std::string::npos) << warnings[0];
  EXPECT_EQ(least, 160);
}

/// A step after one that factorized the weight of `text` finds factors and leaves them alone.
void expect_factors_stay(const std::string& text, const Shape& shape, const Options& options = {}) {
  SCOPED_TRACE(text);
  Model model = with_weight(text, shape);
  Options first = options;
  first["rank"] = "4";
  ASSERT_TRUE(run_pass("factorize-weights", model, first).changed);
  for (const Options& second :
       {Options{{"rank", "2"}}, Options{{"energy", "0.5"}}, Options{{"budget", "0.3"}}}) {
    const Outcome outcome = run_pass("factorize-weights", model, second);
    EXPECT_FALSE(outcome.changed);
    ASSERT_FALSE(outcome.skips.empty());
    for (const auto& skip : outcome.skips) {
      EXPECT_EQ(skip.reason, "it is a factor of a product already");
    }
  }
}

TEST(FactorizeWeights, FactorsAreLeftAlone) {
  expect_factors_stay(kProduct, {24, 20});
  expect_factors_stay("g (float[24,3] x) => (float[20,3] y) <float W = {1.0}> { y = MatMul(W, x) }",
                      {20, 24});
  expect_factors_stay(
      "g (float[3,24] x) => (float[3,N] y) <float W = {1.0}, float b = {3.0}> "
      "{ y = Gemm <alpha = 0.5, transB = 1> (x, W, b) }",
      {20, 24});
  expect_factors_stay("g (int64[3] x) => (float[3,20] y) <float W = {1.0}> { y = Gather(W, x) }",
                      {24, 20});
  for (const char* how : {"channel", "spatial", "tucker"}) {
    expect_factors_stay(
        "g (float[1,16,7,8] x) => (float[1,C,H,W1] y) <float W = {1.0}> "
        "{ y = Conv <pads = [1,1,1,1]> (x, W) }",
        {16, 16, 3, 3}, {{"convolution", how}});
  }
}

TEST(FactorizeWeights, ASecondBudgetCountsFactorsAsWhatTheyStandFor) {
  const char* text =
      "g (float[3,96] x) => (float[3,96] y) <float W = {1.0}, float V = {1.0}> "
      "{ h = MatMul(x, W) r = Relu(h) y = MatMul(r, V) }";
  Model model = with_weight(text, {96, 96});
  std::vector<float> noise;
  for (int i = 0; i < 96 * 96; ++i) noise.push_back(std::sin(static_cast<float>(i * i % 7919)));
  model.graph().set_constant(model.graph().find("V"), Tensor::from({96, 96}, noise));
  ASSERT_TRUE(run_pass("factorize-weights", model, {{"budget", "0.7"}}).changed);
  EXPECT_FALSE(run_pass("factorize-weights", model, {{"budget", "0.8"}}).changed);
  EXPECT_TRUE(run_pass("factorize-weights", model, {{"budget", "0.4"}}).changed);
  EXPECT_FALSE(model.graph().find("V"));
}

TEST(FactorizeWeights, ALayerBehindAnActivationOrABiasIsNoFactor) {
  const char* text =
      "g (float[3,24] x) => (float[3,20] y) <float W = {1.0}, float[4] b = {1.0,2.0,3.0,4.0}, "
      "float V = {1.0}> "
      "{ h = Gemm(x, W, b) y = MatMul(h, V) }";
  Model model = with_weight(text, {24, 4});
  model.graph().set_constant(model.graph().find("V"),
                             Tensor::from({4, 20}, nearly_rank_two(4, 20)));
  EXPECT_TRUE(run_pass("factorize-weights", model, {{"rank", "2"}}).changed);
}

TEST(FactorizeWeights, SmallLayersAreNotFaster) {
  Model model = with_weight(kProduct, {24, 20});
  const Outcome outcome =
      run_pass("factorize-weights", model, {{"rank", "2"}, {"goal", "latency"}});
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(outcome.skips.at(0).reason, "factors of rank 2 are not predicted to be faster");
}

TEST(FactorizeWeights, WeightsThatGiveNothing) {
  const auto reason = [](const std::vector<float>& values, const char* rank) {
    Model model = with_weight(kProduct, {24, 20});
    model.graph().set_constant(model.graph().find("W"), Tensor::from({24, 20}, values));
    const Outcome outcome = run_pass("factorize-weights", model, {{"rank", rank}});
    return outcome.changed ? "changed" : outcome.skips.at(0).reason;
  };
  std::vector<float> values(480, 0.0F);
  EXPECT_EQ(reason(values, "2"), "its weight is zero");
  for (size_t i = 0; i < 30; ++i) values[i * 16] = 1.0F;
  EXPECT_EQ(reason(values, "2"),
            "its weight has 30 non-zeros, factors of rank 2 have 88 parameters");
  EXPECT_EQ(reason(std::vector<float>(480, 0.25F), "1"), "changed");
  EXPECT_EQ(reason(std::vector<float>(480, 0.25F), "100"),
            "rank 20 does not pay against the dense weight, 10 is the most that does");
  values[7] = NAN;
  EXPECT_EQ(reason(values, "2"), "its weight holds NaN or infinite values");
}

TEST(FactorizeWeights, EveryStoring) {
  const Model model = with_weight(kProduct, {24, 20});
  for (Storing& storing : six_storings(model, "W")) {
    SCOPED_TRACE(storing.how);
    const Model before = storing.model.clone();
    const bool shared = storing.how == "shared";
    EXPECT_EQ(run_pass("factorize-weights", storing.model, {{"rank", "2"}}).changed, !shared);
    if (!shared) {
      EXPECT_LT(storing.model.file_size(), before.file_size());
      expect_close(before, storing.model, {1e-4, true});
    }
  }
}

}  // namespace
}  // namespace mcompress::test
