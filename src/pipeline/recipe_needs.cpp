// SPDX-License-Identifier: Apache-2.0
#include "pipeline/recipe_needs.h"

#include <algorithm>
#include <functional>

namespace mcompress {
namespace {

using Question = std::function<bool(const Needs&)>;

bool any_pass(const std::vector<StepSpec>& steps, const PassRegistry& passes,
              const Question& question) {
  return std::any_of(steps.begin(), steps.end(), [&](const StepSpec& step) {
    return step.pass.empty() ? any_pass(step.steps, passes, question)
                             : question(passes.create(step.pass)->info().needs);
  });
}

}  // namespace

bool needs_runtime(const std::vector<StepSpec>& steps, const PassRegistry& passes) {
  return any_pass(steps, passes, [](const Needs& needs) {
    return needs.runtime || needs.calibration || needs.training;
  });
}

bool some_pass_judges(const std::vector<StepSpec>& steps, const PassRegistry& passes) {
  return any_pass(steps, passes, [](const Needs& needs) { return needs.judge; });
}

void require_training(const std::vector<StepSpec>& steps, const PassRegistry& passes,
                      PassContext& context) {
  for (const StepSpec& step : steps) {
    require_training(step.steps, passes, context);
    if (step.pass.empty() || !passes.create(step.pass)->info().needs.training) continue;
    const ConfigValue* missing = step.options.find("missing-data");
    if (missing != nullptr && missing->scalar == "skip") continue;
    try {
      context.training_data();
      context.trainer();
    } catch (Error& error) {
      error.with_context(step.where.line > 0 ? step.where.str() + ": " + step.pass : step.pass);
      throw;
    }
  }
}

}  // namespace mcompress
