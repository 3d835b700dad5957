// SPDX-License-Identifier: Apache-2.0
#include "recipe/layer_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "fake_passes.h"
#include "mcompress/error.h"
#include "mcompress/recipe.h"

namespace mcompress {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kChoices =
    "choices:\n"
    "  int8: {quantize-static: {}}\n"
    "  int4: {quantize-weights: {bits: 4}}\n"
    "  int3: {quantize-weights: {bits: 3}}\n";
constexpr const char* kRecipe =
    "plan: plan.yaml\n"
    "steps: [fold-batch-norm, quantize-static, {quantize-weights: {bits: 5, label: mine}}]\n";

class LayerPlanTest : public ::testing::Test {
 protected:
  LayerPlanTest()
      : folder_(fs::path(::testing::TempDir()) / fs::path("plan" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~LayerPlanTest() override { fs::remove_all(folder_); }

  void write_plan_file(const std::string& text) const {
    std::ofstream(folder_ / "plan.yaml") << text;
  }
  Recipe parse(const std::string& recipe) const {
    return parse_recipe(recipe, "r.yaml", folder_, passes_);
  }
  std::vector<std::string> problems(const std::string& recipe) const {
    std::vector<std::string> lines;
    for (const Diagnostic& d : check_recipe(recipe, "r.yaml", folder_, passes_)) {
      std::string line = d.str();
      const std::string place = (folder_ / "").string();
      if (const size_t at = line.find(place); at != std::string::npos) line.erase(at, place.size());
      lines.push_back(line);
    }
    return lines;
  }

  fs::path folder_;
  PassRegistry passes_ = testing::fake_passes();
};

TEST_F(LayerPlanTest, EachChoiceIsAStepOnItsLayers) {
  write_plan_file(std::string(kChoices) +
                  "layers:\n  conv1: int8\n  conv2: float\n  \"/head/*\": int4\n  fc: int4\n");
  const Recipe recipe = parse(kRecipe);
  ASSERT_EQ(recipe.steps.size(), 3u);  // nobody is int3
  EXPECT_EQ(recipe.steps[0].pass, "fold-batch-norm");
  EXPECT_THAT(recipe.steps[0].only, IsEmpty());
  EXPECT_EQ(recipe.steps[1].pass, "quantize-static");
  EXPECT_THAT(recipe.steps[1].only, ElementsAre("conv1"));
  EXPECT_EQ(recipe.steps[2].pass, "quantize-weights");
  EXPECT_THAT(recipe.steps[2].only, ElementsAre("/head/*", "fc"));
  EXPECT_EQ(recipe.steps[2].options.find("bits")->scalar, "4");
  EXPECT_EQ(recipe.steps[2].options.find("label")->scalar, "mine");
  ASSERT_TRUE(recipe.plan);
  EXPECT_EQ(recipe.plan->lines.size(), 4u);
  EXPECT_THAT(recipe.plan->passes, ElementsAre("quantize-static", "quantize-weights"));
}

TEST_F(LayerPlanTest, TheEffectiveRecipeNeedsNoPlan) {
  write_plan_file(std::string(kChoices) + "layers: {conv1: int8, fc: int3}\n");
  const Recipe recipe = parse(kRecipe);
  const std::string written = write_recipe(recipe, passes_);
  EXPECT_THAT(written, HasSubstr("# the steps follow the plan"));
  fs::remove(folder_ / "plan.yaml");
  const Recipe again = parse(written);
  ASSERT_EQ(again.steps.size(), recipe.steps.size());
  for (size_t i = 0; i < again.steps.size(); ++i)
    EXPECT_EQ(again.steps[i].only, recipe.steps[i].only);
  EXPECT_FALSE(again.plan);
}

TEST_F(LayerPlanTest, ProblemsHaveTheirPlace) {
  EXPECT_THAT(problems("plan: none.yaml\nsteps: [quantize-static]"),
              ElementsAre(HasSubstr("r.yaml:1:7: plan: no file or folder 'none.yaml'")));
  write_plan_file(std::string(kChoices) + "layers:\n  conv1: int88\n  conv2: int2\n");
  EXPECT_THAT(problems(kRecipe),
              ElementsAre("plan.yaml:6:10: plan: unknown choice 'int88' of layer 'conv1'; did you "
                          "mean 'int8'?",
                          HasSubstr("plan.yaml:7:10: plan: unknown choice 'int2'")));
  write_plan_file(
      "choices:\n  int4: {quantize-weights: {bits: 14}}\n  int8: {quantise-static: {}}\n"
      "  fold: {fold-batch-norm: {}}\n  float: {quantize-static: {}}\nlayers: {}\n");
  EXPECT_THAT(problems(kRecipe),
              ElementsAre(HasSubstr("plan.yaml:2:35: quantize-weights: 'bits' is 14"),
                          HasSubstr("plan.yaml:3:10: unknown pass 'quantise-static'"),
                          HasSubstr("plan.yaml:4:3: plan: fold-batch-norm does not act on"),
                          HasSubstr("plan.yaml:5:3: plan: 'float' leaves a layer as it is")));
  write_plan_file(std::string(kChoices) + "layers:\n  conv1: int8\n  conv1: int4\n");
  EXPECT_THAT(problems(kRecipe), ElementsAre(HasSubstr("plan.yaml:7:3")));
  write_plan_file("steps: [quantize-static]\n");
  EXPECT_THAT(problems(kRecipe), ElementsAre(HasSubstr("a plan is a map with 'layers'")));
  write_plan_file(std::string(kChoices) + "layer: {}\nlayers: {}\n");
  EXPECT_THAT(problems(kRecipe), ElementsAre(HasSubstr("plan: unknown key 'layer'")));
}

TEST_F(LayerPlanTest, StepsMustBeThereAndLeaveTheLayersToThePlan) {
  write_plan_file(std::string(kChoices) + "layers: {conv1: int4, conv2: int4}\n");
  EXPECT_THAT(problems("plan: plan.yaml\nsteps: [quantize-static]"),
              ElementsAre(HasSubstr("plan.yaml:5:10: plan: 'int4' is quantize-weights, and the "
                                    "recipe has no such step; add '- quantize-weights'")));
  EXPECT_THAT(problems("plan: plan.yaml\nsteps:\n  - quantize-weights:\n    only: [conv1]\n"),
              ElementsAre(HasSubstr("'only' beside a plan")));
}

TEST_F(LayerPlanTest, WhatIsWrittenReadsBack) {
  write_plan_file(recipe::write_plan(
      {{"int8", "quantize-static", ""}, {"int4", "quantize-weights", "bits: 4, label: \"a b\""}},
      {{"/conv \"1\"/Conv", "int8", "int8 30.1 dB, int4 12.0 dB"}, {"fc", "float", ""}},
      "two lines\nof heading"));
  const Recipe recipe = parse(kRecipe);
  ASSERT_TRUE(recipe.plan);
  ASSERT_EQ(recipe.plan->lines.size(), 2u);
  EXPECT_EQ(recipe.plan->lines[0].layer, "/conv \"1\"/Conv");
  EXPECT_EQ(recipe.plan->lines[0].choice, "int8");
  EXPECT_EQ(recipe.plan->lines[1].layer, "fc");
  EXPECT_THAT(recipe.steps[1].only, ElementsAre("/conv \"1\"/Conv"));
  write_plan_file(recipe::write_plan({}, {}));
  EXPECT_THAT(problems(kRecipe), IsEmpty());
}

TEST_F(LayerPlanTest, CostsAreAFile) {
  std::ofstream(folder_ / "costs.json") << "{}";
  EXPECT_EQ(parse("costs: costs.json\nsteps: [quantize-static]").costs.filename(), "costs.json");
  EXPECT_THAT(problems("costs: nocosts.json\nsteps: [quantize-static]"),
              ElementsAre(HasSubstr("r.yaml:1:8: costs: no file or folder 'nocosts.json'")));
  EXPECT_THAT(problems("costs: [a]\nsteps: [quantize-static]"),
              ElementsAre(HasSubstr("'costs' is a list, expected a file")));
  const Recipe recipe = parse("costs: costs.json\nsteps: [quantize-static]");
  EXPECT_EQ(parse(write_recipe(recipe, passes_)).costs, recipe.costs);
}

TEST_F(LayerPlanTest, OptionsOfDataAreLookedInto) {
  std::ofstream(folder_ / "calib.npz") << "x";
  const auto with = [&](const std::string& options) {
    return problems("data: {calibration: {npz: calib.npz, " + options +
                    "}}\nsteps: [quantize-static]");
  };
  EXPECT_THAT(with("limit: -3"),
              ElementsAre(HasSubstr("r.yaml:1:45: calibration: 'limit' is '-3', expected an "
                                    "integer of at least 1")));
  EXPECT_THAT(with("scale: abc"), ElementsAre(HasSubstr("'scale' is 'abc', expected a number")));
  EXPECT_THAT(with("mean: [0.1, x]"), ElementsAre(HasSubstr("'mean' is '[0.1, x]', expected")));
  EXPECT_THAT(with("limit: 3, scale: 1/255, mean: [0.1, 0.2], std: 2"), IsEmpty());
  EXPECT_THAT(problems("data: {calibration: {random: 0}}\nsteps: [quantize-static]"),
              ElementsAre(HasSubstr("'count' is '0', expected an integer of at least 1")));
}

}  // namespace
}  // namespace mcompress
