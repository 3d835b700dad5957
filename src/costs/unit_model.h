// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "forms/layer_form.h"
#include "mcompress/runtime_service.h"
#include "mcompress/target.h"
#include "mcompress/value_types.h"
#include "quantization/units.h"

namespace mcompress::costs {

/// Parameters that serve where only time counts: the pair rule, zero points that imply a Relu and
/// equal scales around what moves values decide kernels, values do not.
void emit_in_int8(Model& model, const std::vector<quantization::Unit>& units,
                  const std::vector<bool>& in_int8, const Target& target);

/// A model of one unit in one of its forms.
struct UnitModel {
  forms::LayerForm form = forms::LayerForm::kFloat;
  Model model;
};

/// The unit cut out of its model in float, and in each form that it has a kernel for: with Q and DQ
/// around it, for products also with dynamic quantization and with weights of 8 and 4 bits. Empty
/// where its inputs' shapes are not known. `before`: the unit that a MaxPool follows.
std::vector<UnitModel> unit_models(const Model& model, const ValueTypes& types,
                                   const quantization::Unit& unit, const quantization::Unit* before,
                                   RuntimeService& runtime, const Target& target);

}  // namespace mcompress::costs
