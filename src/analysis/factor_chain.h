// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "mcompress/layer.h"
#include "numerics/factorization.h"

namespace mcompress::analysis {

/// Why a chain of factors cannot stand for a layer ("it has 2 groups"), or "".
std::string factor_obstacle(const Layer& layer, int64_t opset);

/// Layers that compute the product of a thin weight's factors, one after the other: nothing but the
/// next reads the output of one, none but the last has a bias, and what is between two is narrower
/// than both sides.
using FactorChain = std::vector<Layer>;
/// All of them among `layers` (in graph order); none overlap.
std::vector<FactorChain> find_factor_chains(const std::vector<Layer>& layers);
/// Weights of the layer that a chain stands for, and of its factors.
int64_t product_parameters(const FactorChain& chain);
int64_t factor_parameters(const FactorChain& chain);

/// Outputs, channels and window of the layer's weight as one kernel; of products without window.
numerics::KernelShape kernel_shape(const Layer& layer);
/// Its weight as [outputs, channels, window], and back.
std::vector<float> to_kernel(const Layer& layer, std::span<const float> weight);
std::vector<float> from_kernel(const Layer& layer, std::span<const float> kernel);

/// A layer as it would be for one factor: what a cost model asks for.
Layer layer_of_factor(const Layer& layer, const numerics::Factor& factor);

/// Adds the factors as constants `weight_1`, `weight_2` ..., first the one that reads the input,
/// each in the layout of the node that will read it.
std::vector<ValueRef> store_factors(const Layer& layer, std::span<const numerics::Factor> factors,
                                    DataType type);
/// Puts nodes for all factors but the last in front of the layer's node, which becomes the last one
/// and keeps its output, bias, alpha and beta.
void put_factors(const Layer& layer, std::span<const numerics::Factor> factors,
                 std::span<const ValueRef> constants);

}  // namespace mcompress::analysis
