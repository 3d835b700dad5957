// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>

#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

std::vector<float> constant(const Model& model, const std::string& name) {
  return model.graph().find(name).constant()->to_float();
}

/// largest / smallest of the largest magnitudes that a value has in its channels (axis 1).
double spread(const Model& model, const std::string& value) {
  PassContext context = make_data_context(model, 1, 8);
  const std::vector<ObservedValue> values{{value, 1}};
  context.calibration().observe(model, values);
  const auto channels = context.calibration().channels(model, value);
  double least = 1e30, most = 0;
  for (size_t c = 0; c < channels->max.size(); ++c) {
    const double range = std::max(channels->max[c], -channels->min[c]);
    least = std::min(least, range);
    most = std::max(most, range);
  }
  return most / least;
}

// Ranges 8 : 2 of what the first layer gives, weights 1 : 4 of what the second takes.
TEST(EqualizeRanges, PairsMeetInTheMiddle) {
  expect_rewrite("equalize-ranges", R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[2,1,1,1] A = {8.0, -2.0}, float[2] a = {4.0, 1.0}, float[1,2,1,1] B = {1.0, 4.0}> {
      c = Conv(x, A, a)
      r = Relu(c)
      y = Conv(r, B)
    })",
                 R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[2,1,1,1] A = {4.0, -4.0}, float[2] a = {2.0, 2.0}, float[1,2,1,1] B = {2.0, 2.0}> {
      c = Conv(x, A, a)
      r = Relu(c)
      y = Conv(r, B)
    })");
}

// A depthwise layer takes any factor on both sides, so its input is as even as can be.
TEST(EqualizeRanges, TriplesWithADepthwiseLayer) {
  expect_rewrite("equalize-ranges", R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[2,1,1,1] A = {8.0, 2.0}, float[2,1,1,1] D = {3.0, 3.0}, float[1,2,1,1] B = {1.0, 1.0}> {
      c = Conv(x, A)
      r = Relu(c)
      d = Conv <group = 2> (r, D)
      p = LeakyRelu(d)
      y = Conv(p, B)
    })",
                 R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[2,1,1,1] A = {4.0, 4.0}, float[2,1,1,1] D = {6.0, 1.5}, float[1,2,1,1] B = {1.0, 1.0}> {
      c = Conv(x, A)
      r = Relu(c)
      d = Conv <group = 2> (r, D)
      p = LeakyRelu(d)
      y = Conv(p, B)
    })");
}

TEST(EqualizeRanges, BalanceSaysWhoseRangesMatter) {
  for (const auto& [balance, first] : {std::pair{"1", 4.0F}, {"0", 16.0F}}) {
    Model model = parse_model(R"(
      g (float[3,1] x) => (float[3,1] y) <float[1,2] A = {8.0, 2.0}, float[2,1] B = {1.0, 4.0}> {
        c = MatMul(x, A)
        y = MatMul(c, B)
      })");
    const Model before = model.clone();
    run_pass("equalize-ranges", model, {{"balance", balance}});
    EXPECT_NEAR(constant(model, "A")[0], balance[0] == '1' ? first : 4.0F, 1e-4) << balance;
    expect_close(before, model);
  }
}

TEST(EqualizeRanges, LeavesAloneWhatIsReadAsItIs) {
  expect_unchanged("equalize-ranges", R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[2,1,1,1] A = {8.0, 2.0}, float[1,2,1,1] B = {1.0, 4.0}> {
      c = Conv(x, A)
      s = Softmax <axis = 1> (c)
      y = Conv(s, B)
    })",
                   "needs the value as it is");
  expect_unchanged("equalize-ranges", R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[2,1,1,1] A = {8.0, 2.0}, float[1,2,1,1] B = {1.0, 4.0}> {
      c = Conv(x, A)
      s = Sigmoid(c)
      m = Mul(c, s)
      y = Conv(m, B)
    })",
                   "explicit-mul: never");
  expect_unchanged("equalize-ranges", R"(
    g (float[1,1,4,4] x) => (float[1,2,4,4] c, float[1,1,4,4] y)
    <float[2,1,1,1] A = {8.0, 2.0}, float[1,2,1,1] B = {1.0, 4.0}> {
      c = Conv(x, A)
      y = Conv(c, B)
    })",
                   "c is an output of the model");
}

constexpr const char* kGated = R"(
  g (float[1,3,4,4] x) => (float[1,2,4,4] y)
  <float[4,3,1,1] A = {90.0,30.0,20.0, 0.1,0.2,0.1, 1.0,-1.0,2.0, 0.02,0.01,-0.03},
   float[4] a = {1.0, 0.1, 0.2, 0.01}, float[1] t = {0.5},
   float[2,4,1,1] B = {0.01,9.0,1.0,50.0, 0.02,-5.0,1.0,60.0}> {
    c = Conv(x, A, a)
    s = HardSigmoid(c)
    m = Mul(c, s)
    n = Add(m, t)
    y = Conv(n, B)
  })";

TEST(EqualizeRanges, AnActivationGetsItsTrueValueFromOneMul) {
  Model model = parse_model(kGated);
  const Model before = model.clone();
  PassContext context = make_data_context(model, 1, 8);
  const Outcome outcome =
      run_pass("equalize-ranges", model, {{"explicit-mul", "worthwhile"}}, &context);
  EXPECT_EQ(outcome.counters.at("explicit Mul"), 1);
  expect_close(before, model);
  EXPECT_LT(spread(model, "c"), 0.01 * spread(before, "c"));
  EXPECT_EQ(model.graph().find("n").producer().input(1).constant_shape(), (Shape{4, 1, 1}));
}

TEST(EqualizeRanges, WithDataRangesOfChannelsCount) {
  // Channel 0 of the weights is small, but its bias makes the values large.
  Model model = parse_model(R"(
    g (float[1,1,4,4] x) => (float[1,2,4,4] y)
    <float[2,1,1,1] A = {0.1, 1.0}, float[2] a = {300.0, 0.0}, float[2,1,1,1] D = {1.0, 1.0}> {
      c = Conv(x, A, a)
      r = Relu(c)
      y = Conv <group = 2> (r, D)
    })");
  const Model before = model.clone();
  PassContext context = make_data_context(model, 1, 8);
  run_pass("equalize-ranges", model, {}, &context);
  EXPECT_LT(spread(model, "c"), 1.1);
  expect_close(before, model);
}

TEST(EqualizeRanges, GoesThroughResidualsPoolsAndTransposes) {
  Model model = parse_model(R"(
    g (float[1,1,4,4] x) => (float[1,3] y)
    <float[2,1,1,1] A = {8.0, 0.5}, float[2,2,1,1] E = {1.0, 0.1, 0.3, 0.01},
     float[2,3] B = {1.0, 4.0, 2.0, 8.0, 3.0, 1.0}, int64[2] flat = {1, 2}> {
      c = Conv(x, A)
      r = Relu(c)
      e = Conv(r, E)
      sum = Add(r, e)
      p = GlobalAveragePool(sum)
      f = Reshape(p, flat)
      y = MatMul(f, B)
    })");
  const Model before = model.clone();
  const Outcome outcome = run_pass("equalize-ranges", model);
  EXPECT_TRUE(outcome.changed);
  EXPECT_EQ(outcome.counters.at("groups of values equalized"), 1) << "all are one class";
  expect_close(before, model);
}

TEST(EqualizeRanges, CrossesConcatWithAPartOfTheChannelsForEach) {
  Model model = parse_model(R"(
    g (float[1,1,4,4] x) => (float[1,2,4,4] y)
    <float[2,1,1,1] A = {8.0, 0.5}, float[2] a = {1.0, 0.1}, float[3,1,1,1] B = {0.1, 20.0, 1.0},
     float[2,5,1,1] E = {1.0, 2.0, 0.3, 0.1, 1.0, -1.0, 3.0, 0.2, 0.1, 2.0},
     float[2,3,1,1] F = {1.0, 0.1, 2.0, 0.5, 0.2, -1.0}, float[3,1,1] m = {1.0, 3.0, 0.5}> {
      p = Conv(x, A, a)
      q = Conv(x, B)
      r = Mul(q, m)
      c = Concat <axis = 1> (p, r)
      d = Relu(c)
      e = Conv(d, E)
      f = Conv(r, F)
      y = Add(e, f)
    })");
  const Model before = model.clone();
  PassContext context = make_data_context(model, 1, 8);
  const Outcome outcome = run_pass("equalize-ranges", model, {}, &context);
  EXPECT_TRUE(outcome.changed);
  EXPECT_LT(spread(model, "c"), 0.2 * spread(before, "c"));
  expect_close(before, model);
}

TEST(EqualizeRanges, ValuesAtSeveralPlacesOfAConcatAreLeftAlone) {
  Model model = parse_model(R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[2,1,1,1] A = {8.0, 0.5}, float[2,1,1,1] B = {0.1, 20.0},
     float[1,4,1,1] E = {1.0, 2.0, 0.3, 0.1}> {
      p = Conv(x, A)
      q = Conv(x, B)
      c = Concat <axis = 1> (p, q)
      d = Concat <axis = 1> (q, p)
      s = Add(c, d)
      y = Conv(s, E)
    })");
  const Model before = model.clone();
  run_pass("equalize-ranges", model);
  EXPECT_EQ(constant(model, "A"), constant(before, "A"));
  expect_close(before, model);
}

TEST(EqualizeRanges, ConstantsOfNormsAndProductsTakeFactors) {
  Model model = parse_model(R"(
    g (float[1,5,2] x) => (float[1,5,2] y)
    <float[2] scale = {10.0, 0.1}, float[2] shift = {0.5, 0.01}, float[2,2] W = {1.0, 2.0, 3.0, 40.0},
     float half = {0.5}, float[2,2] V = {1.0, 0.1, 1.0, 7.0}> {
      n = LayerNormalization <axis = -1> (x, scale, shift)
      m = MatMul(n, W)
      s = Softmax(m)
      h = Mul(s, half)
      y = MatMul(h, V)
    })");
  const Model before = model.clone();
  PassContext context = make_data_context(model, 1, 8);
  const Outcome outcome = run_pass("equalize-ranges", model, {}, &context);
  EXPECT_GE(outcome.counters.at("groups of values equalized"), 1);
  EXPECT_NE(constant(model, "scale"), constant(before, "scale"));
  expect_close(before, model);
}

// Factors are worth nothing to a layer that computes NaN, and would push others out of float.
TEST(EqualizeRanges, LeavesConstantsAtTheEndsOfFloatAlone) {
  const std::pair<float, const char*> cases[] = {
      {std::numeric_limits<float>::quiet_NaN(), "are NaN or infinite"},
      {std::numeric_limits<float>::infinity(), "are NaN or infinite"},
      {3e38F, "too large to be multiplied"},
      {1e-40F, "too small to be divided"}};
  for (const char* const name : {"A", "B"}) {
    for (const auto& [entry, why] : cases) {
      Model model = parse_model(R"(
        g (float[3,1] x) => (float[3,1] y) <float[1,2] A = {8.0, 2.0}, float[2,1] B = {1.0, 4.0}> {
          c = MatMul(x, A)
          y = MatMul(c, B)
        })");
      const ValueRef weight = model.graph().find(name);
      const std::vector<float> values{entry, entry / 2};
      model.graph().set_constant(weight, Tensor::from<float>(weight.constant_shape(), values));
      const Outcome outcome = run_pass("equalize-ranges", model);
      EXPECT_FALSE(outcome.changed) << name << " " << entry;
      ASSERT_FALSE(outcome.skips.empty());
      EXPECT_THAT(outcome.skips.at(0).reason, testing::HasSubstr(why)) << name << " " << entry;
    }
  }
}

TEST(EqualizeRanges, KeepsGeluInPieces) {
  expect_unchanged("equalize-ranges", R"(
    g (float[3,2] x) => (float[3,1] y)
    <float[2,2] A = {8.0, 1.0, 2.0, 0.1}, float[2,1] B = {1.0, 4.0}, float root = {1.41421356},
     float one = {1.0}, float half = {0.5}> {
      c = MatMul(x, A)
      d = Div(c, root)
      e = Erf(d)
      f = Add(e, one)
      m = Mul(c, f)
      h = Mul(m, half)
      y = MatMul(h, B)
    })");
}

TEST(EqualizeRanges, HighBiasesAreAbsorbed) {
  const char* const text = R"(
    g (float[1,1,4,4] x) => (float[1,2,hs,ws] y)
    <float[2,1,1,1] A = {0.1, 0.2}, float[2] a = {10.0, 20.0}, float[2,2,1,1] B = {1.0, -2.0, 0.5, 3.0}> {
      c = Conv(x, A, a)
      r = Relu(c)
      y = Conv(r, B)
    })";
  const auto largest = [](const Model& model) {
    PassContext context = make_data_context(model, 1, 8);
    const std::vector<ObservedValue> values{{"r", 1}};
    context.calibration().observe(model, values);
    const auto channels = context.calibration().channels(model, "r");
    return *std::max_element(channels->max.begin(), channels->max.end());
  };
  Model kept = parse_model(text), model = parse_model(text);
  const Model before = model.clone();
  PassContext context = make_data_context(model, 1, 8);
  run_pass("equalize-ranges", kept, {}, &context);
  const Outcome outcome =
      run_pass("equalize-ranges", model, {{"absorb-bias", "observed"}}, &context);
  EXPECT_EQ(outcome.counters.at("biases absorbed"), 1);
  EXPECT_LT(largest(model), 0.2 * largest(kept));
  expect_close(before, model);
  // Zeros around the input are no zeros of the shifted values.
  Model padded = parse_model(std::string(text).replace(
      std::string(text).find("Conv(r"), 6, "Conv <pads = [1, 1, 0, 0], strides = [1, 1]> (r"));
  PassContext other = make_data_context(padded, 1, 8);
  const Outcome none = run_pass("equalize-ranges", padded, {{"absorb-bias", "observed"}}, &other);
  EXPECT_EQ(none.counters.at("biases absorbed"), 0);
}

TEST(EqualizeRanges, SkippedLayersKeepTheirWeights) {
  Model model = parse_model(R"(
    g (float[3,1] x) => (float[3,1] y) <float[1,2] A = {8.0, 2.0}, float[2,1] B = {1.0, 4.0}> {
      c = MatMul(x, A)
      y = MatMul(c, B)
    })");
  PassContext context = make_context();
  context.set_selection(LayerSelection({}, {"last"}));
  auto pass = builtin_passes().create("equalize-ranges");
  EXPECT_FALSE(pass->run(model, context));
}

// What the pass is for: one scale a tensor then fits all of its channels.
TEST(EqualizeRanges, Int8LosesLess) {
  const auto damage = [](bool equalize) {
    Model model = parse_model(R"(
      g (float[1,2,6,6] x) => (float[1,2,6,6] y)
      <float[3,2,1,1] A = {90.0, 50.0, 0.2, -0.3, 1.0, 1.0}, float[3] a = {0.1, 0.1, 0.1},
       float[2,3,1,1] B = {0.01, 8.0, 1.0, -0.02, 9.0, 0.5}> {
        c = Conv(x, A, a)
        r = Relu(c)
        y = Conv(r, B)
      })");
    const Model before = model.clone();
    PassContext context = make_data_context(model, 1, 32);
    if (equalize) run_pass("equalize-ranges", model, {}, &context);
    run_pass("quantize-static", model, {{"where", "everywhere"}, {"effort", "quick"}}, &context);
    double noise = 0, signal = 0;
    for (uint64_t seed = 100; seed < 104; ++seed) {
      const Feeds feeds = random_feeds(before, seed);
      const auto expected = runtime()->open(before)->run(feeds)[0].to_float();
      const auto found = runtime()->open(model)->run(feeds)[0].to_float();
      for (size_t i = 0; i < expected.size(); ++i) {
        noise += std::pow(expected[i] - found[i], 2);
        signal += std::pow(expected[i], 2);
      }
    }
    return noise / signal;
  };
  EXPECT_LT(damage(true), 0.2 * damage(false));
}

}  // namespace
}  // namespace mcompress::test
