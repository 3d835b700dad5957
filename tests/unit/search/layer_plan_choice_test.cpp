// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "search/sensitivity.h"

namespace mcompress::search {
namespace {

SensitivityChange change(const std::string& choice, double damage, int64_t bytes,
                         std::optional<double> microseconds = {}) {
  SensitivityChange result;
  result.choice = choice;
  result.applied = true;
  result.damage = damage;
  result.bytes_saved = bytes;
  result.microseconds_saved = microseconds;
  return result;
}

SensitivityReport report_with(double tolerance, std::vector<SensitivityLayer> layers) {
  SensitivityReport report;
  report.tolerance = tolerance;
  report.layers = std::move(layers);
  choose_plan(report);
  return report;
}

SensitivityLayer layer(std::vector<SensitivityChange> changes) {
  SensitivityLayer result;
  result.changes = std::move(changes);
  return result;
}

TEST(LayerPlanChoice, TheSumOfTheDamagesStaysWithinTheTolerance) {
  const auto layers = [] {
    return std::vector{layer({change("int8", 0.5, 100), change("int4", 5, 150)}),
                       layer({change("int8", 0.3, 100), change("int4", 0.6, 150)})};
  };
  const auto none = report_with(0.1, layers());
  EXPECT_EQ(none.layers[0].chosen, "float");
  EXPECT_EQ(none.layers[1].chosen, "float");
  EXPECT_EQ(none.planned_bytes_saved, 0);
  const auto one = report_with(0.4, layers());
  EXPECT_EQ(one.layers[0].chosen, "float");
  EXPECT_EQ(one.layers[1].chosen, "int8");
  const auto all = report_with(100, layers());
  EXPECT_EQ(all.layers[0].chosen, "int4");
  EXPECT_EQ(all.layers[1].chosen, "int4");
  EXPECT_EQ(all.planned_bytes_saved, 300);
  EXPECT_DOUBLE_EQ(all.planned_damage, 5.6);
}

TEST(LayerPlanChoice, WhatSavesNoBytesIsNotChosen) {
  const auto report = report_with(1, {layer({change("int8", 0, -4)})});
  EXPECT_EQ(report.layers[0].chosen, "float");
}

TEST(LayerPlanChoice, TimeDecidesBetweenEqualSizes) {
  const auto report =
      report_with(1, {layer({change("int8-weights", 0.01, 100), change("int8", 0.02, 99, 7.0)})});
  EXPECT_EQ(report.layers[0].chosen, "int8");
  EXPECT_EQ(report.planned_bytes_saved, 99);
  EXPECT_DOUBLE_EQ(report.planned_damage, 0.02);
}

}  // namespace
}  // namespace mcompress::search
