// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "numerics/reduction_layout.h"
#include "numerics/weight_quantize.h"

namespace mcompress::numerics {

/// Symmetric 8-bit weights that obey the pair rule (pair_rule.h). Moving weights towards 0 hurts
/// where many pairs are large, and at twice the scale no pair is: each channel takes the scale, of
/// five between the options' own and twice that, with the least squared error after the rule is
/// enforced. `moved` counts the weights that the rule changed.
QuantizedWeights quantize_in_pairs(std::span<const float> weights, ChannelLayout layout,
                                   const ReductionLayout& reduction,
                                   const WeightQuantOptions& options, int64_t& moved);

}  // namespace mcompress::numerics
