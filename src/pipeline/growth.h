// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "mcompress/report.h"

namespace mcompress {

/// Warns of steps, and of a whole run, after which the file is larger than before them, and says
/// the way out. Growth that later steps make up for, as of what prepares a quantization, is no
/// matter. `input_bytes`, `output_bytes`: of the plain models.
void warn_of_growth(RunReport& report, uint64_t input_bytes, uint64_t output_bytes);

}  // namespace mcompress
