// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "command.h"
#include "mcompress/model.h"
#include "mcompress/recipe.h"
#include "mcompress/runtime_service.h"

namespace mcompress::tool {

/// What commands that open models have in common.
struct ModelOptions {
  std::string ops_library;
  bool freeze_inputs = false;
  int threads = 0;  ///< 0: one per core

  void declare(Arguments& arguments);
  int thread_count() const;
  /// Opens the runtime, which takes some milliseconds: only once it is needed.
  std::shared_ptr<RuntimeService> open_runtime() const;
  Model load(const std::string& path) const;
};

/// --data, --set and the like: what is laid over a recipe.
struct RecipeOptions {
  std::vector<std::string> data;
  std::vector<std::string> settings;
  std::string metric;
  std::string seed;
  std::string target;
  std::string effort;
  std::string costs;

  /// --data and --metric, and --set for the options of data.
  void declare_data(Arguments& arguments, const std::string& default_role);
  /// What only a recipe with steps has.
  void declare_recipe(Arguments& arguments);
  /// As find_recipe takes them. `default_role` is the role of --data PATH; "": a role must be
  /// given.
  std::vector<std::string> overrides(const std::string& default_role = "") const;
};

/// Data and metric of a command that has no recipe, read with a recipe's checks.
Recipe recipe_of_command_line(const RecipeOptions& options, const std::string& default_role);

/// --json and --report: where a report goes.
struct ReportOptions {
  bool json = false;
  std::vector<std::string> files;

  void declare(Arguments& arguments);
  /// Fails before the work on what could not be written after it.
  void check() const;
};

}  // namespace mcompress::tool
