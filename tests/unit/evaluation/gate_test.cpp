// SPDX-License-Identifier: Apache-2.0
#include "evaluation/gate.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcompress/error.h"

namespace mcompress::evaluation {
namespace {

GateVerdict verdict(const std::string& quantity, const std::string& text, const Measured& measured,
                    bool strict = false) {
  std::string problem;
  const auto limit = parse_limit(quantity, text, &problem);
  EXPECT_TRUE(limit) << problem;
  return judge(quantity, text, *limit, measured, strict);
}

TEST(GateTest, EstimateDecidesAndStrictTakesTheBound) {
  const Measured drop{0.004, 0.001, 0.007, {}};
  const GateVerdict open = verdict("metric-drop", "<= 0.5 pt", drop);
  EXPECT_TRUE(open.holds);
  EXPECT_TRUE(open.uncertain);
  EXPECT_EQ(open.limit, "metric-drop <= 0.5 pt");
  EXPECT_EQ(open.measured_text, "0.40 pt");
  EXPECT_FALSE(verdict("metric-drop", "<= 0.5 pt", drop, true).holds);
  EXPECT_FALSE(verdict("metric-drop", "<= 0.3 pt", drop).holds);
  EXPECT_FALSE(verdict("metric-drop", "<= 1 pt", drop).uncertain);
  EXPECT_TRUE(verdict("metric-drop", "<= 0.4 pt", Measured{0.004, {}, {}, {}}).holds);
}

TEST(GateTest, SharesOfTheInputAndAbsoluteFigures) {
  EXPECT_TRUE(verdict("size", "<= 25 %", {25, {}, {}, 100}).holds);
  EXPECT_FALSE(verdict("size", "<= 25 %", {26, {}, {}, 100}).holds);
  EXPECT_TRUE(verdict("size", "2 MB", {2e6, {}, {}, {}}).holds);
  EXPECT_FALSE(verdict("size", "2 MB", {2e6 + 1, {}, {}, {}}).holds);
  Latency latency;
  latency.median_ms = 6;
  latency.ratio = 0.55;
  latency.ratio_low = 0.5;
  latency.ratio_high = 0.62;
  std::string problem;
  const auto share = parse_limit("latency", "<= 60 %", &problem),
             time = parse_limit("latency", "5 ms", &problem);
  EXPECT_TRUE(
      judge("latency", "<= 60 %", *share, measured_latency(latency, *share), false).uncertain);
  EXPECT_FALSE(judge("latency", "<= 60 %", *share, measured_latency(latency, *share), true).holds);
  EXPECT_FALSE(judge("latency", "5 ms", *time, measured_latency(latency, *time), false).holds);
  EXPECT_THROW(verdict("size", "<= 25 %", {25, {}, {}, {}}), Error);
}

TEST(GateTest, SamplesWithoutNumbersAreTold) {
  EvaluationResult base, result;
  EXPECT_EQ(not_finite_warning(base, result), "");
  result.not_finite = 3;
  result.value.samples = 10;
  EXPECT_EQ(not_finite_warning(base, result),
            "3 of 10 samples have NaN or infinity in the output, 0 before");
}

TEST(GateTest, DecibelsAreLostInDecibels) {
  EvaluationResult base;
  base.value.value = 40;
  std::string problem;
  const auto lost = *parse_limit("metric-drop", "<= 20.5 dB", &problem);
  const MetricInfo& sqnr = find_metric("sqnr");
  // 40 dB are an error of 1 %; with 9 points more it is 10 %, 20 dB.
  const Measured drop = measured_drop(sqnr, lost, {0.09, 0.08, 0.1}, base);
  EXPECT_NEAR(drop.value, 20, 1e-9);
  const GateVerdict found = judge("metric-drop", "<= 20.5 dB", lost, drop, false);
  EXPECT_TRUE(found.holds);
  EXPECT_TRUE(found.uncertain);
  EXPECT_EQ(found.measured_text, "20.0 dB");
  EXPECT_FALSE(judge("metric-drop", "<= 20.5 dB", lost, drop, true).holds);
  const auto least = *parse_limit("metric", ">= 30 dB", &problem);
  EXPECT_TRUE(judge("metric", ">= 30 dB", least, measured_metric(sqnr, least, base), false).holds);
  EXPECT_THROW(measured_metric(find_metric("top1"), least, base), Error);
  EXPECT_THROW(measured_drop(find_metric("mse"), lost, {}, base), Error);
}

TEST(GateTest, WhatCannotBeMeasuredDoesNotHold) {
  EXPECT_FALSE(
      verdict("metric-drop", "<= 1 pt", {std::numeric_limits<double>::quiet_NaN(), {}, {}, {}})
          .holds);
}

TEST(GateTest, DropsFollowTheMetricsUnit) {
  std::string problem;
  const auto points = *parse_limit("metric-drop", "<= 1 pt", &problem),
             share = *parse_limit("metric-drop", "<= 1 %", &problem);
  EvaluationResult base;
  base.value.value = 0.5;
  const Comparison comparison{0.01, 0.0, 0.02};
  EXPECT_DOUBLE_EQ(measured_drop(find_metric("top1"), points, comparison, base).value, 0.01);
  EXPECT_DOUBLE_EQ(measured_drop(find_metric("top1"), share, comparison, base).value, 0.02);
  EXPECT_DOUBLE_EQ(measured_drop(find_metric("mse"), share, comparison, base).value, 0.01);
  EXPECT_THROW(measured_drop(find_metric("mse"), points, comparison, base), Error);
}

}  // namespace
}  // namespace mcompress::evaluation
