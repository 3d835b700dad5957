// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "mcompress/pass_context.h"

namespace mcompress::quantization {

/// For each layer: relative squared error of the model's float outputs over the mean squared error of an
/// element of the layer's own output, for errors like those of pruning. (Over a share of the output's
/// energy, a large mean would hide what matters.) Each layer alone loses its smallest weights in a copy
/// of the model, which runs on a few calibration samples. Weights that are plain or encoded, of layers
/// that have a matrix; 0 where nothing can be told.
std::vector<double> output_noise(const Model& model, PassContext& context,
                                 std::span<const Layer> layers);

}  // namespace mcompress::quantization
