// SPDX-License-Identifier: Apache-2.0
#include "analysis/factor_chain.h"

#include <algorithm>

#include <fmt/format.h>

#include "numerics/linear_algebra.h"

namespace mcompress::analysis {
namespace {

using numerics::Factor;

bool is_transposed_product(const Layer& layer) {
  return layer.kind != LayerKind::kEmbedding && layer.output_axis == 0;
}

/// Strides, dilations, pads and padding mode of a Conv for the axes that a factor takes over.
std::vector<Attribute> window_attributes(const NodeRef& node, const Factor& factor) {
  std::vector<Attribute> attributes{{"kernel_shape", factor.window}};
  const size_t axes = factor.window.size();
  for (const char* name : {"strides", "dilations", "pads"}) {
    if (!node.has_attribute(name)) continue;
    const auto given = node.attribute_ints(name);
    std::vector<int64_t> values(given.size(), std::string_view(name) == "pads" ? 0 : 1);
    for (size_t i = 0; i < given.size(); ++i) {
      if (factor.axes[i % axes]) values[i] = given[i];
    }
    attributes.push_back({name, values});
  }
  const std::string padding = node.attribute("auto_pad", std::string_view("NOTSET"));
  if (padding != "NOTSET") attributes.push_back({"auto_pad", padding});
  return attributes;
}

Tensor tensor_of(const Layer& layer, const Factor& factor) {
  Shape shape{factor.outputs, factor.channels};
  if (layer.kind == LayerKind::kConv) {
    shape.insert(shape.end(), factor.window.begin(), factor.window.end());
    return Tensor::from(shape, factor.weight);
  }
  return Tensor::from(shape, factor.weight);
}

/// [outputs, channels] -> [channels, outputs].
Tensor turned(const Factor& factor) {
  return Tensor::from({factor.channels, factor.outputs},
                      numerics::transposed(factor.weight, factor.outputs, factor.channels));
}

bool can_be_factor(const Layer& layer) {
  switch (layer.kind) {
    case LayerKind::kConv:
      return layer.groups == 1;
    case LayerKind::kMatMul:
    case LayerKind::kGemm:
    case LayerKind::kEmbedding:
      return layer.weight_shape.size() == 2;
    default:
      return false;
  }
}

/// `next` reads what `layer` computes and nothing else does.
bool follows(const Layer& layer, const Layer& next) {
  if (!can_be_factor(layer) || !can_be_factor(next) || layer.bias) return false;
  const bool convolves = layer.kind == LayerKind::kConv;
  if (convolves != (next.kind == LayerKind::kConv)) return false;
  if (next.kind == LayerKind::kEmbedding) return false;
  if (layer.kind == LayerKind::kEmbedding && next.weight_input != 1) return false;
  if (layer.kind != LayerKind::kEmbedding && layer.weight_input != next.weight_input) return false;
  const ValueRef between = layer.node.output();
  if (!(next.node.input(1 - next.weight_input) == between) || between.is_graph_output())
    return false;
  const numerics::KernelShape first = kernel_shape(layer), second = kernel_shape(next);
  return first.outputs == second.channels && first.outputs < first.channels * first.taps() &&
         first.outputs < second.outputs * second.taps() && between.uses().size() == 1;
}

}  // namespace

std::vector<FactorChain> find_factor_chains(const std::vector<Layer>& layers) {
  std::vector<FactorChain> chains;
  std::vector<bool> taken(layers.size(), false);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (taken[i]) continue;
    FactorChain chain{layers[i]};
    for (size_t j = i + 1; j < layers.size(); ++j) {
      if (taken[j] || !follows(chain.back(), layers[j])) continue;
      chain.push_back(layers[j]);
      taken[j] = true;
    }
    if (chain.size() > 1) chains.push_back(std::move(chain));
  }
  return chains;
}

int64_t product_parameters(const FactorChain& chain) {
  int64_t count = kernel_shape(chain.front()).channels * kernel_shape(chain.back()).outputs;
  for (const Layer& layer : chain) count *= kernel_shape(layer).taps();
  return count;
}

int64_t factor_parameters(const FactorChain& chain) {
  int64_t count = 0;
  for (const Layer& layer : chain) count += layer.weight_count();
  return count;
}

std::string factor_obstacle(const Layer& layer, int64_t opset) {
  switch (layer.kind) {
    case LayerKind::kConv:
      return layer.groups == 1 ? "" : fmt::format("it has {} groups", layer.groups);
    case LayerKind::kMatMul:
      return layer.weight_shape.size() == 2 ? "" : "its weight is a stack of matrices";
    case LayerKind::kGemm:
      if (layer.weight_input != 1) return "its weight is the left operand of a Gemm";
      if (layer.node.attribute("transA", int64_t{0}) != 0 && opset < 11) {
        return "a transposed input without bias needs opset 11";
      }
      return "";
    case LayerKind::kEmbedding:
      return "";
    default:
      return fmt::format("no factors for {} layers", layer_kind_name(layer.kind));
  }
}

numerics::KernelShape kernel_shape(const Layer& layer) {
  if (layer.kind != LayerKind::kConv) {
    const Shape& shape = layer.weight_shape;
    return {shape[static_cast<size_t>(layer.output_axis)],
            shape[static_cast<size_t>(layer.output_axis == 0 ? 1 : 0)],
            {}};
  }
  return {layer.outputs, layer.inputs, {layer.weight_shape.begin() + 2, layer.weight_shape.end()}};
}

std::vector<float> to_kernel(const Layer& layer, std::span<const float> weight) {
  if (layer.output_axis == 0) return {weight.begin(), weight.end()};
  return numerics::transposed(weight, layer.weight_shape[0], layer.weight_shape[1]);
}

std::vector<float> from_kernel(const Layer& layer, std::span<const float> kernel) {
  if (layer.output_axis == 0) return {kernel.begin(), kernel.end()};
  return numerics::transposed(kernel, layer.weight_shape[1], layer.weight_shape[0]);
}

Layer layer_of_factor(const Layer& layer, const Factor& factor) {
  Layer result = layer;
  result.outputs = factor.outputs;
  result.inputs = factor.channels;
  result.kernel = 1;
  result.weight_shape = {factor.outputs, factor.channels};
  for (const int64_t size : factor.window) {
    result.kernel *= size;
    result.weight_shape.push_back(size);
  }
  return result;
}

std::vector<ValueRef> store_factors(const Layer& layer, std::span<const Factor> factors,
                                    DataType type) {
  Graph& scope = layer.weight.scope();
  std::vector<ValueRef> constants;
  for (size_t i = 0; i < factors.size(); ++i) {
    const bool last = i + 1 == factors.size();
    // A product reads [inputs, outputs], but for a Gemm that transposes and a weight on the left.
    const bool as_kernel = layer.kind == LayerKind::kConv ||
                           (layer.kind == LayerKind::kMatMul && layer.weight_input == 0) ||
                           (last && is_transposed_product(layer));
    const Tensor value = as_kernel ? tensor_of(layer, factors[i]) : turned(factors[i]);
    constants.push_back(
        scope.add_constant(fmt::format("{}_{}", layer.weight.name(), i + 1), value.cast(type)));
  }
  return constants;
}

void put_factors(const Layer& layer, std::span<const Factor> factors,
                 std::span<const ValueRef> constants) {
  const NodeRef node = layer.node;
  Graph& graph = node.graph();
  const int data_input = 1 - layer.weight_input;
  ValueRef x = node.input(data_input);
  for (size_t i = 0; i + 1 < factors.size(); ++i) {
    NodeSpec spec{.op = "MatMul", .inputs = {x, constants[i]}};
    if (layer.kind == LayerKind::kConv) {
      spec.op = "Conv";
      spec.attributes = window_attributes(node, factors[i]);
    } else if (layer.kind == LayerKind::kEmbedding) {
      spec.op = "Gather";
      spec.inputs = {constants[i], x};
    } else if (layer.kind == LayerKind::kGemm && node.attribute("transA", int64_t{0}) != 0) {
      spec.op = "Gemm";
      spec.attributes = {{"transA", int64_t{1}}};
    } else if (layer.weight_input == 0) {
      spec.inputs = {constants[i], x};
    }
    x = graph.insert(std::move(spec), node).output();
  }
  if (layer.kind == LayerKind::kConv) {
    for (Attribute& attribute : window_attributes(node, factors.back())) {
      graph.set_attribute(node, std::move(attribute));
    }
  }
  if (node.has_attribute("transA")) graph.remove_attribute(node, "transA");
  if (layer.kind == LayerKind::kEmbedding) {
    if (node.has_attribute("axis")) graph.remove_attribute(node, "axis");
    graph.set_op(node, "MatMul");
    graph.set_input(node, 0, x);
    graph.set_input(node, 1, constants.back());
    return;
  }
  graph.set_input(node, data_input, x);
  graph.set_input(node, layer.weight_input, constants.back());
}

}  // namespace mcompress::analysis
