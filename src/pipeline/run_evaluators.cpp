// SPDX-License-Identifier: Apache-2.0
#include "pipeline/run_evaluators.h"

#include <utility>

namespace mcompress {
namespace {

constexpr size_t kFallbackSamples = 64;

/// At most `count` samples, evenly spread.
std::shared_ptr<const Dataset> some_of(const std::shared_ptr<const Dataset>& data, size_t count) {
  if (data->size() <= count) return data;
  std::vector<size_t> indices(count);
  for (size_t i = 0; i < count; ++i) indices[i] = i * data->size() / count;
  return subset(data, std::move(indices), data->description());
}

}  // namespace

RunEvaluators make_run_evaluators(const std::shared_ptr<RuntimeService>& runtime,
                                  const DataRoles& roles, const Model& baseline,
                                  const EvaluatorOptions& options,
                                  std::vector<std::string>& warnings) {
  const auto on = [&](const std::shared_ptr<const Dataset>& data) {
    return make_evaluator(runtime, data, baseline, options);
  };
  RunEvaluators made;
  if (roles.evaluation) made.of_result = on(roles.evaluation);
  if (roles.validation == roles.evaluation) {
    made.of_steps = made.of_result;
  } else if (roles.validation) {
    made.of_steps = on(roles.validation);
  }
  if (!made.of_result) made.of_result = made.of_steps;
  if (!made.of_result && roles.calibration) {
    made.of_result = on(some_of(roles.calibration, kFallbackSamples));
    const size_t samples = made.of_result->data().size();
    warnings.push_back("the metric is of " + std::to_string(samples) + " calibration " +
                       (samples == 1 ? "sample" : "samples") +
                       ": give --data evaluation=FILE for one of unseen data");
  }
  return made;
}

}  // namespace mcompress
