// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <span>
#include <tuple>
#include <utility>

#include "mcompress/error.h"
#include "mcompress/recipe.h"
#include "recipe/binder.h"
#include "recipe/yaml.h"
#include "support/did_you_mean.h"

namespace mcompress {

std::span<const std::pair<std::string_view, std::string_view>> embedded_recipes();

namespace {

struct Reading {
  Recipe recipe;
  std::vector<Diagnostic> problems;
};

bool has_errors(const std::vector<Diagnostic>& problems) {
  return std::any_of(problems.begin(), problems.end(),
                     [](const Diagnostic& p) { return !p.warning; });
}

Reading read(std::string_view text, const std::string& file_name,
             const std::filesystem::path& folder, const PassRegistry& passes,
             const std::vector<std::string>& overrides) {
  Reading reading;
  ConfigValue root = recipe::parse_yaml(text, file_name, reading.problems);
  // After a syntax error the rest of the file is missing: complaints about it would be wrong.
  const bool readable = root.kind != ConfigValue::Kind::kNull || reading.problems.empty();
  if (readable) {
    if (root.where.file.empty()) root.where = {file_name, 0, 0};
    recipe::apply_overrides(root, overrides, reading.problems);
    recipe::Binder binder(passes, folder);
    reading.recipe = binder.bind(root);
    reading.problems.insert(reading.problems.end(), binder.problems().begin(),
                            binder.problems().end());
    recipe::check_order(reading.recipe, reading.problems);
  }
  if (reading.recipe.name.empty()) {
    reading.recipe.name = std::filesystem::path(file_name).stem().string();
  }
  std::stable_sort(reading.problems.begin(), reading.problems.end(),
                   [](const Diagnostic& a, const Diagnostic& b) {
                     return std::tuple(a.where.line, a.where.column) <
                            std::tuple(b.where.line, b.where.column);
                   });
  return reading;
}

// What the command line got wrong is not the recipe's fault.
ErrorCode code_of(const std::vector<Diagnostic>& problems) {
  const auto all_from = [&](std::string_view option) {
    return std::all_of(problems.begin(), problems.end(), [&](const Diagnostic& problem) {
      return problem.warning || (problem.where.line == 0 && problem.where.file.starts_with(option));
    });
  };
  return all_from("--data") ? ErrorCode::kData
         : all_from("--")   ? ErrorCode::kUsage
                            : ErrorCode::kRecipe;
}

std::string read_text(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw Error(ErrorCode::kRecipe,
                fmt::format("{}: is a folder, expected a recipe file", path.string()));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(ErrorCode::kRecipe, fmt::format("{}: cannot be read", path.string()))
        .hint("list the built-in recipes with: mcompress recipe list");
  }
  // One byte more than a recipe may have is enough to refuse it.
  constexpr size_t kMost = (size_t{1} << 20) + 1;
  std::string text(kMost, '\0');
  file.read(text.data(), static_cast<std::streamsize>(kMost));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

const BuiltinRecipe* find_builtin(std::string_view name) {
  for (const BuiltinRecipe& builtin : builtin_recipes()) {
    if (builtin.name == name) return &builtin;
  }
  return nullptr;
}

}  // namespace

Recipe parse_recipe(std::string_view text, const std::string& file_name,
                    const std::filesystem::path& folder, const PassRegistry& passes,
                    const std::vector<std::string>& overrides) {
  Reading reading = read(text, file_name, folder, passes, overrides);
  if (has_errors(reading.problems)) {
    std::string lines;
    for (const Diagnostic& problem : reading.problems) {
      if (!problem.warning) lines += (lines.empty() ? "" : "\n") + problem.str();
    }
    throw Error(code_of(reading.problems), lines);
  }
  for (const Diagnostic& problem : reading.problems) {
    spdlog::warn("{}: {}{}{}", problem.where.str(), problem.message,
                 problem.hint.empty() ? "" : "; ", problem.hint);
  }
  return std::move(reading.recipe);
}

Recipe read_recipe(const std::filesystem::path& path, const PassRegistry& passes,
                   const std::vector<std::string>& overrides) {
  return parse_recipe(read_text(path), path.string(), path.parent_path(), passes, overrides);
}

std::vector<Diagnostic> check_recipe(std::string_view text, const std::string& file_name,
                                     const std::filesystem::path& folder,
                                     const PassRegistry& passes,
                                     const std::vector<std::string>& overrides) {
  return read(text, file_name, folder, passes, overrides).problems;
}

const std::vector<BuiltinRecipe>& builtin_recipes() {
  static const std::vector<BuiltinRecipe> kRecipes = [] {
    std::vector<BuiltinRecipe> recipes;
    for (const auto& [name, text] : embedded_recipes()) recipes.push_back({name, text});
    std::sort(recipes.begin(), recipes.end(),
              [](const BuiltinRecipe& a, const BuiltinRecipe& b) { return a.name < b.name; });
    return recipes;
  }();
  return kRecipes;
}

Recipe find_recipe(const std::string& file_or_name, const PassRegistry& passes,
                   const std::vector<std::string>& overrides) {
  if (const BuiltinRecipe* builtin = find_builtin(file_or_name)) {
    const std::string file = fmt::format("{} (built in)", builtin->name);
    Recipe recipe = parse_recipe(builtin->text, file, "", passes, overrides);
    recipe.name = builtin->name;
    return recipe;
  }
  std::error_code error;
  if (std::filesystem::exists(file_or_name, error))
    return read_recipe(file_or_name, passes, overrides);
  std::vector<std::string> names;
  for (const BuiltinRecipe& builtin : builtin_recipes()) names.emplace_back(builtin.name);
  const std::string nearest = nearest_name(file_or_name, names);
  throw Error(ErrorCode::kRecipe,
              fmt::format("'{}': no such file and no such built-in recipe", file_or_name))
      .hint(nearest.empty() ? "list the built-in recipes with: mcompress recipe list"
                            : fmt::format("did you mean '{}'?", nearest));
}

}  // namespace mcompress
