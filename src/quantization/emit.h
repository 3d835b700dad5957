// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "forms/quantized_weight.h"
#include "mcompress/target.h"
#include "quantization/noise.h"
#include "quantization/units.h"

namespace mcompress::quantization {

/// The 8-bit weight of a layer: symmetric, one scale per output channel, obeying the pair rule
/// where the target asks for it, its scales wide enough for an int32 bias with `input_scale`.
struct LayerWeight {
  forms::QuantizedWeight weight;  ///< in the layout of the layer's own weight
  std::vector<float> scales;      ///< per output channel
  std::vector<int32_t> bias;      ///< empty without
};
LayerWeight quantize_layer(const Layer& layer, const Tensor& weight,
                           const std::optional<Tensor>& bias, float input_scale,
                           const Target& target);

/// Writes the units that `in_int8` names in Q and DQ form. Values of `params` get one Q each.
/// Returns how many layers were changed. The opset must be 13 or more.
int emit_plan(Model& model, const std::vector<Unit>& units, const std::vector<bool>& in_int8,
              const ValueParams& params, const std::map<std::string, LayerWeight>& weights);

/// Stores the weight of a layer that runs in float in 8 bits (forms::emit_scaled).
void store_in_8_bits(const Layer& layer, const Tensor& weight);

}  // namespace mcompress::quantization
