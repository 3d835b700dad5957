// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "forms/quantized_weight.h"

namespace mcompress::forms {

/// A matrix product whose input is quantized at run time; the runtime fuses it to DynamicQuantizeMatMul.
///   q, s, z = DynamicQuantizeLinear(x)
///   y = Cast(MatMulInteger(q, codes, z)) * (s * scales) [+ bias]
/// `weight`: codes [inputs, outputs] int8, scales per tensor or per output (axis 1), zero points absent or 0.
/// One DynamicQuantizeLinear serves all layers that read x. Opset 11. Never for Conv: ConvInteger is 3 to
/// 37 times slower than float. Returns y.
ValueRef emit_dynamic(Graph& graph, std::string_view hint, const ValueRef& x,
                      const QuantizedWeight& weight, const ValueRef& bias = {}, NodeRef before = {});
/// The same over codes and scales that are in the graph already.
ValueRef emit_dynamic(Graph& graph, const ValueRef& x, const ValueRef& codes,
                      const ValueRef& scales, const ValueRef& bias = {}, NodeRef before = {});

struct DynamicMatch {
  NodeRef integer_product;  ///< MatMulInteger
  ValueRef x, codes, scales;
  ValueRef end;             ///< output of the Mul (without bias)
  std::vector<NodeRef> nodes;
  /// The float weight [inputs, outputs].
  Tensor weight() const;
};
/// From the MatMulInteger node; empty when what follows is not exactly the chain above.
std::optional<DynamicMatch> match_dynamic(const NodeRef& integer_product);

}  // namespace mcompress::forms
