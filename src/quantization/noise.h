// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>

#include "mcompress/pass_context.h"
#include "numerics/quantize_simd.h"
#include "quantization/units.h"

namespace mcompress::quantization {

/// Parameters of the values of a plan, by name: scale and zero point for unsigned 8 bits.
using ValueParams = std::map<std::string, numerics::QuantParams>;

/// What 8 bits are expected to add to the output of a layer, as a share of its own variation: the
/// mean over output channels of noise variance / signal variance, each at most 1. Uniform rounding
/// noise of s^2 / 12 a value is carried through the weights: input s_x^2 / 12 * sum_k W_ok^2,
/// weights s_w^2 / 12 * sum_k E[x_k^2], output s_y^2 / 12, against the variance of output o. One
/// range for channels that differ shows here, and it is nearly the whole loss (algorithms.md
/// section 3).
double expected_noise(const Unit& unit, std::span<const float> weight,
                      std::span<const float> scales, const numerics::QuantParams& input,
                      const ChannelStatistics& input_channels,
                      const std::optional<numerics::QuantParams>& output,
                      const ChannelStatistics& output_channels);

/// Index of the weight's element for output channel o, input channel c within its group, tap t.
size_t weight_index(const Layer& layer, int64_t output, int64_t channel, int64_t tap);

}  // namespace mcompress::quantization
