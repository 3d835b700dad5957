// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mcompress/layer.h"

namespace mcompress::analysis {

/// The axis between two products, as in the feed-forward part of a transformer: outputs of `first`
/// pass through elementwise operators alone and become the inputs of `second`. Its units can be
/// put into any order.
struct HiddenAxis {
  size_t first = 0, second = 0;  ///< indices of the layers
  int64_t units = 0;
  std::vector<Use> vectors;      ///< inputs that hold a constant with a value for each unit
};

/// All of them. Layers are MatMul or Gemm with a plain weight of rank 2 as right operand that nobody
/// else reads.
std::vector<HiddenAxis> find_hidden_axes(std::span<const Layer> layers);

/// Unit u takes the place of unit order[u] before: order is a permutation. Changes both weights, the
/// bias of the first and the vectors between; the model computes what it did, up to the order of sums.
void reorder_units(std::span<const Layer> layers, const HiddenAxis& axis,
                   std::span<const int64_t> order);

}  // namespace mcompress::analysis
