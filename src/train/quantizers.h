// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/trainer.h"
#include "train/parameters.h"

namespace mcompress::train {

/// Parameters of the quantization that `model` holds; none unless task.quantizers.enabled. Each one's
/// name() is a value that a Program is given in place of what the file says (its `variables`):
///   the output of a DequantizeLinear over constant integers: float weight and scales as leaves, the
///     value is what the rounded weight dequantizes to, bit for bit what store() makes the file say;
///   the scale that a QuantizeLinear and its DequantizeLinear read, with learned scales.
/// Of integers that a node in task.parameters (where that is not empty) does not name, none is made.
/// A bias (int32, scale = product of the scales of its node's input and weight) follows both scales.
std::vector<std::unique_ptr<Parameter>> make_quantizers(const Model& model,
                                                        const TrainingTask& task);

}  // namespace mcompress::train
