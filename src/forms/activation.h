// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "forms/quantized_weight.h"

namespace mcompress::forms {

/// A value in 8 bits with one scale. Scale and zero point are of rank 0: a rank of 1 loads until the
/// runtime fuses QLinearAdd and then fails. Unsigned 8 bits are what its kernels like best.
struct QuantizedActivation {
  ValueRef codes;
  ValueRef scale;       ///< float constant, rank 0
  ValueRef zero_point;  ///< constant of the type of the codes, rank 0
};

/// QuantizeLinear(x, scale, zero_point) with new constants. `zero_point` holds the type: uint8 or int8.
/// Opset 10 (13 recommended).
QuantizedActivation emit_quantize(Graph& graph, std::string_view hint, const ValueRef& x,
                                  float scale, const Tensor& zero_point, NodeRef before = {});
/// DequantizeLinear of it. The runtime fuses best where each reader has its own.
ValueRef emit_dequantize(Graph& graph, const QuantizedActivation& x, NodeRef before = {});
/// The integers of a bias, [outputs] int32 with scale input_scale * weight_scale and zero point 0: the only
/// form that fuses. `scales`: one or one per output.
ValueRef emit_bias(Graph& graph, std::string_view hint, const Tensor& codes, const Tensor& scales,
                   NodeRef before = {});

/// What a QuantizeLinear or DequantizeLinear with constant parameters of one element says.
struct ActivationParameters {
  float scale = 1;
  int64_t zero_point = 0;
  DataType type = DataType::kUint8;
};
std::optional<ActivationParameters> match_quantize(const NodeRef& node);
/// For `end` = DequantizeLinear(QuantizeLinear(x)): x and the parameters, which must agree.
struct ActivationPair {
  ValueRef x;
  NodeRef quantize, dequantize;
  ActivationParameters parameters;
};
std::optional<ActivationPair> match_activation(const ValueRef& end);

}  // namespace mcompress::forms
