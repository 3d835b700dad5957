// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "forms/quantized_weight.h"

namespace mcompress::forms {

/// com.microsoft.MatMulNBits: Y = A x W with W [inputs, outputs] in 2, 4 or 8 bits, blocks along inputs.
/// Packed: [outputs, blocks, block * bits / 8], low bits first, offset by 2^(bits - 1); scales
/// [outputs * blocks].
struct NBitsWeight {
  int64_t inputs = 0, outputs = 0;
  int bits = 4;
  int64_t block = 32;
  Tensor packed;                      ///< uint8
  Tensor scales;                      ///< float [outputs * blocks]
  std::optional<Tensor> zero_points;  ///< uint8, packed per output; none: 2^(bits - 1)

  int64_t blocks() const { return (inputs + block - 1) / block; }
  /// The float weight [inputs, outputs].
  Tensor dequantized() const;
};

/// `weight`: int8 or int4 codes [inputs, outputs] with scales per tensor, per output (axis 1) or in blocks along
/// the inputs (axis 0). Codes are in [-2^(bits-1), 2^(bits-1)), or with zero points and less than 8 bits in
/// [0, 2^bits). Scales are repeated where blocks are finer. Throws Unsupported for codes out of range. `block`: power of two, 16 to 256.
NBitsWeight pack_nbits(const QuantizedWeight& weight, int bits, int64_t block);

/// Writes the node for input `a` and bias (empty: none), with accuracy_level 4 (without it the runtime is
/// 3 to 135 times slower). Imports the domain. Returns the output. Runtime 1.17 for 4 bits, 1.23 for 8.
ValueRef emit_nbits(Graph& graph, std::string_view hint, const ValueRef& a,
                    const NBitsWeight& weight, const ValueRef& bias = {}, NodeRef before = {});

/// Reads the weight of a MatMulNBits node with constant inputs; empty for anything else (g_idx included).
std::optional<NBitsWeight> match_nbits(const NodeRef& node);

}  // namespace mcompress::forms
