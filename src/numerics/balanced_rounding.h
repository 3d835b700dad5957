// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "numerics/weight_quantize.h"

namespace mcompress::numerics {

/// Rounds some weights of each channel the other way, those that lose least by it, so that the
/// errors of the channel add up to at most half a step. What its inputs have in common (their mean)
/// then passes nearly unchanged, which rounding to nearest does not care for: no data is needed
/// (SQuant, arXiv:2202.07471, of whose three steps this is the one over a whole channel). Symmetric
/// or not; `stored` holds the weights rounded to nearest. A scale below 0 is fine.
void balance_rounding(std::span<const float> weights, ChannelLayout layout,
                      std::span<const float> scales, std::span<const int32_t> zero_points,
                      IntRange range, std::span<int8_t> stored);

/// quantize_weights and balance_rounding in one: where channels are columns, a weight that does not
/// fit the caches is read once. The integers go to `stored`.
ChannelScales quantize_balanced(std::span<const float> weights, ChannelLayout layout,
                                const WeightQuantOptions& options, std::span<int8_t> stored);
/// The same of floats that are not aligned as such (in a mapped file), where channels are columns;
/// without importance.
ChannelScales quantize_balanced(std::span<const std::byte> weights, ChannelLayout layout,
                                const WeightQuantOptions& options, std::span<int8_t> stored);
/// The channels are the columns of a matrix.
bool channels_are_columns(ChannelLayout layout);

}  // namespace mcompress::numerics
