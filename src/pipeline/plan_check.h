// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mcompress/recipe.h"

namespace mcompress {

/// Throws kRecipe with one line for each line of the plan that names no layer of the model, with
/// its place and the nearest name.
void check_plan(const LayerPlan& plan, Model& model);

/// True for a step that the plan of the recipe has a say in.
bool is_planned(const Recipe& recipe, const StepSpec& step);

}  // namespace mcompress
