// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
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

/// Relative squared error of the model's float outputs, on as many samples, when `change` has altered
/// a copy of the model: once for each number below `trials`. 0 where nothing can be told.
std::vector<double> output_errors(const Model& model, PassContext& context, size_t trials,
                                  const std::function<void(size_t trial, Model& copy)>& change);

}  // namespace mcompress::quantization
