// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mcompress/pass_context.h"
#include "mcompress/recipe.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

struct CalibrateOptions {
  std::shared_ptr<RuntimeService> runtime;  ///< required
  std::shared_ptr<Progress> progress;       ///< optional
  int threads = 1;
  bool freeze_inputs = false;
  RangeOptions ranges;
  /// What the values that one Run returns may take; more memory means fewer Runs of the data.
  size_t budget_bytes = size_t{32} << 20;
  /// Every floating value, not only those that integer kernels read and write.
  bool all_values = false;
  /// The table is for runs without data: the steps before get none either.
  bool table_alone = false;
  /// Tables of the same model whose statistics are added; without calibration data they are all.
  std::vector<std::filesystem::path> merge;
};

struct CalibratedValue {
  std::string name, method;  ///< method "edited": the range was written by a person
  float low = 0, high = 0, min = 0, max = 0;
};

struct CalibrateResult {
  std::string table;                  ///< the file's text (JSON)
  std::vector<std::string> steps;     ///< passes that ran before
  std::vector<CalibratedValue> values;
  size_t samples = 0;                 ///< of the data and of merged tables together
  std::vector<std::string> warnings;
};

/// Makes a calibration table for `model` as the steps of `recipe` before the first one that takes a
/// table (without such a step: calibration data) leave it (rules.md 23); a recipe without steps
/// stands for the model as it is. Steps before it that take data get it: a run with the table then
/// needs the same data. Throws kRecipe where no step takes any, kData for bad data or tables.
CalibrateResult calibrate(const std::filesystem::path& model, const Recipe& recipe,
                          const CalibrateOptions& options);

}  // namespace mcompress
