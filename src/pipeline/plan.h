// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mcompress/model.h"
#include "mcompress/recipe.h"
#include "mcompress/report.h"

namespace mcompress {

/// Fills in the plan of a dry run: one row a step with its effective options and the size that
/// follows from them, or the bound "at most this". Opens no session and reads no data (rules.md
/// 27).
void plan_run(Model& model, const Recipe& recipe, const PassRegistry& passes, RunReport& report);

}  // namespace mcompress
