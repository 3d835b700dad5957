// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

TEST(FoldAffine, AroundAConv) {
  expect_rewrite("fold-affine", R"(
    g (float[1,2,4,4] x) => (float[1,2,4,4] y)
    <float[2,2,1,1] W = {1.0, 2.0, 3.0, 4.0}, float[2] b = {1.0, 2.0}, float a = {2.0}, float[1] t = {1.0},
     float[1,2,1,1] s = {2.0, 4.0}, float[2,1,1] u = {1.0, -1.0}> {
      p = Mul(a, x)
      q = Add(p, t)
      c = Conv(q, W, b)
      d = Div(c, s)
      y = Sub(d, u)
    })",
                 R"(
    g (float[1,2,4,4] x) => (float[1,2,4,4] y)
    <float[2,2,1,1] W = {1.0, 2.0, 1.5, 2.0}, float[2] b = {1.0, 3.25}> { y = Conv(x, W, b) })");
}

TEST(FoldAffine, ConstantMinusValue) {
  expect_rewrite("fold-affine", R"(
    g (float[1,1,4] x) => (float[1,1,4] y) <float[1,1,1] W = {2.0}, float one = {1.0}> {
      c = Conv(x, W)
      y = Sub(one, c)
    })",
                 R"(
    g (float[1,1,4] x) => (float[1,1,4] y) <float[1,1,1] W = {-2.0}, float[1] b = {1.0}> { y = Conv(x, W, b) })");
}

TEST(FoldAffine, OnlyTheFactorMovesIntoAPaddedConv) {
  expect_rewrite("fold-affine", R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[1,1,3,3] W = {1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0}, float a = {2.0}, float t = {1.0}> {
      p = Mul(x, a)
      q = Add(p, t)
      y = Conv <pads = [1,1,1,1]> (q, W)
    })",
                 R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[1,1,3,3] W = {2.0,2.0,2.0,2.0,2.0,2.0,2.0,2.0,2.0}, float t = {0.5}> {
      q = Add(x, t)
      y = Conv <pads = [1,1,1,1]> (q, W)
    })");
  expect_unchanged("fold-affine", R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[1,1,3,3] W = {1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0}, float t = {1.0}> {
      q = Add(x, t)
      y = Conv <auto_pad = "SAME_UPPER"> (q, W)
    })");
}

TEST(FoldAffine, WritesTheLeftoverAsADepthwiseConvWhereAsked) {
  const char* const text = R"(
    g (float[1,8,4,4] x) => (float[1,8,4,4] y) <int64[4] shape = {8, 1, 3, 3}, float t = {1.0}> {
      W = ConstantOfShape <value = float[1] {0.5}> (shape)
      r = Relu(x)
      q = Add(r, t)
      y = Conv <group = 8, pads = [1,1,1,1]> (q, W)
    })";
  Model model = parse_model(text);
  run_pass("fold-constants", model);
  const Model before = model.clone();
  EXPECT_FALSE(run_pass("fold-affine", model).changed);
  EXPECT_TRUE(run_pass("fold-affine", model, {{"leftover", "depthwise"}}).changed);
  EXPECT_EQ(normal_form(model).find("Add"), std::string::npos);
  expect_close(before, model);
  EXPECT_FALSE(run_pass("fold-affine", model, {{"leftover", "depthwise"}}).changed);
}

TEST(FoldAffine, GemmAndMatMul) {
  expect_rewrite("fold-affine", R"(
    g (float[3,2] x) => (float[3,2] y)
    <float[2,2] W = {1.0, 2.0, 3.0, 4.0}, float[2] c = {1.0, 1.0}, float a = {2.0}, float[2] t = {1.0, 2.0}> {
      p = Mul(x, a)
      q = Gemm <alpha = 0.5, beta = 2.0> (p, W, c)
      y = Add(q, t)
    })",
                 R"(
    g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {2.0, 4.0, 6.0, 8.0}, float[2] c = {1.5, 2.0}> {
      y = Gemm <alpha = 0.5, beta = 2.0> (x, W, c)
    })");
  expect_rewrite("fold-affine", R"(
    g (float[2,3,2] x) => (float[2,3,2] y)
    <float[2,2] W = {1.0, 2.0, 3.0, 4.0}, float[2] b = {1.0, 2.0}, float a = {2.0}, float t = {1.0}, float[2] s = {1.0, 3.0}> {
      o = Mul(x, a)
      p = Add(o, t)
      q = MatMul(p, W)
      r = Add(b, q)
      y = Mul(r, s)
    })",
                 R"(
    g (float[2,3,2] x) => (float[2,3,2] y) <float[2,2] W = {2.0, 12.0, 6.0, 24.0}, float[2] b = {5.0, 24.0}> {
      q = MatMul(x, W)
      y = Add(b, q)
    })");
}

TEST(FoldAffine, ThroughActivationsAndPools) {
  expect_rewrite("fold-affine", R"(
    g (float[1,1,4,4] x) => (float[1,1,1,1] y)
    <float[1,1,1,1] W = {1.0}, float[1] b = {3.0}, float s = {2.0}> {
      c = Conv(x, W, b)
      r = Relu(c)
      l = LeakyRelu(r)
      p = GlobalAveragePool(l)
      y = Mul(p, s)
    })",
                 R"(
    g (float[1,1,4,4] x) => (float[1,1,1,1] y) <float[1,1,1,1] W = {2.0}, float[1] b = {6.0}> {
      c = Conv(x, W, b)
      r = Relu(c)
      l = LeakyRelu(r)
      y = GlobalAveragePool(l)
    })");
  expect_unchanged("fold-affine", R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y) <float[1,1,1,1] W = {1.0}, float s = {-2.0}> {
      c = Conv(x, W)
      r = Relu(c)
      y = Mul(r, s)
    })");
  expect_rewrite("fold-affine", R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y) <float[1,1,1,1] W = {1.0}, float s = {2.0}> {
      m = Mul(x, s)
      r = Relu(m)
      y = Conv(r, W)
    })",
                 R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y) <float[1,1,1,1] W = {2.0}> {
      r = Relu(x)
      y = Conv(r, W)
    })");
}

TEST(FoldAffine, MergesTerms) {
  expect_rewrite("fold-affine", R"(
    g (float[2] x) => (float[2] y) <float a = {2.0}, float[2] b = {1.0, 3.0}, float c = {4.0}, float d = {1.0}, float e = {2.0}> {
      p = Mul(x, a)
      q = Mul(b, p)
      r = Div(q, c)
      s = Add(r, d)
      y = Sub(s, e)
    })",
                 R"(
    g (float[2] x) => (float[2] y) <float[2] a = {0.5, 1.5}, float d = {-1.0}> {
      p = Mul(x, a)
      y = Add(p, d)
    })");
}

TEST(FoldAffine, KeepsSummandsThatCancel) {
  expect_unchanged("fold-affine", R"(
    g (float[2] x) => (float[2] y) <float a = {100000000.0}> {
      p = Add(x, a)
      y = Sub(p, a)
    })");
}

TEST(FoldAffine, RefusesWhatIsReadTwiceOrVariesAlongOtherAxes) {
  expect_unchanged("fold-affine", R"(
    g (float[1,1,2,2] x) => (float[1,1,2,2] y, float[1,1,2,2] z) <float[1,1,1,1] W = {1.0}, float s = {2.0}> {
      c = Conv(x, W)
      y = Mul(c, s)
      z = Exp(c)
    })");
  expect_unchanged("fold-affine", R"(
    g (float[1,1,2,2] x) => (float[1,1,2,2] y) <float[1,1,1,1] W = {1.0}, float[2] s = {2.0, 3.0}> {
      c = Conv(x, W)
      y = Mul(c, s)
    })");
  expect_unchanged("fold-affine", R"(
    g (float[1,1,2,2] x) => (float[3,1,1,2,2] y) <float[1,1,1,1] W = {1.0}, float[3,1,1,1,1] s = {2.0, 3.0, 4.0}> {
      c = Conv(x, W)
      y = Mul(c, s)
    })");
  expect_unchanged("fold-affine", R"(
    g (float[1,1,2,2] x, float s = {2.0}) => (float[1,1,2,2] y) <float[1,1,1,1] W = {1.0}> {
      c = Conv(x, W)
      y = Mul(c, s)
    })");
}

TEST(FoldAffine, KeepsLayerNormalizationAndGeluWhole) {
  expect_unchanged("fold-affine", R"(
    g (float[2,4] x) => (float[2,4] y)
    <float[4,4] W = {1.0,2.0,3.0,4.0,1.0,2.0,3.0,4.0,1.0,2.0,3.0,4.0,1.0,2.0,3.0,4.0}, float two = {2.0},
     float eps = {0.001}, float[4] s = {1.0, 2.0, 3.0, 4.0}, float[4] b = {1.0, 2.0, 3.0, 4.0}> {
      m = ReduceMean <axes = [-1]> (x)
      d = Sub(x, m)
      q = Pow(d, two)
      v = ReduceMean <axes = [-1]> (q)
      e = Add(v, eps)
      r = Sqrt(e)
      n = Div(d, r)
      o = Mul(n, s)
      p = Add(o, b)
      y = MatMul(p, W)
    })");
  expect_unchanged("fold-affine", R"(
    g (float[2,2] x) => (float[2,2] y)
    <float[2,2] W = {1.0, 2.0, 3.0, 4.0}, float r = {1.41421356}, float one = {1.0}, float half = {0.5}> {
      d = Div(x, r)
      e = Erf(d)
      a = Add(e, one)
      m = Mul(x, a)
      p = Mul(m, half)
      y = MatMul(p, W)
    })");
}

TEST(FoldAffine, KeepsHardSwishWhole) {
  expect_rewrite("fold-affine", R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[1,1,1,1] W = {2.0}, float[1] b = {0.0}, float three = {3.0}, float zero = {0.0}, float six = {6.0}, float a = {0.5}> {
      s = Add(x, three)
      c = Clip(s, zero, six)
      m = Mul(x, c)
      d = Div(m, six)
      p = Mul(d, a)
      q = Conv(p, W, b)
      t = Add(q, three)
      u = Clip(t, zero, six)
      y = Div(u, six)
    })",
                 R"(
    g (float[1,1,4,4] x) => (float[1,1,4,4] y)
    <float[1,1,1,1] W = {1.0}, float[1] b = {0.0}, float three = {3.0}, float zero = {0.0}, float six = {6.0}> {
      s = Add(x, three)
      c = Clip(s, zero, six)
      m = Mul(x, c)
      d = Div(m, six)
      q = Conv(d, W, b)
      t = Add(q, three)
      u = Clip(t, zero, six)
      y = Div(u, six)
    })");
}

TEST(FoldAffine, EveryStoring) {
  const Model model = parse_model(R"(
    g (float[1,2,4,4] x) => (float[1,2,4,4] y) <float[2,2,1,1] W = {1.0, 2.0, 3.0, 4.0}, float s = {2.0}> {
      c = Conv(x, W)
      y = Mul(c, s)
    })");
  for (Storing& storing : six_storings(model, "W")) {
    SCOPED_TRACE(storing.how);
    const Model before = storing.model.clone();
    EXPECT_TRUE(run_pass("fold-affine", storing.model).changed);
    expect_close(before, storing.model);
  }
}

}  // namespace
}  // namespace mcompress::test
