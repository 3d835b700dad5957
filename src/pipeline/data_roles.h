// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mcompress/dataset.h"
#include "mcompress/recipe.h"

namespace mcompress {

/// The data of a run by what it is for (rules.md 2). Any of them may be absent.
struct DataRoles {
  std::shared_ptr<const Dataset> calibration;
  std::shared_ptr<const Dataset> validation;  ///< decides gates and tolerance
  std::shared_ptr<const Dataset> evaluation;  ///< read for the baseline and the final file only
  std::shared_ptr<const Dataset> training;
  std::map<std::string, std::string> descriptions;  ///< role -> for the report
  bool selected_on_evaluation = false;

  /// Any data that the model can be fed with, for shapes and latency; null without data.
  std::shared_ptr<const Dataset> any() const;
  /// A sample whose shapes the passes may go by: of data that may decide, else of the evaluation data,
  /// else zeros (sample_feeds).
  std::optional<Feeds> shapes_for(const Model& model) const;
};

/// Who asks for validation data.
enum class Deciding {
  kNothing,
  kPasses,  ///< would decide better with it: held out only where data is plentiful
  kRecipe,  ///< a gate, an `until` or a constraint
};

/// Opens the sources of the recipe. Where something decides by the metric and no validation data is
/// given, a seeded fifth of training, else of calibration, is held out for it. Without calibration data 300
/// samples of training are that, too. Throws kData.
DataRoles open_roles(const Recipe& recipe, const std::vector<ValueInfo>& inputs, Deciding decides);

/// True when a gate, an `until` or a constraint of the recipe looks at the metric.
bool decides_by_metric(const Recipe& recipe);

/// Inputs of the main graph that must be fed: those without an initializer.
std::vector<ValueInfo> fed_inputs(const Model& model);

/// A sample to time and to learn shapes with: the first of `data`, or zeros and small integers of
/// the declared shapes (open dimensions 1) without data; nullopt where an input has no declared
/// type or rank.
std::optional<Feeds> sample_feeds(const Model& model, const Dataset* data);

}  // namespace mcompress
