// SPDX-License-Identifier: Apache-2.0
#include "pipeline/data_roles.h"

#include <gtest/gtest.h>

#include "support/file.h"
#include "tests/support/memory_dataset.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress {
namespace {

/// An IDX file of ten 1x1 images, and one of labels.
Recipe recipe_with_data(const test::TemporaryFolder& folder) {
  std::string images("\0\0\x08\x03\0\0\0\x0a\0\0\0\x01\0\0\0\x01", 16);
  std::string labels("\0\0\x08\x01\0\0\0\x0a", 8);
  for (char i = 0; i < 10; ++i) {
    images.push_back(i);
    labels.push_back(i);
  }
  support::write_file_atomically(folder / "images", images);
  support::write_file_atomically(folder / "labels", labels);
  DataSource source;
  source.kind = "idx";
  source.path = folder / "images";
  source.files = {{"images", folder / "images"}, {"labels", folder / "labels"}};
  source.origin = "test";
  Recipe recipe;
  recipe.data["calibration"] = source;
  return recipe;
}

std::vector<ValueInfo> inputs() {
  return {{.name = "x",
           .type = DataType::kFloat,
           .has_shape = true,
           .shape = {-1, 1, 1, 1},
           .dim_params = {"N", "", "", ""}}};
}

TEST(DataRoles, AFifthIsHeldOutWhereSomethingDecides) {
  const test::TemporaryFolder folder("data-roles");
  const Recipe recipe = recipe_with_data(folder);
  const DataRoles roles = open_roles(recipe, inputs(), Deciding::kRecipe);
  ASSERT_TRUE(roles.validation);
  EXPECT_EQ(roles.validation->size(), 2u);
  EXPECT_EQ(roles.calibration->size(), 8u);
  const DataRoles again = open_roles(recipe, inputs(), Deciding::kRecipe);
  EXPECT_EQ(again.validation->labels(0, 2)->to_int64(), roles.validation->labels(0, 2)->to_int64());
  EXPECT_FALSE(open_roles(recipe, inputs(), Deciding::kNothing).validation);
}

TEST(DataRoles, AnotherSeedHoldsOutOthers) {
  const test::TemporaryFolder folder("data-roles-seed");
  Recipe recipe = recipe_with_data(folder);
  const auto labels = [&](uint64_t seed) {
    recipe.seed = seed;
    return open_roles(recipe, inputs(), Deciding::kRecipe).validation->labels(0, 2)->to_int64();
  };
  bool differs = false;
  for (uint64_t seed = 1; seed < 6; ++seed) differs |= labels(seed) != labels(0);
  EXPECT_TRUE(differs);
}

TEST(DataRoles, TheMetricDecidesWhereALimitAsksForIt) {
  Recipe recipe;
  EXPECT_FALSE(decides_by_metric(recipe));
  StepSpec inner;
  inner.pass = "x";
  inner.gate = GateSpec{{{"size", "1 MB", {}}}, OnFail::kStop, false};
  StepSpec loop;
  loop.repeat = 2;
  loop.steps = {inner};
  recipe.steps = {loop};
  EXPECT_FALSE(decides_by_metric(recipe));
  recipe.steps[0].steps[0].gate->limits.push_back({"metric-drop", "1 pt", {}});
  EXPECT_TRUE(decides_by_metric(recipe));
}

TEST(DataRoles, WithoutDataTheSampleIsOfZeros) {
  Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[N,3] x) => (float[N,3] y) { y = Relu(x) })");
  const auto feeds = sample_feeds(model, nullptr);
  ASSERT_TRUE(feeds);
  EXPECT_EQ((*feeds)[0].tensor.shape(), (Shape{1, 3}));
}

TEST(DataRoles, PassesGoByTheShapesOfDataThatMayDecide) {
  Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[N,1,W,1] x) => (float[N,1,W,1] y) { y = Relu(x) })");
  const auto width = [&](const DataRoles& roles) {
    return roles.shapes_for(model)->at(0).tensor.shape()[2];
  };
  const auto data = [](int64_t count) {
    return std::make_shared<test::MemoryDataset>(
        std::vector<Feeds>{{{"x", Tensor(DataType::kFloat, {1, 1, count, 1})}}});
  };
  DataRoles roles;
  EXPECT_EQ(width(roles), 1);
  roles.evaluation = data(5);
  EXPECT_EQ(width(roles), 5);
  roles.validation = data(6);
  EXPECT_EQ(width(roles), 6);
  roles.calibration = data(7);
  EXPECT_EQ(width(roles), 7);
}

}  // namespace
}  // namespace mcompress
