// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "command.h"
#include "mcompress/model.h"
#include "mcompress/recipe.h"
#include "mcompress/report.h"
#include "mcompress/runtime_service.h"
#include "support/temporary_files.h"

namespace mcompress::tool {

/// A model as it is given: a file, or an archive (mcompress pack), which is unpacked into a private
/// folder that goes with the object.
class ModelFile {
 public:
  explicit ModelFile(const std::string& given);
  const std::filesystem::path& path() const { return path_; }  ///< of the ONNX file
  bool is_unpacked() const { return folder_.has_value(); }
  /// Lets a report speak of the file as given: its name, and of an archive size and hash, too.
  void tell(std::string& name, std::string& hash, SizeFigure& size) const;

 private:
  std::filesystem::path given_;
  std::optional<support::TemporaryFile> folder_;
  std::filesystem::path path_;
};

/// What commands that open models have in common.
struct ModelOptions {
  std::string ops_library;
  bool freeze_inputs = false;
  int threads = 0;  ///< 0: one per core

  void declare(Arguments& arguments);
  int thread_count() const;
  /// Opens the runtime, which takes some milliseconds: only once it is needed.
  std::shared_ptr<RuntimeService> open_runtime() const;
  Model load(const std::filesystem::path& path) const;
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
