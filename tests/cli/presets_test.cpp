// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcompress/recipe.h"
#include "recipe/yaml.h"
#include "tests/support/cli_test.h"
#include "tests/support/json_schema.h"
#include "tests/support/yaml_json.h"

namespace mcompress {
namespace {

using ::testing::IsEmpty;

const testing::JsonSchema& schema() {
  static const testing::JsonSchema kSchema(
      nlohmann::json::parse(recipe_json_schema(builtin_passes())));
  return kSchema;
}

std::vector<std::string> schema_problems(std::string_view text) {
  std::vector<Diagnostic> syntax;
  const ConfigValue value = recipe::parse_yaml(text, "r.yaml", syntax);
  EXPECT_THAT(syntax, IsEmpty());
  return schema().problems(testing::to_json(value));
}

TEST(BuiltinRecipes, AreAllThere) {
  std::vector<std::string> names;
  for (const BuiltinRecipe& recipe : builtin_recipes()) names.emplace_back(recipe.name);
  EXPECT_THAT(names, ::testing::ElementsAre("deep-compression", "fastest", "fp16", "int4-weights",
                                            "int8",
                                            "int8-dynamic", "int8-weights", "lossless", "low-rank",
                                            "shared", "smallest", "sparse"));
}

TEST(BuiltinRecipes, AreSoundAndObeyTheSchema) {
  for (const BuiltinRecipe& recipe : builtin_recipes()) {
    SCOPED_TRACE(recipe.name);
    for (const Diagnostic& problem : check_recipe(recipe.text, "r.yaml", "", builtin_passes())) {
      ADD_FAILURE() << problem.str();
    }
    EXPECT_THAT(schema_problems(recipe.text), IsEmpty());
  }
}

TEST(BuiltinRecipes, EffectiveFormReadsTheSameAndObeysTheSchema) {
  for (const BuiltinRecipe& builtin : builtin_recipes()) {
    SCOPED_TRACE(builtin.name);
    const std::string name(builtin.name);
    const std::string text = write_recipe(find_recipe(name, builtin_passes()), builtin_passes());
    EXPECT_THAT(schema_problems(text), IsEmpty());
    EXPECT_EQ(
        write_recipe(parse_recipe(text, name + ".yaml", "", builtin_passes()), builtin_passes()),
        text);
  }
}

TEST(ExampleRecipes, ObeyTheSchema) {
  const std::filesystem::path examples = std::filesystem::path(MCOMPRESS_SOURCE_DIR) / "examples";
  if (!std::filesystem::exists(examples)) GTEST_SKIP() << "no examples";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(examples)) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path());
    EXPECT_THAT(schema_problems(testing::read_bytes(entry.path())), IsEmpty());
  }
}

}  // namespace
}  // namespace mcompress
