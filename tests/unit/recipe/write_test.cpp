// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_passes.h"
#include "mcompress/recipe.h"
#include "recipe/curves.h"

namespace mcompress {
namespace {

using ::testing::HasSubstr;

constexpr const char* kRecipe = R"(
summary: 'quotes "and" backslash \, colon: hash #'
seed: 7
target: cpu-avx2
data:
  calibration: {random: {count: 4, dims: {batch: 2}}, mean: 0.5}
  evaluation: {path: ., limit: 10, mean: [0.1, 0.2]}
  training: {idx: {images: ., labels: .}, scale: 1/255}
  validation: evaluation
metric: sqnr
steps:
  - fold-batch-norm
  - repeat: 5
    steps:
      - prune-magnitude: {sparsity: {from: 0.5, to: 0.92, curve: cubic}, bits: {from: 8, to: 4}}
        only: ["true", "1.5", "/a b/*", op:Conv]
  - until: {metric-drop: "<= 1 pt"}
    max: 3
    steps: [{share-weights: {rank: 16, label: "null", ops: [], levels: [1e-9, 2]}}]
    gate: {size: 50 %, on-fail: warn}
  - quantize-static: {table: .}
constraints: {metric: 0.9, latency: "<= 60 %"}
)";

TEST(RecipeWriter, WhatIsWrittenReadsTheSame) {
  const PassRegistry passes = testing::fake_passes();
  const Recipe recipe = parse_recipe(kRecipe, "r.yaml", "", passes);
  const std::string once = write_recipe(recipe, passes);
  const Recipe again = parse_recipe(once, "effective.yaml", "/", passes);
  EXPECT_EQ(write_recipe(again, passes), once);

  EXPECT_EQ(again.name, "r");
  EXPECT_EQ(again.summary, recipe.summary);
  EXPECT_EQ(again.seed, recipe.seed);
  EXPECT_EQ(again.target, recipe.target);
  EXPECT_EQ(again.metric, recipe.metric);
  EXPECT_EQ(again.validate_on_evaluation, recipe.validate_on_evaluation);
  ASSERT_EQ(again.data.size(), recipe.data.size());
  for (const auto& [role, source] : recipe.data) {
    EXPECT_EQ(again.data.at(role).kind, source.kind);
    EXPECT_EQ(again.data.at(role).path, source.path);
    EXPECT_EQ(again.data.at(role).files, source.files);
    EXPECT_EQ(again.data.at(role).options, source.options);
  }
  ASSERT_EQ(again.steps.size(), 4u);
  EXPECT_EQ(again.steps[1].repeat, 5);
  EXPECT_EQ(again.steps[1].steps[0].only, recipe.steps[1].steps[0].only);
  EXPECT_EQ(again.steps[2].until[0].text, "<= 1 pt");
  EXPECT_EQ(again.steps[2].gate->on_fail, OnFail::kWarn);
  EXPECT_EQ(again.steps[2].steps[0].options.find("label")->scalar, "null");
  EXPECT_EQ(again.constraints[0].text, "0.9");
}

TEST(RecipeWriter, FillsInDefaults) {
  const PassRegistry passes = testing::fake_passes();
  const std::string text = write_recipe(
      parse_recipe("steps: [{quantize-static: {bits: 4}}]", "r.yaml", "", passes), passes);
  EXPECT_THAT(
      text,
      HasSubstr(
          "- quantize-static: {bits: 4, sparsity: 0.5, rank: auto, granularity: channel, "
          "ops: [Conv, Gemm], levels: [], effort: normal, symmetric: true, label: \"q: 1\"}"));
  EXPECT_THAT(text, HasSubstr("seed: 0\ntarget: cpu\n"));
  EXPECT_THAT(text, HasSubstr("encode: true\neffort: normal\n"));
}

StepSpec step_with(const std::string& options, int rounds) {
  const Recipe recipe = parse_recipe("steps: [{repeat: " + std::to_string(rounds) +
                                         ", steps: [{prune-magnitude: {" + options + "}}]}]",
                                     "r.yaml", "", testing::fake_passes());
  return recipe.steps[0].steps[0];
}

std::vector<double> values(const std::string& options, const std::string& name, int rounds) {
  const StepSpec step = step_with(options, rounds);
  std::vector<double> result;
  for (int round = 0; round < rounds; ++round) {
    result.push_back(std::stod(resolve_curves(step, round, rounds).options.find(name)->scalar));
  }
  return result;
}

TEST(Curves, GiveTheEndsExactlyAndTheFormulaBetween) {
  using ::testing::DoubleNear;
  using ::testing::ElementsAre;
  const auto near = [](double value) { return DoubleNear(value, 1e-12); };
  EXPECT_THAT(values("sparsity: {from: 0.5, to: 0.9}", "sparsity", 5),
              ElementsAre(near(0.5), near(0.6), near(0.7), near(0.8), near(0.9)));
  EXPECT_THAT(values("sparsity: {from: 0.1, to: 0.9, curve: cubic}", "sparsity", 3),
              ElementsAre(near(0.1), near(0.9 - 0.8 * 0.125), near(0.9)));
  EXPECT_THAT(values("sparsity: {from: 0.01, to: 1, curve: exponential}", "sparsity", 3),
              ElementsAre(near(0.01), near(0.1), near(1)));
  EXPECT_THAT(values("sparsity: {from: 0.5, to: 0.9}", "sparsity", 1), ElementsAre(near(0.9)));
  EXPECT_THAT(values("bits: {from: 8, to: 3}", "bits", 4), ElementsAre(8, 6, 5, 3));
}

TEST(Curves, OfAListGoEntryByEntry) {
  using ::testing::ElementsAre;
  const StepSpec step = step_with("levels: {from: 1, to: [3, 9]}", 3);
  const auto entries = [&](int round) {
    std::vector<double> result;
    const StepSpec resolved = resolve_curves(step, round, 3);
    for (const ConfigValue& entry : resolved.options.find("levels")->list) {
      result.push_back(std::stod(entry.scalar));
    }
    return result;
  };
  EXPECT_EQ(resolve_curves(step, 0, 3).options.find("levels")->scalar, "1");
  EXPECT_THAT(entries(1), ElementsAre(2, 5));
  EXPECT_THAT(entries(2), ElementsAre(3, 9));
}

TEST(Curves, LeaveOtherOptionsAlone) {
  const StepSpec step = step_with("sparsity: {from: 0.5, to: 0.9}, bits: 4", 3);
  EXPECT_EQ(resolve_curves(step, 1, 3).options.find("bits")->scalar, "4");
}

}  // namespace
}  // namespace mcompress
