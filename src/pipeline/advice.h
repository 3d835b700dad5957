// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mcompress/report.h"

namespace mcompress {

/// What to try next, from the figures of a run: each line names an edit or a command.
std::vector<std::string> advice_for(const RunReport& report);

}  // namespace mcompress
