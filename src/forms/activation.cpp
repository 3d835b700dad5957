// SPDX-License-Identifier: Apache-2.0
#include "forms/activation.h"

#include <utility>

#include "forms/digits.h"

namespace mcompress::forms {
namespace {

std::optional<ActivationParameters> parameters(const NodeRef& node) {
  const ValueRef scale = node.input(1);
  const ValueRef zero = node.input(2);
  if (!scale || !scale.is_constant() || scale.constant_type() != DataType::kFloat) {
    return std::nullopt;
  }
  if (element_count(scale.constant_shape()) != 1) return std::nullopt;
  ActivationParameters result;
  result.scale = scale.constant()->to_float().front();
  if (!zero) return result;
  if (!zero.is_constant() || element_count(zero.constant_shape()) != 1) return std::nullopt;
  result.type = zero.constant_type();
  result.zero_point = zero.constant()->to_int64().front();
  return result;
}

}  // namespace

QuantizedActivation emit_quantize(Graph& graph, std::string_view hint, const ValueRef& x,
                                  float scale, const Tensor& zero_point, NodeRef before) {
  const std::string name(hint);
  QuantizedActivation result;
  result.scale = graph.add_constant(name + "_s", Tensor::scalar(scale));
  result.zero_point = graph.add_constant(name + "_z", zero_point.reshaped({}));
  NodeSpec spec;
  spec.op = "QuantizeLinear";
  spec.inputs = {x, result.scale, result.zero_point};
  spec.outputs = {graph.fresh_name(name + "_q")};
  result.codes = graph.insert(std::move(spec), before).output();
  return result;
}

ValueRef emit_dequantize(Graph& graph, const QuantizedActivation& x, NodeRef before) {
  NodeSpec spec;
  spec.op = "DequantizeLinear";
  spec.inputs = {x.codes, x.scale, x.zero_point};
  return graph.insert(std::move(spec), before).output();
}

ValueRef emit_bias(Graph& graph, std::string_view hint, const Tensor& codes, const Tensor& scales,
                   NodeRef before) {
  QuantizedWeight bias;
  bias.codes = codes;
  bias.scales = scales;
  bias.axis = 0;
  return emit_dequantize(graph, hint, bias, before);
}

std::optional<ActivationParameters> match_quantize(const NodeRef& node) {
  if (!is_op(node, "QuantizeLinear") && !is_op(node, "DequantizeLinear")) return std::nullopt;
  return parameters(node);
}

std::optional<ActivationPair> match_activation(const ValueRef& end) {
  if (!end) return std::nullopt;
  const NodeRef dequantize = end.producer();
  if (!is_op(dequantize, "DequantizeLinear")) return std::nullopt;
  const NodeRef quantize = dequantize.input(0).producer();
  if (!is_op(quantize, "QuantizeLinear")) return std::nullopt;
  const auto in = parameters(quantize);
  const auto out = parameters(dequantize);
  if (!in || !out || in->scale != out->scale || in->zero_point != out->zero_point) {
    return std::nullopt;
  }
  return ActivationPair{quantize.input(0), quantize, dequantize, *in};
}

}  // namespace mcompress::forms
