// SPDX-License-Identifier: Apache-2.0
#include "forms/dynamic.h"

#include <utility>

#include "forms/digits.h"
#include "forms/nodes.h"

namespace mcompress::forms {
namespace {

/// The DynamicQuantizeLinear that reads x in this graph, or a new one.
NodeRef quantize_input(Graph& graph, const ValueRef& x, NodeRef before) {
  for (const Use& use : x.uses()) {
    if (&use.node.graph() == &graph && is_op(use.node, "DynamicQuantizeLinear")) return use.node;
  }
  NodeSpec spec;
  spec.op = "DynamicQuantizeLinear";
  spec.inputs = {x};
  spec.outputs = {"", "", ""};
  return graph.insert(std::move(spec), before);
}

NodeRef only_reader(const ValueRef& value) {
  const std::vector<Use> uses = value.uses();
  return uses.size() == 1 && !value.is_graph_output() ? uses.front().node : NodeRef();
}

}  // namespace

ValueRef emit_dynamic(Graph& graph, const ValueRef& x, const ValueRef& codes,
                      const ValueRef& scales, const ValueRef& bias, NodeRef before) {
  const NodeRef input = quantize_input(graph, x, before);
  const ValueRef product =
      insert_op(graph, "MatMulInteger", {input.output(0), codes, input.output(2)}, before);
  const ValueRef wide = insert_op(graph, "Cast", {product}, before,
                                  {{"to", static_cast<int64_t>(DataType::kFloat)}});
  const ValueRef scale = insert_op(graph, "Mul", {input.output(1), scales}, before);
  const ValueRef y = insert_op(graph, "Mul", {wide, scale}, before);
  return bias ? insert_op(graph, "Add", {y, bias}, before) : y;
}

ValueRef emit_dynamic(Graph& graph, std::string_view hint, const ValueRef& x,
                      const QuantizedWeight& weight, const ValueRef& bias, NodeRef before) {
  const std::string name(hint);
  return emit_dynamic(graph, x, graph.add_constant(name + "_q", weight.codes),
                      graph.add_constant(name + "_s", weight.scales), bias, before);
}

Tensor DynamicMatch::weight() const {
  QuantizedWeight result;
  result.codes = *constant_or_form(codes);
  result.scales = *constant_or_form(scales);
  result.axis = static_cast<int>(result.codes.shape().size()) - 1;
  return result.dequantized();
}

std::optional<DynamicMatch> match_dynamic(const NodeRef& integer_product) {
  if (!is_op(integer_product, "MatMulInteger") || integer_product.input(3)) return std::nullopt;
  const NodeRef input = integer_product.input(0).producer();
  if (!is_op(input, "DynamicQuantizeLinear")) return std::nullopt;
  if (integer_product.input(2) != input.output(2)) return std::nullopt;
  const NodeRef cast = only_reader(integer_product.output());
  if (!is_op(cast, "Cast")) return std::nullopt;
  const NodeRef mul = only_reader(cast.output());
  if (!is_op(mul, "Mul")) return std::nullopt;
  const ValueRef other = mul.input(0) == cast.output() ? mul.input(1) : mul.input(0);
  const NodeRef scale = other.producer();
  if (!is_op(scale, "Mul")) return std::nullopt;
  const int at = scale.input(0) == input.output(1) ? 1 : 0;
  if (scale.input(1 - at) != input.output(1)) return std::nullopt;
  DynamicMatch match{integer_product, input.input(0), integer_product.input(1), scale.input(at),
                     mul.output(),    {integer_product, cast, mul, scale}};
  const bool known = (match.codes.is_constant() || recognise(match.codes)) &&
                     (match.scales.is_constant() || recognise(match.scales));
  if (!known) return std::nullopt;
  return match;
}

}  // namespace mcompress::forms
