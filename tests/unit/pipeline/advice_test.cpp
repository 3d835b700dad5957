// SPDX-License-Identifier: Apache-2.0
#include "pipeline/advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mcompress {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Advice, LossyRoundingWithoutDataIsSentToGptq) {
  RunReport report;
  report.metric_drop = 0.6;
  StepReport& step = report.steps.emplace_back();
  step.name = "quantize-weights";
  step.changed = true;
  const auto advised = Contains(HasSubstr("method: gptq"));
  step.options =
      "bits: 2, block-size: auto, symmetric: true, method: balanced, granularity: channel";
  EXPECT_THAT(advice_for(report), advised);
  report.metric_drop = 0.001;
  EXPECT_THAT(advice_for(report), Not(advised)) << "little was lost";
  report.metric_drop = 0.6;
  for (const char* options : {"bits: 2, method: gptq", "bits: binary, method: balanced"}) {
    step.options = options;
    EXPECT_THAT(advice_for(report), Not(advised)) << options;
  }
}

}  // namespace
}  // namespace mcompress
