// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "mcompress/layer.h"
#include "mcompress/model.h"

namespace mcompress {

/// Gives a MatMul or Gemm whose weight is stored as integers with scales its first outputs only, so
/// many that about `weights` weights are left, stored in the same form. What reads the layer is not
/// adapted: for copies of models of which the layer is run alone. Returns false, and the layer is
/// as it was, where it is that small or its form is another one.
bool narrow_layer(Layer& layer, int64_t weights);

}  // namespace mcompress
