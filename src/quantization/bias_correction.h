// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "mcompress/layer.h"
#include "mcompress/pass_context.h"

namespace mcompress::quantization {

/// What to add to each output channel of a layer whose weight W became `changed` so that its mean
/// output stays: -sum_k (changed - W)_ko E[x_k] (algorithms.md section 3). Both weights in the
/// layout of the layer. Empty where it is not known: no moments, or a ConvTranspose, whose
/// positions see different taps.
std::vector<float> mean_output_shift(const Layer& layer, std::span<const float> weight,
                                     std::span<const float> changed,
                                     std::span<const LayerMoments> moments);

}  // namespace mcompress::quantization
