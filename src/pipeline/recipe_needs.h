// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "mcompress/recipe.h"

namespace mcompress {

/// What the passes of a recipe ask for, seen before the first one runs; steps inside `repeat`
/// count. True when a pass cannot work on a model that ONNX Runtime does not load.
bool needs_runtime(const std::vector<StepSpec>& steps, const PassRegistry& passes);
/// True when a pass would decide better with validation data.
bool some_pass_judges(const std::vector<StepSpec>& steps, const PassRegistry& passes);

/// Throws kData without training data and kRuntime without the trainer where a step trains, with
/// the step's place in the recipe. A step that says `missing-data: skip` asks for nothing.
void require_training(const std::vector<StepSpec>& steps, const PassRegistry& passes,
                      PassContext& context);

}  // namespace mcompress
