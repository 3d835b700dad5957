// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "mcompress/pass_context.h"

namespace mcompress::quantization {

/// What a layer reads in a model whose layers before it were changed, beside what it reads in the
/// model before that; by group of the layer.
struct PairedMoments {
  std::vector<LayerMoments> changed;
  std::vector<std::vector<double>> cross;  ///< X^T X_before / rows, [inputs, inputs]
  std::vector<std::vector<double>> before_means;
};

/// Of a layer of `changed`, over as many of the first calibration samples as give about
/// 8 * inputs + 8192 rows, but 100 at least; fewer where what `before` gives would not fit into
/// 128 MB. Runs both models up to the layer. Throws Unsupported where its input is not observed,
/// or its size changes with the weights.
PairedMoments paired_moments(const Model& before, const Model& changed, const Layer& layer,
                             CalibrationService& calibration);

}  // namespace mcompress::quantization
