// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "forms/stored_form.h"
#include "mcompress/layer.h"

namespace mcompress {
namespace {

constexpr int64_t kDirections = 0;

int64_t kernel_size(const Shape& weight) {
  int64_t product = 1;
  for (size_t axis = 2; axis < weight.size(); ++axis) product *= weight[axis];
  return product;
}

/// Fills what the weight's place among the inputs tells; empty when that input stands for no float
/// constant.
std::optional<Layer> with_weight(const NodeRef& node, LayerKind kind, int input) {
  const ValueRef weight = node.input(input);
  if (!weight) return std::nullopt;
  Layer layer;
  if (weight.is_constant()) {
    if (!is_floating(weight.constant_type())) return std::nullopt;
    layer.weight_shape = weight.constant_shape();
  } else {
    const auto form = forms::recognise(weight);
    if (!form || !is_floating(form->type)) return std::nullopt;
    layer.weight_shape = form->shape;
    layer.weight_is_plain = false;
  }
  layer.node = node;
  layer.kind = kind;
  layer.name = node.label();
  layer.output = node.output_name(0);
  layer.weight_input = input;
  layer.weight = weight;
  layer.shared_weight = weight.uses().size() > 1 || weight.is_graph_output();
  return layer;
}

void set_bias(Layer& layer, int input) {
  layer.bias_input = input;
  const ValueRef bias = layer.node.input(input);
  if (bias && bias.is_constant()) layer.bias = bias;
}

std::optional<Layer> convolution(const NodeRef& node, bool transposed) {
  auto layer = with_weight(node, transposed ? LayerKind::kConvTranspose : LayerKind::kConv, 1);
  if (!layer || layer->weight_shape.size() < 3) return std::nullopt;
  const Shape& shape = layer->weight_shape;
  layer->groups = node.attribute("group", int64_t{1});
  if (layer->groups < 1) return std::nullopt;
  layer->output_axis = transposed ? 1 : 0;
  layer->input_axis = transposed ? 0 : 1;
  layer->outputs = transposed ? shape[1] * layer->groups : shape[0];
  layer->inputs = transposed ? shape[0] : shape[1] * layer->groups;
  if ((transposed ? layer->inputs : layer->outputs) % layer->groups != 0) return std::nullopt;
  layer->kernel = kernel_size(shape);
  set_bias(*layer, 2);
  return layer;
}

void set_axes(Layer& layer, int output_axis, int input_axis) {
  layer.output_axis = output_axis;
  layer.input_axis = input_axis;
  layer.outputs = layer.weight_shape[static_cast<size_t>(output_axis)];
  layer.inputs = layer.weight_shape[static_cast<size_t>(input_axis)];
}

std::optional<Layer> gemm(const NodeRef& node) {
  for (const int input : {1, 0}) {
    auto layer = with_weight(node, LayerKind::kGemm, input);
    if (!layer || layer->weight_shape.size() != 2) continue;
    const bool transposed = node.attribute(input == 1 ? "transB" : "transA", int64_t{0}) != 0;
    const int outer = (input == 1) != transposed ? 1 : 0;
    set_axes(*layer, outer, 1 - outer);
    set_bias(*layer, 2);
    return layer;
  }
  return std::nullopt;
}

std::optional<Layer> matrix_product(const NodeRef& node) {
  for (const int input : {1, 0}) {
    auto layer = with_weight(node, LayerKind::kMatMul, input);
    if (!layer || layer->weight_shape.size() < 2) continue;
    const int rank = static_cast<int>(layer->weight_shape.size());
    if (input == 1) {
      set_axes(*layer, rank - 1, rank - 2);
    } else {
      set_axes(*layer, rank - 2, rank - 1);
    }
    return layer;
  }
  return std::nullopt;
}

std::optional<Layer> embedding(const NodeRef& node) {
  auto layer = with_weight(node, LayerKind::kEmbedding, 0);
  const ValueRef indices = node.input(1);
  if (!layer || layer->weight_shape.size() != 2 || !indices || indices.is_constant()) {
    return std::nullopt;
  }
  const int64_t axis = node.attribute("axis", int64_t{0});
  if (axis != 0 && axis != -2) return std::nullopt;
  if (layer->weight_shape[1] == 1) return std::nullopt;  // scales of the rows of a quantized table
  set_axes(*layer, 1, 0);
  return layer;
}

/// The input and the recurrent weight of LSTM, GRU and RNN: [directions, gates * hidden, inputs].
void append_recurrent(const NodeRef& node, std::vector<Layer>& layers) {
  for (const int input : {1, 2}) {
    auto layer = with_weight(node, LayerKind::kRecurrent, input);
    if (!layer || layer->weight_shape.size() != 3) continue;
    set_axes(*layer, 1, 2);
    layer->name += input == 1 ? "/W" : "/R";
    layer->groups = layer->weight_shape[kDirections];
    set_bias(*layer, 3);
    layers.push_back(std::move(*layer));
  }
}

void append_layers(const NodeRef& node, std::vector<Layer>& layers) {
  if (!node.domain().empty() || node.output_count() == 0) return;
  std::optional<Layer> layer;
  const std::string& op = node.op();
  if (op == "Conv" || op == "ConvTranspose") {
    layer = convolution(node, op == "ConvTranspose");
  } else if (op == "Gemm") {
    layer = gemm(node);
  } else if (op == "MatMul") {
    layer = matrix_product(node);
  } else if (op == "Gather") {
    layer = embedding(node);
  } else if (op == "LSTM" || op == "GRU" || op == "RNN") {
    append_recurrent(node, layers);
  }
  if (layer && layer->outputs > 0 && layer->inputs > 0) layers.push_back(std::move(*layer));
}

}  // namespace

std::string_view layer_kind_name(LayerKind kind) {
  switch (kind) {
    case LayerKind::kConv:
      return "conv";
    case LayerKind::kConvTranspose:
      return "conv-transpose";
    case LayerKind::kGemm:
      return "gemm";
    case LayerKind::kMatMul:
      return "matmul";
    case LayerKind::kEmbedding:
      return "embedding";
    case LayerKind::kRecurrent:
      return "recurrent";
  }
  return "unknown";
}

std::vector<Layer> find_layers(Model& model) {
  std::vector<Layer> layers;
  for (Graph* graph : model.graphs()) {
    for (const NodeRef node : graph->nodes()) append_layers(node, layers);
  }
  return layers;
}

}  // namespace mcompress
