// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcompress/error.h"
#include "tests/support/model_text.h"
#include "train/program.h"

namespace mcompress::train {
namespace {

using test::parse_model;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TrainingCheck check(const char* text, const std::string& output = "") {
  return check_model(parse_model(text), output);
}

TEST(TrainingCheck, WeightsAreTrainedAndStatisticsAreNot) {
  const auto found = check(R"(
    g (float[n,2,4] x) => (float[n,2,4] y)
    <float[2,2,1] w = {1.0,2.0,3.0,4.0}, float[2] c = {1.0,2.0}, float[2] s = {1.0,1.0}, float[2] b = {0.0,0.0},
     float[2] m = {0.0,0.0}, float[2] v = {1.0,1.0}, float half = {0.5}> {
      a = Conv(x, w, c)
      n = BatchNormalization(a, s, b, m, v)
      y = Mul(n, half)
    })");
  EXPECT_THAT(found.parameters, ElementsAre("b", "c", "s", "w"));
  EXPECT_THAT(found.fed, ElementsAre("x"));
  EXPECT_THAT(found.obstacles, IsEmpty());
  EXPECT_THAT(found.frozen, IsEmpty());
  EXPECT_FALSE(found.has_prefix);
}

TEST(TrainingCheck, SeesWeightsBehindRearrangements) {
  const auto found = check(R"(
    g (float[n,2] x) => (float[n,3] y) <float[3,2] w = {1.0,2.0,3.0,4.0,5.0,6.0}> {
      t = Transpose(w)
      y = MatMul(x, t)
    })");
  EXPECT_THAT(found.parameters, ElementsAre("w"));
}

TEST(TrainingCheck, ConstantsThatForbidAreNoWeights) {
  const auto found = check(R"(
    g (float[n,2] x) => (float[n,2] y)
    <float[2,2] w = {1.0,2.0,3.0,4.0}, float[2] mask = {0.0,-1000000000.0}> {
      a = MatMul(x, w)
      y = Add(a, mask)
    })");
  EXPECT_THAT(found.parameters, ElementsAre("w"));
}

TEST(TrainingCheck, BiasesOfOneOutputAreTrainedAndFactorsAreNot) {
  const auto found = check(R"(
    g (float[N,4] x) => (float[N,1] y)
    <float[4,1] w = {1, 2, 3, 4}, float[1] b = {0.5}, float[1,1] v = {2}, float[1] c = {0.1},
     float[1] half = {0.5}, float three = {3}> {
      p = MatMul(x, w)
      s = Add(b, p)
      h = Mul(s, half)
      t = Add(h, three)
      y = Gemm(t, v, c)
    })");
  EXPECT_THAT(found.parameters, ElementsAre("b", "c", "v", "w"));
}

TEST(TrainingCheck, ShapesTakeNoGradient) {
  const auto found = check(R"(
    g (float[n,2] x) => (float[n,2] y)
    <float[2,2] w = {1.0,2.0,3.0,4.0}, float[2,2] v = {1.0,2.0,3.0,4.0}> {
      a = MatMul(x, w)
      s = Shape(a)
      b = MatMul(x, v)
      y = Reshape(b, s)
    })");
  EXPECT_THAT(found.parameters, ElementsAre("v"));
  EXPECT_THAT(found.obstacles, IsEmpty());
  EXPECT_FALSE(found.has_prefix);
}

TEST(TrainingCheck, WhatCannotBeRunBecomesAPrefix) {
  const auto found = check(R"(
    g (float[n,2] x) => (float[n,2] y)
    <float[2,2] w = {1.0,2.0,3.0,4.0}, float[2,2] v = {1.0,2.0,3.0,4.0}, float[2,2] u = {1.0,2.0,3.0,4.0}> {
      a = MatMul(x, w)
      odd = com.acme.Odd(a)
      b = MatMul(odd, v)
      c = MatMul(a, u)
      s = Shape(a)
      d = Reshape(b, s)
      y = Add(d, c)
    })");
  EXPECT_THAT(found.parameters, ElementsAre("u", "v"));
  EXPECT_THAT(found.fed, ElementsAre("a", "odd"));
  EXPECT_THAT(found.frozen, ElementsAre("Odd:odd"));
  EXPECT_THAT(found.obstacles, IsEmpty());
  EXPECT_TRUE(found.has_prefix);
}

TEST(TrainingCheck, AWeightThatThePrefixReadsStays) {
  const auto found = check(R"(
    g (float[n,2] x) => (float[n,2] y)
    <float[2,2] w = {1.0,2.0,3.0,4.0}, float[2,2] v = {1.0,2.0,3.0,4.0}> {
      a = MatMul(x, w)
      odd = com.acme.Odd(a)
      b = MatMul(odd, w)
      y = MatMul(b, v)
    })");
  EXPECT_THAT(found.parameters, ElementsAre("v"));
}

TEST(TrainingCheck, AnObstacleBehindAllWeights) {
  const auto odd = check(R"(
    g (float[n,2] x) => (float[n,2] y) <float[2,2] w = {1.0,2.0,3.0,4.0}> {
      a = MatMul(x, w)
      y = com.acme.Odd(a)
    })");
  EXPECT_THAT(odd.parameters, IsEmpty());
  EXPECT_THAT(odd.obstacles, ElementsAre(HasSubstr("Odd:y: the trainer does not know Odd")));
  constexpr const char* kClass = R"(
    g (float[n,2] x) => (int64[n] y) <float[2,2] w = {1.0,2.0,3.0,4.0}> {
      a = MatMul(x, w)
      y = ArgMax <axis = 1, keepdims = 0> (a)
    })";
  EXPECT_THAT(check(kClass).obstacles, ElementsAre("ArgMax:y: no gradient"));
  EXPECT_THAT(check(kClass, "a").obstacles, IsEmpty());
  EXPECT_THAT(check(kClass, "a").parameters, ElementsAre("w"));
}

TEST(TrainingCheck, FormsThatAreNotCovered) {
  const auto found = check(R"(
    g (float[n,2,4] x) => (float[n,2,2] y, int64[n,2,2] i) <float[2,2,1] w = {1.0,2.0,3.0,4.0}> {
      a = Conv(x, w)
      y, i = MaxPool <kernel_shape = [2], strides = [2]> (a)
    })");
  EXPECT_THAT(found.obstacles, ElementsAre("MaxPool:y: its indices are read"));
}

TEST(TrainingCheck, WeightsInBodiesStay) {
  const auto found = check(R"(
    g (float[n,2] x, bool c) => (float[n,2] y) {
      y = If (c) <
        then_branch = a () => (float[n,2] p) <float[2,2] w = {1.0,2.0,3.0,4.0}> { p = MatMul(x, w) },
        else_branch = b () => (float[n,2] q) { q = Identity(x) }
      >
    })");
  EXPECT_THAT(found.parameters, IsEmpty());
  EXPECT_THAT(found.obstacles, ElementsAre("If:y: the trainer does not know If"));
}

TEST(TrainingCheck, NothingToTrain) {
  const auto found = check("g (float[n,2] x) => (float[n,2] y) { y = Relu(x) }");
  EXPECT_THAT(found.parameters, IsEmpty());
  EXPECT_THAT(found.obstacles, IsEmpty());
  EXPECT_THROW(check("g (float[n,2] x) => (float[n,2] y) { y = Relu(x) }", "z"), Error);
}

}  // namespace
}  // namespace mcompress::train
