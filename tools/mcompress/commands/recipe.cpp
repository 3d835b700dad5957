// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <iostream>

#include "command.h"
#include "inputs.h"
#include "log.h"
#include "mcompress/error.h"
#include "mcompress/recipe.h"
#include "support/did_you_mean.h"
#include "support/file.h"
#include "support/text_table.h"

namespace mcompress::tool {
namespace {

const BuiltinRecipe& find_builtin(const std::string& name, const std::string& problem) {
  std::vector<std::string> names;
  for (const BuiltinRecipe& builtin : builtin_recipes()) {
    if (builtin.name == name) return builtin;
    names.emplace_back(builtin.name);
  }
  const std::string nearest = nearest_name(name, names);
  throw Error(ErrorCode::kRecipe, "'" + name + "': " + problem)
      .hint(nearest.empty() ? "list them with: mcompress recipe list"
                            : "did you mean '" + nearest + "'?");
}

int list(const OutputOptions& output) {
  output.apply();
  TextTable table({{.title = "recipe"}, {.title = "what it is for"}});
  for (const BuiltinRecipe& builtin : builtin_recipes()) {
    const Recipe recipe = find_recipe(std::string(builtin.name), builtin_passes());
    table.add_row({{std::string(builtin.name), "1"}, {recipe.summary}});
  }
  std::cout
      << table.render(static_cast<size_t>(terminal_width()), output.color_on_stdout())
      << "\nmcompress recipe show NAME prints one; a copy of it is a good start for your own.\n";
  return 0;
}

int check(const std::string& file, const std::vector<std::string>& overrides) {
  std::string text;
  std::filesystem::path folder;
  const bool is_file = std::filesystem::exists(file);
  if (is_file) {
    text = support::read_file(file, ErrorCode::kRecipe);
    folder = std::filesystem::path(file).parent_path();
  } else {
    text = find_builtin(file, "no such file and no such built-in recipe").text;
  }
  size_t errors = 0, warnings = 0;
  for (const Diagnostic& problem : check_recipe(text, file, folder, builtin_passes(), overrides)) {
    std::cerr << problem.str() << "\n";
    ++(problem.warning ? warnings : errors);
  }
  const auto counted = [](size_t count, const std::string& word) {
    return std::to_string(count) + " " + word + (count == 1 ? "" : "s");
  };
  if (errors > 0) {
    throw Error(ErrorCode::kRecipe, file + ": " + counted(errors, "problem"));
  }
  std::cout << file << ": a valid recipe"
            << (warnings == 0 ? "" : " with " + counted(warnings, "warning")) << "\n";
  return 0;
}

struct OneRecipe {
  std::string name;
  bool effective = false;
  RecipeOptions recipes;
  OutputOptions output;
};

}  // namespace

void add_recipe(CLI::App& app, Action& chosen) {
  CLI::App& group = add_command_group(app, "recipe", "List, show and check recipes");
  add_command(group, "list", "List the built-in recipes", chosen, [](Arguments& arguments) {
    const auto output = std::make_shared<OutputOptions>();
    output->declare(arguments);
    return [output] { return list(*output); };
  });
  add_command(group, "show", "Print a built-in recipe", chosen, [](Arguments& arguments) {
    const auto one = std::make_shared<OneRecipe>();
    arguments.text("NAME", one->name, "Name of a built-in recipe", "", true);
    arguments.flag("--effective", one->effective,
                   "With every default filled in; also for a recipe file");
    one->output.declare(arguments);
    return [one] {
      one->output.apply();
      if (one->effective) {
        std::cout << write_recipe(find_recipe(one->name, builtin_passes()), builtin_passes());
      } else {
        std::cout << find_builtin(one->name, "no such built-in recipe").text;
      }
      return 0;
    };
  });
  add_command(group, "check", "Check a recipe without a model", chosen, [](Arguments& arguments) {
    const auto one = std::make_shared<OneRecipe>();
    arguments.text("FILE", one->name, "Recipe file", "", true);
    one->recipes.declare_data(arguments, "");
    one->recipes.declare_recipe(arguments);
    one->output.declare(arguments);
    return [one] {
      one->output.apply();
      return check(one->name, one->recipes.overrides());
    };
  });
  add_command(group, "schema", "Print the JSON schema of recipes, for editors", chosen,
              [](Arguments& arguments) {
                const auto output = std::make_shared<OutputOptions>();
                output->declare(arguments);
                return [output] {
                  output->apply();
                  std::cout << recipe_json_schema(builtin_passes());
                  return 0;
                };
              });
}

}  // namespace mcompress::tool
