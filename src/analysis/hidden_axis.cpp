// SPDX-License-Identifier: Apache-2.0
#include "analysis/hidden_axis.h"

#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace mcompress::analysis {
namespace {

bool is_elementwise(const NodeRef& node) {
  static const std::set<std::string_view> kOps{
      "Add", "Sub",       "Mul",  "Div",         "Pow", "Relu",     "LeakyRelu", "Sigmoid",
      "Tanh", "Erf",      "Gelu", "HardSigmoid", "Elu", "Softplus", "HardSwish", "Identity",
      "Sqrt", "Abs",      "Neg",  "Exp",         "Clip", "Selu",    "Cast"};
  return node.domain().empty() && kOps.count(node.op()) != 0 && node.output_count() == 1;
}

bool is_plain_product(const Layer& layer) {
  if (layer.kind != LayerKind::kMatMul && layer.kind != LayerKind::kGemm) return false;
  return layer.weight_is_plain && layer.weight.is_constant() && layer.weight_shape.size() == 2 &&
         layer.weight_input == 1 && !layer.shared_weight && layer.weight.uses().size() == 1 &&
         layer.node.attribute("transA", int64_t{0}) == 0;
}

/// A constant that treats all units alike, or has one value for each of them on its last axis.
enum class Operand { kAlike, kByUnit, kOther };
Operand operand_of(const ValueRef& value, int64_t units) {
  if (!value.is_constant()) return Operand::kOther;
  const Shape shape = value.constant_shape();
  if (element_count(shape) == 1) return Operand::kAlike;
  if (element_count(shape) == units && shape.back() == units && value.uses().size() == 1) {
    return Operand::kByUnit;
  }
  return Operand::kOther;
}

/// Follows what is computed from the outputs of `first`; the layer at the end, or nothing.
std::optional<HiddenAxis> follow(std::span<const Layer> layers, size_t first,
                                 const std::map<std::string, size_t>& by_input) {
  HiddenAxis axis;
  axis.first = first;
  axis.units = layers[first].outputs;
  std::set<std::string> derived{layers[first].output};
  std::vector<ValueRef> open{layers[first].node.output()};
  std::optional<size_t> end;
  while (!open.empty()) {
    const ValueRef value = open.back();
    open.pop_back();
    if (value.is_graph_output()) return std::nullopt;
    for (const Use& use : value.uses()) {
      if (&use.node.graph() != &layers[first].node.graph()) return std::nullopt;
      const auto layer = use.input == 0 ? by_input.find(use.node.output().name()) : by_input.end();
      if (layer != by_input.end()) {
        if (end && *end != layer->second) return std::nullopt;
        end = layer->second;
        continue;
      }
      if (!is_elementwise(use.node)) return std::nullopt;
      if (derived.insert(use.node.output().name()).second) open.push_back(use.node.output());
    }
  }
  if (!end || *end == first || layers[*end].inputs != axis.units) return std::nullopt;
  axis.second = *end;
  // Every other operand on the way.
  for (const NodeRef node : layers[first].node.graph().nodes()) {
    if (derived.count(node.output_count() == 1 ? node.output().name() : "") == 0) continue;
    if (node == layers[first].node) continue;
    for (int i = 0; i < node.input_count(); ++i) {
      const ValueRef input = node.input(i);
      if (!input || derived.count(input.name()) != 0) continue;
      const Operand operand = operand_of(input, axis.units);
      if (operand == Operand::kOther) return std::nullopt;
      if (operand == Operand::kByUnit) axis.vectors.push_back({node, i});
    }
  }
  return axis;
}

/// Elements along `axis` of a tensor in another order.
Tensor reordered(const Tensor& tensor, size_t axis, std::span<const int64_t> order) {
  int64_t outer = 1, inner = 1;
  for (size_t d = 0; d < tensor.shape().size(); ++d) {
    if (d != axis) (d < axis ? outer : inner) *= tensor.shape()[d];
  }
  const size_t width = tensor.byte_size() / static_cast<size_t>(tensor.count()) * static_cast<size_t>(inner);
  Tensor result(tensor.type(), tensor.shape());
  std::byte* out = result.mutate().data();
  for (int64_t o = 0; o < outer; ++o) {
    const std::byte* row = tensor.bytes().data() + static_cast<size_t>(o) * order.size() * width;
    for (const int64_t from : order) {
      std::memcpy(out, row + static_cast<size_t>(from) * width, width);
      out += width;
    }
  }
  return result;
}

}  // namespace

std::vector<HiddenAxis> find_hidden_axes(std::span<const Layer> layers) {
  std::map<std::string, size_t> by_output;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (is_plain_product(layers[i])) by_output[layers[i].output] = i;
  }
  std::vector<HiddenAxis> result;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!is_plain_product(layers[i])) continue;
    if (auto axis = follow(layers, i, by_output)) result.push_back(std::move(*axis));
  }
  return result;
}

void reorder_units(std::span<const Layer> layers, const HiddenAxis& axis,
                   std::span<const int64_t> order) {
  const Layer& first = layers[axis.first];
  const Layer& second = layers[axis.second];
  const auto replace = [&](const NodeRef& node, int input, size_t dimension) {
    const Tensor now = *node.input(input).constant();
    node.graph().set_constant_input(node, input, reordered(now, dimension, order));
  };
  replace(first.node, 1, static_cast<size_t>(first.output_axis));
  replace(second.node, 1, static_cast<size_t>(second.input_axis));
  if (first.bias && element_count(first.bias.constant_shape()) == axis.units) {
    replace(first.node, first.bias_input, first.bias.constant_shape().size() - 1);
  }
  for (const Use& use : axis.vectors) {
    replace(use.node, use.input, use.node.input(use.input).constant_shape().size() - 1);
  }
}

}  // namespace mcompress::analysis
