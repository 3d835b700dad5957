// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "mcompress/cost_table.h"
#include "mcompress/pass_context.h"
#include "mcompress/value_types.h"

namespace mcompress::costs {

struct Measured {
  size_t units = 0;       ///< that were measured now, each in all its forms
  size_t unmeasured = 0;  ///< whose shapes are not known or whose cut-out does not run
};

/// Adds to `table` what the units of `model` (quantization/units.h) cost in each of their forms, as
/// far as it is not there: each unit cut out into a model of its own, all its forms interleaved,
/// the least of many Runs in one thread, less what a Run costs that computes nothing. Inside, the
/// time is shared out by the runtime's profile: what only stands there because the unit is alone
/// (layout changes at its edges) is no part of it, and what Q and DQ cost is an entry of its own.
Measured measure_costs(Model& model, const ValueTypes& types, RuntimeService& runtime,
                       const Target& target, Progress& progress, CostTable& table);

/// The whole model against what the table says of it, so that a table that misleads is seen.
struct InSitu {
  double float_predicted_ms = 0;   ///< units only
  double float_measured_ms = 0;    ///< the whole model
  double saving_predicted_ms = 0;  ///< in 8 bits where it pays by the table, edges included
  double saving_measured_ms = 0;
};
/// Nothing where the model has no units, or is below opset 13.
std::optional<InSitu> compare_in_situ(Model& model, const ValueTypes& types,
                                      RuntimeService& runtime, const Target& target,
                                      const CostTable& table, const Feeds& feeds);

}  // namespace mcompress::costs
