// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "mcompress/recipe.h"

namespace mcompress {

/// Nothing that a run reads is ever written to. Throws kUsage when `output` is the input model or a
/// file of the recipe's data.
void refuse_inputs_as_output(const std::filesystem::path& input,
                             const std::filesystem::path& output, const Recipe& recipe);

/// Makes the folder for the models of the steps. Throws kUsage when that fails, or, without
/// `overwrite`, when models of an earlier run lie there: they are results, too.
void prepare_kept_models(const std::filesystem::path& folder, bool overwrite);

}  // namespace mcompress
