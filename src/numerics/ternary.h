// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "numerics/weight_quantize.h"

namespace mcompress::numerics {

/// Codes -1, 0, 1 and a scale for each channel, of least squared error. For a set of m weights that
/// are not 0 the best scale is the mean of their magnitudes, and the error is what sum^2 / m leaves
/// of the energy; the best sets are the m largest, so that one walk over the sorted magnitudes finds
/// the optimum (Li and Liu, Ternary weight networks, arXiv:1605.04711, search it by a rule of thumb).
/// Throws Error(kModel) on NaN or infinite weights. O(n log n).
QuantizedWeights quantize_ternary(std::span<const float> weights, ChannelLayout layout);

/// Codes -1, 1 and the mean of the magnitudes, which is optimal (Rastegari et al., XNOR-Net,
/// arXiv:1603.05279). Weights of 0 become 1.
QuantizedWeights quantize_binary(std::span<const float> weights, ChannelLayout layout);

}  // namespace mcompress::numerics
