// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "mcompress/value_types.h"
#include "quantization/costs.h"
#include "quantization/units.h"

namespace mcompress::quantization {

/// Which units run in 8 bits.
struct Plan {
  std::vector<bool> in_int8;       ///< by unit
  double float_nanoseconds = 0;    ///< of all units in float
  double planned_nanoseconds = 0;  ///< of the plan, changes between float and 8 bits included
};

/// Chooses by built-in costs: every unit costs what it takes in float or in 8 bits, every value
/// that changes between the two costs its Q or DQ, and the cheapest assignment is a minimum cut.
/// Units whose output is in `keep_float` stay in float. No float layer with constant weights is
/// left between a DQ and a Q, because the runtime would quantize it on its own, per tensor
/// (algorithms.md section 0.10). `only_if_cheaper` false: every unit that can run in 8 bits does.
Plan make_plan(Model& model, const ValueTypes& types, const std::vector<Unit>& units,
               const CostModel& costs, const std::set<std::string>& keep_float,
               bool only_if_cheaper);

}  // namespace mcompress::quantization
