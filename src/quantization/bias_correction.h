// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
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

/// Means of the channels of one output, by sample.
using SampleMeans = std::vector<std::vector<double>>;

/// What to add to each channel so that the means of `found` become those of `wanted`, both over the
/// same samples: d^2 / (d^2 + e^2) of the mean difference d, where e is its standard error. A
/// difference that a few samples show by chance is mostly left alone.
std::vector<float> mean_correction(const SampleMeans& wanted, const SampleMeans& found);

/// Axis of the output of a layer that holds its channels, for an output of `rank`.
int output_channel_axis(const Layer& layer, int rank);

/// Why no constant can be added to the output of a layer, or "".
std::string shift_obstacle(const Layer& layer);
/// Adds a constant to each output channel: in the bias, which stays int32 with scale s_x * s_w
/// where the layer runs in 8 bits, is made where there is none, and is copied where others read it;
/// behind a MatMul in its Add. The layer must have no obstacle. Returns whether a bias changed.
bool shift_output(const Layer& layer, std::span<const float> shift);

}  // namespace mcompress::quantization
