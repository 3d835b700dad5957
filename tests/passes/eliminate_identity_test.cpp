// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

TEST(EliminateIdentity, RemovesWhatReturnsItsInput) {
  expect_rewrite("eliminate-identity", R"(
    g (float[2,3,4] x) => (float[2,3,4] y)
    <float one = {1.0}, float[1] zero = {0.0}, float[1] minus_zero = {-0.0}, int64[3] same = {0, 0, -1},
     int64[6] pads = {0,0,0,0,0,0}, int64[1] start = {0}, int64[1] end = {9223372036854775807}, int64[1] axis = {1}> {
      a = Identity(x)
      b = Dropout(a)
      c = Cast <to = 1> (b)
      d = Mul(c, one)
      e = Div(d, one)
      f = Sub(e, zero)
      h = Add(f, minus_zero)
      i = Reshape(h, same)
      j = Pad(i, pads)
      k = Slice(j, start, end, axis)
      l = Concat <axis = 0> (k)
      m = Transpose <perm = [0, 1, 2]> (l)
      n = Sum(m)
      o = Clip(n)
      p = Relu(o)
      q = Relu(p)
      y = Exp(q)
    })",
                 R"(
    g (float[2,3,4] x) => (float[2,3,4] y) { p = Relu(x)  y = Exp(p) })");
}

TEST(EliminateIdentity, KeepsAddOfZeroWhichTurnsMinusZeroIntoZero) {
  expect_unchanged("eliminate-identity", R"(
    g (float[2] x) => (float[2] y) <float[1] zero = {0.0}> { a = Add(x, zero)  y = Exp(a) })");
}

TEST(EliminateIdentity, KeepsConstantsThatWidenTheShape) {
  expect_unchanged("eliminate-identity", R"(
    g (float[2] x) => (float[3,2] y)
    <float[3,2] ones = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0}> { a = Mul(x, ones)  y = Exp(a) })");
}

TEST(EliminateIdentity, MergesTransposesAndReshapes) {
  expect_rewrite("eliminate-identity", R"(
    g (float[2,3,4] x) => (float[4,2,3] y, float[6,4] z) <int64[2] s = {4, 6}, int64[2] t = {6, 4}> {
      a = Transpose <perm = [1, 0, 2]> (x)
      y = Transpose <perm = [2, 1, 0]> (a)
      b = Reshape(x, s)
      z = Reshape(b, t)
    })",
                 R"(
    g (float[2,3,4] x) => (float[4,2,3] y, float[6,4] z) <int64[2] t = {6, 4}> {
      y = Transpose <perm = [2, 0, 1]> (x)
      z = Reshape(x, t)
    })");
}

TEST(EliminateIdentity, TransposeThereAndBackVanishes) {
  expect_rewrite("eliminate-identity", R"(
    g (float[2,3] x) => (float[2,3] y) {
      a = Transpose <perm = [1, 0]> (x)
      b = Transpose <perm = [1, 0]> (a)
      y = Relu(b)
    })",
                 "g (float[2,3] x) => (float[2,3] y) { y = Relu(x) }");
}

TEST(EliminateIdentity, KeepsIdentityBetweenInputAndOutput) {
  expect_unchanged("eliminate-identity", "g (float[2] x) => (float[2] y) { y = Identity(x) }");
  expect_unchanged("eliminate-identity",
                   "g (float[2] x) => (float[2] y, float[2] z) { z = Exp(x)  y = Identity(z) }");
}

TEST(EliminateIdentity, OutputKeepsItsName) {
  expect_rewrite("eliminate-identity",
                 "g (float[2] x) => (float[2] y) { a = Exp(x)  y = Identity(a) }",
                 "g (float[2] x) => (float[2] y) { y = Exp(x) }");
}

TEST(EliminateIdentity, KeepsDropoutWhoseMaskIsRead) {
  expect_unchanged("eliminate-identity", R"(
    g (float[2] x) => (float[2] y, bool[2] mask) { a, mask = Dropout(x)  y = Exp(a) })");
}

TEST(EliminateIdentity, KeepsReshapeOfOpenShape) {
  expect_unchanged("eliminate-identity", R"(
    g (float[N,4] x) => (float[M,4] y) <int64[2] s = {2, 4}> { a = Reshape(x, s)  y = Exp(a) })");
}

}  // namespace
}  // namespace mcompress::test
