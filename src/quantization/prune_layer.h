// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "forms/quantized_weight.h"
#include "mcompress/layer.h"
#include "mcompress/tensor.h"
#include "quantization/layer_fit.h"
#include "quantization/pruning.h"

namespace mcompress::quantization {

enum class PruneMethod {
  kObs,        ///< least squares over zeros and values together
  kSparseGpt,  ///< one pass over the inputs
  kWanda,      ///< scores compared within each output, no update
};

struct PruneRule {
  PruneMethod method = PruneMethod::kObs;
  std::optional<KeptOf> n_of_m;  ///< in place of a sparsity
  int bits = 0;                  ///< of integers that values are rounded to; 0: none
  double damping = 0.05;
};

/// A layer's new weight, or the integers in its place, and what its bias gains.
struct PrunedLayer {
  Tensor weight;
  std::optional<forms::QuantizedWeight> integers;
  std::vector<float> bias_shift;
  int64_t zeros = 0;
  std::string method, detail;  ///< for the report
};

/// Throws Unsupported where the layer's moments are not finite.
PrunedLayer prune_layer(const Layer& layer, const LayerFit& fit, const PruningTarget& target,
                        const PruneRule& rule);

}  // namespace mcompress::quantization
