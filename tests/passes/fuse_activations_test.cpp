// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

std::string graph(const std::string& constants, const std::string& body) {
  return "g (float[2,4] x) => (float[2,4] y) <" + constants + "> {" + body + "}";
}

const char* const kHardSwish = R"(
    g (float[2,4] x) => (float[2,4] y) {
      s = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x)
      y = Mul(x, s)
    })";

TEST(FuseActivations, HardSwishInEverySpelling) {
  const std::string numbers =
      "float three = {3.0}, float zero = {0.0}, float six = {6.0}, float sixth = {0.16666667}";
  const std::vector<std::string> bodies = {
      "a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Div(m, six)",
      "a = Add(three, x) c = Clip(a, zero, six) m = Mul(c, x) y = Mul(sixth, m)",
      "a = Add(x, three) c = Clip(a, zero, six) d = Div(c, six) y = Mul(x, d)",
      "a = Add(x, three) c = Clip(a, zero, six) d = Mul(c, sixth) y = Mul(x, d)",
      "a = Add(x, three) h = Max(a, zero) c = Min(h, six) m = Mul(x, c) y = Div(m, six)",
      "a = Add(x, three) h = Min(six, a) c = Max(zero, h) m = Mul(x, c) y = Div(m, six)",
      "a = Add(x, three) h = Relu(a) c = Min(h, six) m = Mul(x, c) y = Div(m, six)",
      "a = Add(x, three) c = Clip(a, zero, six) m = Div(x, six) y = Mul(m, c)",
  };
  for (const std::string& body : bodies) {
    SCOPED_TRACE(body);
    expect_rewrite("fuse-activations", graph(numbers, body), kHardSwish);
  }
}

TEST(FuseActivations, HardSwishOfOldOpsets) {
  expect_rewrite("fuse-activations", graph("float three = {3.0}, float six = {6.0}", R"(
      a = Add(x, three)
      c = Clip <min = 0.0, max = 6.0> (a)
      m = Mul(x, c)
      y = Div(m, six)
    )"),
                 kHardSwish, {}, 9);
}

TEST(FuseActivations, HardSigmoidWithAnyFactors) {
  expect_rewrite(
      "fuse-activations",
      graph("float a = {0.4}, float b = {1.0}, float zero = {0.0}, float two = {2.0}", R"(
      p = Mul(x, a)
      q = Add(p, b)
      c = Clip(q, zero, two)
      y = Div(c, two)
    )"),
      R"(
    g (float[2,4] x) => (float[2,4] y) { y = HardSigmoid <alpha = 0.2, beta = 0.5> (x) })");
}

TEST(FuseActivations, SigmoidAndSwish) {
  expect_rewrite("fuse-activations", graph("float one = {1.0}", R"(
      n = Neg(x) e = Exp(n) d = Add(e, one) y = Div(one, d))"),
                 "g (float[2,4] x) => (float[2,4] y) { y = Sigmoid(x) }");
  expect_rewrite("fuse-activations", graph("float one = {1.0}, float minus = {-1.0}", R"(
      n = Mul(x, minus) e = Exp(n) d = Add(one, e) y = Div(x, d))"),
                 "g (float[2,4] x) => (float[2,4] y) { s = Sigmoid(x) y = Mul(x, s) }");
}

TEST(FuseActivations, ClipAndLeakyRelu) {
  expect_rewrite(
      "fuse-activations",
      graph("float low = {-1.0}, float high = {2.0}", "m = Max(x, low) y = Min(m, high)"),
      R"(
    g (float[2,4] x) => (float[2,4] y) <float low = {-1.0}, float high = {2.0}> { y = Clip(x, low, high) })");
  expect_rewrite("fuse-activations",
                 graph("float slope = {0.1}", "m = Mul(x, slope) y = Max(x, m)"),
                 "g (float[2,4] x) => (float[2,4] y) { y = LeakyRelu <alpha = 0.1> (x) }");
}

TEST(FuseActivations, LeavesLookalikesAlone) {
  const std::string numbers =
      "float three = {3.0}, float zero = {0.0}, float five = {5.0}, float six = {6.0}";
  for (const char* body : {
           "a = Add(x, three) c = Clip(a, zero, five) m = Mul(x, c) y = Div(m, six)",
           "a = Add(x, three) c = Clip(a, three, six) m = Mul(x, c) y = Div(m, six)",
           "a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Div(six, m)",
           "a = Add(x, three) c = Clip(a, zero, six) m = Mul(a, c) y = Div(m, six)",
       }) {
    SCOPED_TRACE(body);
    expect_unchanged("fuse-activations", graph(numbers, body));
  }
  expect_unchanged("fuse-activations", R"(
    g (float[2,4] x) => (float[2,4] y, float[2,4] c)
    <float three = {3.0}, float zero = {0.0}, float six = {6.0}> {
      a = Add(x, three)
      c = Clip(a, zero, six)
      m = Mul(x, c)
      y = Div(m, six)
    })");
}

/// What the runtime makes of a model with the activation between two layers.
std::vector<std::string> optimized(const std::string& text, int64_t opset, bool with_pass) {
  Model model = parse_model(text, opset);
  const Model before = model.clone();
  if (with_pass) run_pass("fuse-activations", model);
  expect_close(before, model);
  std::vector<std::string> ops;
  for (const OptimizedNode& node : runtime()->optimized_nodes(model)) ops.push_back(node.op);
  return ops;
}

std::string between_products(const std::string& body) {
  std::string values = "0.1";
  for (int i = 1; i < 16; ++i) values += fmt::format(", 0.{}", 1 + i * 7 % 9);
  return "g (float[N,3,4] input) => (float[N,3,4] output) <float[4,4] W = {" + values +
         "}, float[4] bias = {1.0, 2.0, 3.0, 4.0}, float one = {1.0}, float two = {2.0}, float "
         "half = {0.5}, "
         "float three = {3.0}, float root = {1.4142135}, float inverse = {0.70710677}, float c = "
         "{0.044715}, "
         "float k = {0.7978846}, float eps = {0.00001}, float[4] scale = {1.0, 2.0, 3.0, 4.0}> {"
         "h = MatMul(input, W) x = Add(h, bias) " +
         body + " output = MatMul(y, W) }";
}

TEST(FuseActivations, GeluInEverySpellingIsFusedByTheRuntime) {
  for (const char* body : {
           "u = Div(x, root) e = Erf(u) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)",
           "u = Mul(x, inverse) e = Erf(u) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)",
           "u = Div(x, root) e = Erf(u) a = Add(one, e) m = Mul(a, half) y = Mul(x, m)",
           "u = Div(x, root) e = Erf(u) a = Add(e, one) m = Mul(x, half) y = Mul(m, a)",
           "u = Div(x, root) e = Erf(u) a = Add(e, one) m = Mul(x, a) y = Div(m, two)",
           "u = Mul(inverse, x) e = Erf(u) a = Add(one, e) m = Mul(half, a) y = Mul(m, x)",
       }) {
    for (const int64_t opset : {9, 13, 17, 20}) {
      SCOPED_TRACE(std::string(body) + " opset " + std::to_string(opset));
      EXPECT_THAT(optimized(between_products(body), opset, true),
                  testing::Contains(testing::AnyOf("BiasGelu", "Gelu")));
    }
  }
}

TEST(FuseActivations, GeluByTanhInEverySpellingIsFusedByTheRuntime) {
  for (const char* body : {
           "p = Pow(x, three) q = Mul(p, c) s = Add(x, q) v = Mul(s, k) t = Tanh(v) a = Add(t, "
           "one) m = Mul(x, half) y = Mul(m, a)",
           "p = Pow(x, three) q = Mul(p, c) s = Add(x, q) v = Mul(s, k) t = Tanh(v) a = Add(t, "
           "one) m = Mul(x, a) y = Mul(m, half)",
           "i = Mul(x, x) p = Mul(i, x) q = Mul(c, p) s = Add(q, x) v = Mul(k, s) t = Tanh(v) a = "
           "Add(one, t) m = Mul(x, half) y = Mul(m, a)",
           "i = Mul(x, x) q = Mul(c, i) s = Add(q, one) w = Mul(x, s) v = Mul(k, w) t = Tanh(v) a "
           "= Add(one, t) m = Mul(x, half) y = Mul(m, a)",
       }) {
    for (const int64_t opset : {9, 17, 20}) {
      SCOPED_TRACE(std::string(body) + " opset " + std::to_string(opset));
      EXPECT_THAT(optimized(between_products(body), opset, true),
                  testing::Contains(testing::AnyOf("FastGelu", "BiasGelu", "Gelu")));
    }
  }
}

TEST(FuseActivations, LayerNormalizationInEverySpellingIsFusedByTheRuntime) {
  const std::string head = "mu = ReduceMean <axes = [-1]> (x) d = Sub(x, mu) ";
  for (const char* body : {
           "q = Pow(d, two) v = ReduceMean <axes = [-1]> (q) e = Add(v, eps) r = Sqrt(e) n = "
           "Div(d, r) o = Mul(n, scale) y = Add(o, bias)",
           "q = Mul(d, d) v = ReduceMean <axes = [-1]> (q) e = Add(v, eps) r = Sqrt(e) n = Div(d, "
           "r) o = Mul(scale, n) y = Add(o, bias)",
           "q = Pow(d, two) v = ReduceMean <axes = [-1]> (q) e = Add(v, eps) r = Sqrt(e) i = "
           "Reciprocal(r) n = Mul(d, i) o = Mul(n, scale) y = Add(bias, o)",
       }) {
    for (const int64_t opset : {9, 13, 17}) {
      SCOPED_TRACE(std::string(body) + " opset " + std::to_string(opset));
      EXPECT_THAT(
          optimized(between_products(head + body), opset, true),
          testing::Contains(testing::AnyOf("LayerNormalization", "SkipLayerNormalization")));
    }
  }
  // Without scale and shift only the operator of opset 17 helps.
  EXPECT_THAT(optimized(between_products(head + "q = Pow(d, two) v = ReduceMean <axes = [-1]> (q) "
                                                "e = Add(v, eps) r = Sqrt(e) y = Div(d, r)"),
                        17, true),
              testing::Contains("LayerNormalization"));
}

TEST(FuseActivations, AConvTakesHardSwishIntoItself) {
  const std::string text = R"(
    g (float[1,16,8,8] x) => (float[1,16,8,8] y) <float three = {3.0}, float zero = {0.0}, float six = {6.0}> {
      W = ConstantOfShape <value = float[1] {0.1}> (shape)
      h = Conv(x, W)
      a = Add(h, three)
      c = Clip(a, zero, six)
      m = Mul(h, c)
      n = Div(m, six)
      y = Conv(n, W)
    })";
  std::string with_shape = text;
  with_shape.replace(with_shape.find("float three"), 0, "int64[4] shape = {16, 16, 1, 1}, ");
  EXPECT_THAT(optimized(with_shape, 17, false), testing::Contains("Clip"));
  const auto ops = optimized(with_shape, 17, true);
  EXPECT_THAT(ops, testing::Not(testing::Contains("Clip")));
  EXPECT_THAT(ops, testing::Not(testing::Contains("HardSigmoid")));
}

}  // namespace
}  // namespace mcompress::test
