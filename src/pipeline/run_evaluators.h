// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mcompress/metric.h"
#include "mcompress/runtime_service.h"
#include "pipeline/data_roles.h"

namespace mcompress {

/// Who judges a run by the metric (rules.md 2).
struct RunEvaluators {
  std::shared_ptr<Evaluator> of_steps;  ///< on the validation data: decides; null without
  /// On the evaluation data: reads the input model and the written file, decides nothing. Without
  /// such data the validation data, else a few calibration samples, rather than no figure; null
  /// without any.
  std::shared_ptr<Evaluator> of_result;
};

/// Measures `baseline`, once where both read the same data. Appends to `warnings` where the result
/// is judged by calibration samples.
RunEvaluators make_run_evaluators(const std::shared_ptr<RuntimeService>& runtime,
                                  const DataRoles& roles, const Model& baseline,
                                  const EvaluatorOptions& options,
                                  std::vector<std::string>& warnings);

}  // namespace mcompress
