// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "costs/measure.h"
#include "mcompress/cost_table.h"
#include "mcompress/pass_context.h"
#include "mcompress/recipe.h"
#include "mcompress/report.h"

namespace mcompress {

/// The cost table of a run: of the recipe (`costs: FILE`), else of this machine in the user's
/// folder, else none and the built-in costs of the target serve.
class RunCosts {
 public:
  /// Reads the table. `runtime` may be null (dry run): then only a table of the recipe is found.
  /// Throws kRecipe for a table that is missing (unless `measure` is to make it) or cannot be read,
  /// kUsage where there is no place for one that is to be made.
  RunCosts(const Recipe& recipe, const std::filesystem::path& folder, bool measure,
           std::shared_ptr<RuntimeService> runtime, std::vector<std::string>& warnings);

  /// Null where built-in costs serve. Grows with `before_step`.
  std::shared_ptr<const CostTable> table() const { return table_; }
  /// The file of the table; "" where there is none.
  const std::filesystem::path& file() const { return file_; }
  /// Where costs are to be measured: adds what `model` has and the table lacks to the table and its
  /// file, before a step that may decide by it.
  void before_step(Model& model, PassContext& context, const std::optional<Feeds>& sample);
  CostFigure figure() const;

 private:
  std::optional<costs::InSitu> compare_in_situ(const Model& model, PassContext& context,
                                               const Feeds& sample) const;

  std::filesystem::path file_;
  std::shared_ptr<CostTable> table_;
  bool measure_;
  CostFigure figure_;
};

}  // namespace mcompress
