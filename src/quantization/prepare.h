// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "mcompress/pass_context.h"
#include "quantization/emit.h"
#include "quantization/plan.h"
#include "quantization/units.h"

namespace mcompress::quantization {

/// True for units with a weight.
bool is_layer(const Unit& unit);

/// All that writing a plan needs, from one pass over the calibration data.
struct Prepared {
  ValueParams params;                          ///< of the values that are known
  std::map<std::string, LayerWeight> weights;  ///< by the unit's output
  std::set<std::string> unobserved;  ///< outputs of units that a value without statistics keeps in
                                     ///< float
};

struct PrepareOptions {
  RangeOptions ranges;
  Rounding rounding = Rounding::kNearest;
  bool correct_bias = true;
  WeightBits bits = WeightBits::k8;
  std::set<std::string> in_8_bits = {};  ///< outputs of layers that have 8 bits all the same
};

/// Watches the values of the units that `plan` runs in 8 bits, chooses their ranges, quantizes
/// weights and biases. Warns of values that are constant. Methods of rounding that need moments
/// take further passes over the data.
Prepared prepare(const Model& model, PassContext& context, const std::vector<Unit>& units,
                 const Plan& plan, const PrepareOptions& options);

/// The weights of `prepared` for the layers that `in_int8` names, rounded once more by another
/// method.
void round_again(const Model& model, PassContext& context, const std::vector<Unit>& units,
                 const std::vector<bool>& in_int8, const PrepareOptions& options,
                 Prepared& prepared);

}  // namespace mcompress::quantization
