// SPDX-License-Identifier: Apache-2.0
#include "pipeline/growth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mcompress {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

StepReport step(const std::string& name, uint64_t bytes, bool rolled_back = false) {
  StepReport report;
  report.name = name;
  report.rolled_back = rolled_back;
  report.size.file_bytes = bytes;
  return report;
}

TEST(Growth, AStepThatAddsBytesForGoodSaysHowMuchAndTheWayOut) {
  RunReport report;
  report.steps = {step("share-weights", 99800), step("quantize-weights", 195900),
                  step("encode-weights", 195000)};
  warn_of_growth(report, 400000, 195000);
  EXPECT_THAT(report.steps[0].warnings, IsEmpty());
  EXPECT_THAT(report.steps[1].warnings,
              ElementsAre(AllOf(HasSubstr("99.80 kB -> 195.9 kB"),
                                HasSubstr("gate: {size: \"<= 25 %\", on-fail: roll-back}"))));
  EXPECT_THAT(report.steps[2].warnings, IsEmpty());
  EXPECT_THAT(report.warnings, IsEmpty()) << "the whole run made the model smaller";
}

TEST(Growth, AWholeRunThatAddsBytesSaysSo) {
  RunReport report;
  report.steps = {step("quantize-static", 37690), step("quantize-weights", 50030)};
  warn_of_growth(report, 37690, 50300);
  EXPECT_THAT(report.steps[1].warnings, ElementsAre(HasSubstr("size: \"<= 100 %\"")));
  EXPECT_THAT(report.warnings,
              ElementsAre(HasSubstr("larger than the input, 37.69 kB -> 50.30 kB")));
}

TEST(Growth, WhatIsTakenBackOrMadeUpForOrTooLittleIsNoMatter) {
  RunReport report;
  report.steps = {step("smooth-activations", 120000), step("share-weights", 150000, true),
                  step("quantize-static", 40000), step("shorten-names", 40900)};
  warn_of_growth(report, 100000, 41500);
  for (const StepReport& each : report.steps) EXPECT_THAT(each.warnings, IsEmpty()) << each.name;
  EXPECT_THAT(report.warnings, IsEmpty());
}

TEST(Growth, ARoundThatWasTakenBackIsNoMeasureOfTheNextStep) {
  RunReport report;
  report.steps = {step("share-weights", 30000), step("repeat", 30000, true),
                  step("fine-tune", 100000)};
  warn_of_growth(report, 100000, 100000);
  EXPECT_THAT(report.steps[2].warnings, IsEmpty());
}

}  // namespace
}  // namespace mcompress
