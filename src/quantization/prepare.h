// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "mcompress/pass_context.h"
#include "quantization/emit.h"
#include "quantization/noise.h"
#include "quantization/plan.h"
#include "quantization/units.h"

namespace mcompress::quantization {

/// True for units with a weight.
bool is_layer(const Unit& unit);

/// All that writing a plan needs, from one pass over the calibration data.
struct Prepared {
  ValueParams params;                          ///< of the values that are known
  std::map<std::string, LayerWeight> weights;  ///< by the unit's output
  std::map<std::string, double> noise;         ///< expected (noise.h), by the unit's output
  std::set<std::string> unobserved;  ///< outputs of units that a value without statistics keeps in
                                     ///< float
};

/// Watches the values of the units that `plan` runs in 8 bits, chooses their ranges, quantizes
/// weights and biases and scores the layers. Warns of values that are constant.
Prepared prepare(const Model& model, PassContext& context, const std::vector<Unit>& units,
                 const Plan& plan, const RangeOptions& ranges);

}  // namespace mcompress::quantization
