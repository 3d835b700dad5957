// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "mcompress/pass_context.h"
#include "mcompress/value_types.h"
#include "quantization/units.h"

namespace mcompress::quantization {

/// What of a model can run in 8 bits.
struct Candidates {
  bool opset_raised = false;
  ValueTypes types;
  std::vector<Unit> units;
  std::vector<RefusedLayer> refused;  ///< recorded as skipped
};

/// Raises the opset to what scales per channel need, and looks for units among `selected`, the layers
/// that `only` and `skip` leave. Warns of nodes that compute with integers already and of few samples.
Candidates find_candidates(Model& model, PassContext& context, std::vector<Layer> selected);

}  // namespace mcompress::quantization
