// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "mcompress/model.h"
#include "mcompress/value_types.h"

namespace mcompress::analysis {

/// What one node holds and computes.
struct NodeCost {
  uint64_t parameters = 0;    ///< elements of its constant inputs of floating or quantized weights
  uint64_t weight_bytes = 0;  ///< as stored; a constant that several nodes read counts for each
  uint64_t macs = 0;          ///< multiply-accumulates for one sample; 0 when shapes are unknown
};

/// Counts Conv, ConvTranspose, Gemm, MatMul, LSTM, GRU, RNN and their integer forms; other nodes
/// have no multiply-accumulates. An open first dimension counts as 1.
uint64_t node_macs(const NodeRef& node, const ValueTypes& types);
NodeCost node_cost(const NodeRef& node, const ValueTypes& types);

/// Sums over a model, bodies included; each constant counts once.
struct ModelCost {
  uint64_t parameters =
      0;  ///< weights as the runtime sees them: floats, and quantized layers' weights
  uint64_t nonzeros = 0;      ///< of those stored as floats; quantized ones count by their code
  uint64_t weight_bytes = 0;  ///< all constants as stored
  uint64_t macs = 0;          ///< 0 also where the shapes of some layer are unknown
};
/// Reads every constant once, unless its non-zeros are known.
ModelCost model_cost(Model& model, const ValueTypes& types,
                     std::optional<uint64_t> known_nonzeros = std::nullopt);

}  // namespace mcompress::analysis
