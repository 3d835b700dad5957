// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "forms/quantized_weight.h"
#include "mcompress/pass_context.h"
#include "mcompress/target.h"
#include "numerics/quantize_simd.h"
#include "quantization/rounding.h"
#include "quantization/units.h"
#include "quantization/weight_only.h"

namespace mcompress::quantization {

/// Parameters of the values of a plan, by name: scale and zero point for unsigned 8 bits.
using ValueParams = std::map<std::string, numerics::QuantParams>;

/// The 8-bit weight of a layer: symmetric, one scale per output channel, obeying the pair rule
/// where the target asks for it, its scales wide enough for an int32 bias with `input_scale`.
struct LayerWeight {
  forms::QuantizedWeight weight;  ///< in the layout of the layer's own weight
  std::vector<float> scales;      ///< per output channel
  std::vector<int32_t> bias;      ///< empty without
  std::string note;               ///< of the rounding, or ""
};

/// What is known of a layer's input rows, and how its weight is rounded with it.
struct LayerRounding {
  Rounding method = Rounding::kNearest;
  /// Below 8 the codes stay within -code_limit(bits)..code_limit(bits), in bytes all the same.
  WeightBits bits = WeightBits::k8;
  std::span<const LayerMoments> moments = {};  ///< of each group; empty: unknown
  /// Correct the bias by what rounding adds to the mean output, as far as `moments` tell the means
  /// and the layer has a place for a bias.
  bool correct_bias = false;
};
/// 127, 7, 3; 1 for 2 bits, ternary and binary weights.
int32_t code_limit(WeightBits bits);
LayerWeight quantize_layer(const Layer& layer, const Tensor& weight,
                           const std::optional<Tensor>& bias, float input_scale,
                           const Target& target, const LayerRounding& rounding = {});

/// Writes the units that `in_int8` names in Q and DQ form. Values of `params` get one Q each.
/// Returns how many layers were changed. The opset must be 13 or more.
int emit_plan(Model& model, const std::vector<Unit>& units, const std::vector<bool>& in_int8,
              const ValueParams& params, const std::map<std::string, LayerWeight>& weights);

/// Stores the weight of a layer that runs in float in 8 bits (forms::emit_scaled).
void store_in_8_bits(const Layer& layer, const Tensor& weight);

}  // namespace mcompress::quantization
