// SPDX-License-Identifier: Apache-2.0
#include "tests/support/golden.h"

#include <gmock/gmock.h>

#include "mcompress/pass.h"
#include "mcompress/recipe.h"
#include "tests/support/cli_test.h"

namespace mcompress {
namespace {

class CliGolden : public testing::CliTest {
 protected:
  void compare(const std::string& name, const std::vector<std::string>& arguments) {
    const testing::CliResult result = run(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    testing::expect_golden(name, result.out);
  }
};

TEST_F(CliGolden, Help) {
  compare("help/mcompress.txt", {"--help"});
  for (const char* command : {"run", "inspect", "evaluate", "compare", "calibrate", "sensitivity",
                              "pack", "unpack", "passes", "recipe"}) {
    compare(std::string("help/") + command + ".txt", {command, "--help"});
  }
  for (const char* command : {"list", "show", "check", "schema"}) {
    compare(std::string("help/recipe-") + command + ".txt", {"recipe", command, "--help"});
  }
}

TEST_F(CliGolden, Passes) {
  compare("passes/passes.txt", {"passes"});
  for (const std::string& name : builtin_passes().names())
    compare("passes/" + name + ".txt", {"passes", name});
}

TEST_F(CliGolden, Recipes) {
  compare("recipes/list.txt", {"recipe", "list"});
  for (const BuiltinRecipe& recipe : builtin_recipes()) {
    const std::string name(recipe.name);
    compare("recipes/" + name + ".yaml", {"recipe", "show", name, "--effective"});
  }
}

TEST_F(CliGolden, ReadmeHasTheTableOfPasses) {
  const std::filesystem::path readme = std::filesystem::path(MCOMPRESS_SOURCE_DIR) / "README.md";
  if (!std::filesystem::exists(readme)) GTEST_SKIP() << "no README.md yet";
  const std::string text = testing::read_bytes(readme);
  const std::string begin = "<!-- passes:begin -->\n", end = "<!-- passes:end -->";
  const size_t from = text.find(begin), to = text.find(end);
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  const testing::CliResult table = run({"passes", "--markdown"});
  const std::string expected = text.substr(0, from) + begin + table.out + text.substr(to);
  if (testing::updating_goldens()) {
    testing::write_bytes(readme, expected);
  } else {
    EXPECT_EQ(text, expected) << "build the target update-golden";
  }
}

}  // namespace
}  // namespace mcompress
