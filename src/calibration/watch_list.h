// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "mcompress/pass_context.h"
#include "mcompress/value_types.h"

namespace mcompress::calibration {

/// Values of the main graph that a table should have: those of floating type that change with the
/// input and that an operator with an integer kernel reads or writes (of a Relu or Clip that alone
/// follows one, its output in place of the operator's); with `all` every one that changes. Values
/// that layers read or write have their channels watched, too.
std::vector<ObservedValue> watch_list(const Model& model, const ValueTypes& types, bool all);

}  // namespace mcompress::calibration
