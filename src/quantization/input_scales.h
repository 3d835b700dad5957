// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "quantization/weight_only.h"

namespace mcompress::quantization {

/// Activation-aware scales of the inputs of a layer (AWQ, arXiv:2306.00978): input k of the weight is
/// multiplied by s_k = rms(x_k)^r before it is quantized and divided by it after, so that the inputs
/// that carry more are rounded less. Of 20 exponents r the one with the least output error by the
/// layer's second moments. Empty where r = 0 is best, or where the layer has none (said in `note`).
std::vector<float> find_input_scales(const Layer& layer, const Tensor& weight,
                                     std::span<const LayerMoments> moments,
                                     const WeightOnlyOptions& options, std::string& note);

/// The weight with each input (row of analysis::LayerMatrix) multiplied. Only for layers of one group.
Tensor scale_inputs(const Layer& layer, const Tensor& weight, std::span<const float> factors);

}  // namespace mcompress::quantization
