// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mcompress/pass_context.h"
#include "mcompress/recipe.h"
#include "mcompress/report.h"
#include "pipeline/compare.h"

namespace mcompress {

struct SensitivityOptions {
  std::shared_ptr<RuntimeService> runtime;
  std::shared_ptr<Progress> progress;  ///< may be null
  std::filesystem::path cost_folder;   ///< as in RunOptions
  int threads = 1;
  size_t samples = 64;      ///< for damage and metric
  double tolerance = 0.01;  ///< most damage that the plan may add up to
  bool by_block = false;
  /// "int8", "int8-dynamic", "int8-weights", "int4", "int3", "int2", "ternary", "binary" or passes
  /// that act on layers; empty: those steps of the recipe that are lossy and act on layers.
  std::vector<std::string> choices;
};

/// Runs the exact steps of the recipe, then changes one layer (or block) of what comes out at a
/// time (search/sensitivity.h), and chooses a plan: `mcompress sensitivity`. Throws kUsage for an
/// unknown choice, kData without data.
SensitivityReport find_sensitivity(LoadedModel& loaded, const Recipe& recipe,
                                   const PassRegistry& passes, const SensitivityOptions& options);

/// The plan file of a report, for a recipe's `plan:`: one line a layer.
std::string plan_text(const SensitivityReport& report);

}  // namespace mcompress
