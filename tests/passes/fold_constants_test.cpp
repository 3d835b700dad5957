// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

TEST(FoldConstants, EvaluatesChainsOfConstants) {
  expect_rewrite("fold-constants", R"(
    g (float[2] x) => (float[2] y) <float[2] a = {1.0, 4.0}, float[2] b = {2.0, 2.0}> {
      s = Sqrt(a)
      p = Mul(s, b)
      q = Cast <to = 1> (p)
      y = Add(x, q)
    })",
                 R"(
    g (float[2] x) => (float[2] y) <float[2] q = {2.0, 4.0}> { y = Add(x, q) })");
}

TEST(FoldConstants, ComputesShapesThatAreStatic) {
  expect_rewrite("fold-constants", R"(
    g (float[N,4,6] x) => (float[M,24] y) <int64 one = {1}, int64 two = {2}, int64[1] axes = {0}, int64[1] minus = {-1}> {
      s = Shape(x)
      a = Gather <axis = 0> (s, one)
      b = Gather <axis = 0> (s, two)
      p = Mul(a, b)
      u = Unsqueeze(p, axes)
      c = Concat <axis = 0> (minus, u)
      y = Reshape(x, c)
    })",
                 R"(
    g (float[N,4,6] x) => (float[M,24] y) <int64[2] c = {-1, 24}> { y = Reshape(x, c) })");
}

TEST(FoldConstants, OneUnknownEntryOfAReshapeBecomesMinusOne) {
  expect_rewrite("fold-constants", R"(
    g (float[N,4,6] x) => (float[N,2,12] y)
    <int64 zero = {0}, int64[1] axes = {0}, int64[1] two = {2}, int64[1] twelve = {12}> {
      s = Shape(x)
      n = Gather <axis = 0> (s, zero)
      u = Unsqueeze(n, axes)
      c = Concat <axis = 0> (u, two, twelve)
      y = Reshape(x, c)
    })",
                 R"(
    g (float[N,4,6] x) => (float[N,2,12] y) <int64[3] c = {-1, 2, 12}> { y = Reshape(x, c) })");
}

TEST(FoldConstants, LeavesTwoUnknownEntriesAlone) {
  expect_unchanged("fold-constants", R"(
    g (float[N,M,6] x) => (float[N,M,2,3] y) <int64[1] start = {0}, int64[1] end = {2}, int64[2] tail = {2, 3}> {
      s = Shape(x)
      n = Slice(s, start, end)
      c = Concat <axis = 0> (n, tail)
      y = Reshape(x, c)
    })");
}

TEST(FoldConstants, LeavesLargeResultsRandomNumbersAndStoredFormsAlone) {
  expect_unchanged("fold-constants", R"(
    g (float[100,100] x) => (float[100,100] y) <int64[2] s = {100, 100}> {
      c = ConstantOfShape <value = float[1] {2.0}> (s)
      y = Add(x, c)
    })");
  expect_unchanged("fold-constants", R"(
    g (float[2] x) => (float[2] y) <float[2] a = {1.0, 2.0}> {
      r = RandomNormalLike <seed = 1.0> (a)
      y = Add(x, r)
    })");
  expect_unchanged("fold-constants", R"(
    g (float[2] x) => (float[2] y) <int8[2] q = {1, 2}, float scale = {0.5}> {
      w = DequantizeLinear(q, scale)
      y = Add(x, w)
    })");
}

TEST(FoldConstants, TransposedWeightThatSomethingElseReadsStays) {
  std::string values = "1.0";
  for (int i = 1; i < 1024; ++i) values += ", 1.0";
  expect_unchanged("fold-constants", R"(
    g (float[1,32] x) => (float[1,32] y) <float[32,32] w = {)" +
                                         values + R"(}> {
      t = Transpose <perm = [1, 0]> (w)
      a = MatMul(x, w)
      y = MatMul(a, t)
    })");
}

TEST(FoldConstants, FoldsInsideBodies) {
  expect_rewrite("fold-constants", R"(
    g (bool choose, float[2] x) => (float[2] y) <float[2] a = {1.0, 4.0}> {
      y = If(choose) <
        then_branch = t () => (float[2] ty) { s = Sqrt(a)  ty = Add(x, s) },
        else_branch = e () => (float[2] ey) { n = Neg(a)  ey = Mul(x, n) }
      >
    })",
                 R"(
    g (bool choose, float[2] x) => (float[2] y) {
      y = If(choose) <
        then_branch = t () => (float[2] ty) <float[2] s = {1.0, 2.0}> { ty = Add(x, s) },
        else_branch = e () => (float[2] ey) <float[2] n = {-1.0, -4.0}> { ey = Mul(x, n) }
      >
    })");
}

TEST(FoldConstants, ANodeThatFailsDoesNotStopTheOthers) {
  // Gather past the end fails when it is run, as it would have in the model.
  Model model = parse_model(R"(
    g (bool choose, float[2] x) => (float[2] y)
    <float[2] a = {1.0, 4.0}, int64[1] far = {7}> {
      s = Sqrt(a)
      y = If(choose) <
        then_branch = t () => (float[2] ty) { ty = Add(x, s) },
        else_branch = e () => (float[1] ey) { ey = Gather(a, far) }
      >
    })");
  const Outcome outcome = run_pass("fold-constants", model);
  EXPECT_TRUE(outcome.changed);
  EXPECT_EQ(outcome.counters.at("nodes folded"), 1);
}

}  // namespace
}  // namespace mcompress::test
