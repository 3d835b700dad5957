// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "forms/chain.h"
#include "forms/stored_form.h"

namespace mcompress::forms {

/// Integers with scales: value = (codes - zero_points) * scales. Along `axis` in blocks of `block` elements:
/// 0 with one scale = per tensor, 0 with as many scales as shape[axis] = per channel.
struct QuantizedWeight {
  Tensor codes;
  Tensor scales;                     ///< float: rank 0, rank 1, or blocked: rank of `codes`
  std::optional<Tensor> zero_points; ///< type of `codes`, shape of `scales`; none: 0
  int axis = 0;
  int64_t block = 0;
  /// Only in the scaled form, codes being a matrix: one factor more for each input, which is what the
  /// blocks go along, or the axis that has no scales of its own.
  std::optional<Tensor> input_scales = {};
  Shape shape = {};                  ///< of the float weight, where it is not that of the codes

  int input_axis() const;
  /// As the runtime computes it: one float multiplication per element. Throws kModel where shapes do not fit.
  Tensor dequantized() const;
};

/// Of a matrix: rows become columns, scales and zero points with them. No input scales.
QuantizedWeight transposed(const QuantizedWeight& weight);

/// DequantizeLinear(codes, scales[, zero_points]). Opset: 10 per tensor, 13 per channel, 21 in blocks. What the
/// runtime makes of it (algorithms.md section 3): with a quantized input around Conv (axis 0) or MatMul (axis 1)
/// an integer kernel; weight-only before MatMul or Gemm without transB, MatMulNBits; weight-only before
/// Conv or Gemm with transB it is SLOWER than float: use `emit_scaled` there.
ValueRef emit_dequantize(Graph& graph, std::string_view hint, const QuantizedWeight& weight,
                         NodeRef before = {});
/// The same over codes that are in the graph already (shared by several readers).
ValueRef emit_dequantize(Graph& graph, const ValueRef& codes, const ValueRef& scales,
                         const ValueRef& zero_points, int axis, int64_t block, bool per_tensor,
                         NodeRef before = {});
int64_t dequantize_opset(const QuantizedWeight& weight);

/// [Reshape](Mul(Sub(Cast(codes), zero points), scales)): folds at load to a float weight, so the layer runs at
/// the speed of float and is stored in few bits. Zero points may be absent; blocks must be whole (throws
/// kBug): a dimension of their own, which the Reshape takes away again. Opset 7.
ValueRef emit_scaled(Graph& graph, std::string_view hint, const QuantizedWeight& weight,
                     NodeRef before = {});
/// The same over codes that are in the graph already, in the shape of weight.codes, blocks apart.
ValueRef emit_scaled(Graph& graph, std::string_view hint, const ValueRef& codes,
                     const QuantizedWeight& weight, NodeRef before = {});
/// The same with the codes packed: as 4-bit integers from opset 21 on, else several to a word, whichever
/// takes the fewest bytes for the codes that occur (codes.cpp).
ValueRef emit_packed(Emitter& emitter, std::string_view hint, const QuantizedWeight& weight, int bits,
                     NodeRef before = {});

std::optional<StoredForm> match_dequantize(const ValueRef& end);
std::optional<StoredForm> match_scaled(const ValueRef& end);

/// Codes, scales and zero points of a recognised kDequantize or kScaled form; codes are decoded.
std::optional<QuantizedWeight> quantized_weight(const ValueRef& end);
/// The value that holds the codes: a constant or an encoded chain; empty ref if `end` is no quantized form.
ValueRef quantized_codes(const ValueRef& end);

}  // namespace mcompress::forms
