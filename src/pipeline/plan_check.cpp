// SPDX-License-Identifier: Apache-2.0
#include "pipeline/plan_check.h"

#include <algorithm>

#include "support/did_you_mean.h"

namespace mcompress {

void check_plan(const LayerPlan& plan, Model& model) {
  const std::vector<Layer> layers = find_layers(model);
  std::vector<std::string> names;
  for (const Layer& layer : layers) names.push_back(layer.name);
  std::string problems;
  for (const LayerPlan::Line& line : plan.lines) {
    if (LayerSelection({line.layer}, {}).unmatched(layers).empty()) continue;
    const Diagnostic problem{line.where, "plan: the model has no layer '" + line.layer + "'",
                             did_you_mean(line.layer, names), false};
    problems += (problems.empty() ? "" : "\n") + problem.str();
  }
  if (!problems.empty()) throw Error(ErrorCode::kRecipe, problems);
}

bool is_planned(const Recipe& recipe, const StepSpec& step) {
  return recipe.plan && std::find(recipe.plan->passes.begin(), recipe.plan->passes.end(),
                                  step.pass) != recipe.plan->passes.end();
}

}  // namespace mcompress
