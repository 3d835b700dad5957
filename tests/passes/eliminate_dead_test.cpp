// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

TEST(EliminateDead, RemovesChainsAndInitializersThatNothingReads) {
  expect_rewrite("eliminate-dead", R"(
    g (float[2,3] x) => (float[2,3] y) <float[3] w = {1.0, 2.0, 3.0}, float[1] lost = {1.0}> {
      y = Relu(x)
      a = Exp(x)
      b = Mul(a, w)
    })",
                 R"(
    g (float[2,3] x) => (float[2,3] y) { y = Relu(x) })");
}

TEST(EliminateDead, KeepsInitializersThatAreInputsOrOutputs) {
  expect_unchanged("eliminate-dead", R"(
    g (float[2] x, float[2] w = {1.0, 2.0}) => (float[2] y) { y = Relu(x) })");
}

TEST(EliminateDead, LooksIntoBodies) {
  expect_rewrite("eliminate-dead", R"(
    g (bool choose, float[2] x) => (float[2] y) <float[2] w = {1.0, 2.0}> {
      captured = Exp(x)
      y = If(choose) <
        then_branch = t () => (float[2] ty) { unread = Mul(captured, w)  ty = Relu(x) },
        else_branch = e () => (float[2] ey) { ey = Neg(x) }
      >
    })",
                 R"(
    g (bool choose, float[2] x) => (float[2] y) {
      y = If(choose) <
        then_branch = t () => (float[2] ty) { ty = Relu(x) },
        else_branch = e () => (float[2] ey) { ey = Neg(x) }
      >
    })");
}

TEST(EliminateDead, KeepsANodeOfWhichOneOutputIsRead) {
  expect_unchanged("eliminate-dead", R"(
    g (float[2,4] x) => (float[2,2] y) <int64[1] k = {2}> {
      y, indices = TopK <axis = 1> (x, k)
    })");
}

}  // namespace
}  // namespace mcompress::test
