// SPDX-License-Identifier: Apache-2.0
#include "quantization/dynamic_layers.h"

#include <algorithm>
#include <utility>

#include "forms/dynamic.h"
#include "forms/nodes.h"
#include "mcompress/error.h"
#include "numerics/pair_quantize.h"

namespace mcompress::quantization {
namespace {

using forms::insert_op;

constexpr int kInputWeight = 1;
constexpr int kRecurrentWeight = 2;
constexpr int kPeepholes = 7;

std::string lstm_obstacle(const Layer& layer) {
  if (!layer.node.is("LSTM")) {
    return "the runtime has no integer " + layer.node.op() +
           "; quantize-weights stores its weights in few bits";
  }
  if (layer.node.attribute("layout", int64_t{0}) != 0) return "the integer LSTM has no layout 1";
  for (const int input : {kInputWeight, kRecurrentWeight}) {
    const ValueRef weight = layer.node.input(input);
    if (!weight || !weight.is_constant()) return "its other weight is no plain constant";
    if (weight.constant_type() != DataType::kFloat) return "its other weight is not float";
  }
  return "";
}

/// [inputs, outputs] whatever transB says.
std::vector<float> as_columns(std::span<const float> from, int64_t outputs, int64_t inputs) {
  std::vector<float> to(from.size());
  for (int64_t n = 0; n < outputs; ++n) {
    for (int64_t k = 0; k < inputs; ++k) {
      to[static_cast<size_t>(k * outputs + n)] = from[static_cast<size_t>(n * inputs + k)];
    }
  }
  return to;
}

Tensor scaled_by(const Tensor& values, float factor) {
  Tensor result = values;
  for (float& v : result.mutate_as<float>()) v *= factor;
  return result;
}

/// What is added to the product; [1, outputs] becomes [outputs], which is what fuses.
ValueRef bias_of(const Layer& layer) {
  Graph& graph = layer.node.graph();
  const ValueRef bias = layer.node.input(2);
  const float beta = layer.node.attribute("beta", 1.0F);
  if (!bias || beta == 0.0F) return {};
  if (!bias.is_constant()) {
    if (beta == 1.0F) return bias;
    const ValueRef factor = graph.add_constant("beta", Tensor::scalar(beta));
    return insert_op(graph, "Mul", {bias, factor}, layer.node);
  }
  const bool is_row = bias.constant_shape() == Shape{1, layer.outputs};
  if (beta == 1.0F && !is_row) return bias;
  Tensor value = scaled_by(*bias.constant(), beta);
  if (is_row) value = value.reshaped({layer.outputs});
  return graph.add_constant(bias.name(), value);
}

ValueRef input_of(const Layer& layer) {
  const ValueRef x = layer.node.input(0);
  if (layer.node.attribute("transA", int64_t{0}) == 0) return x;
  const std::vector<int64_t> turned{1, 0};
  return insert_op(layer.node.graph(), "Transpose", {x}, layer.node, {{"perm", turned}});
}

}  // namespace

std::string dynamic_obstacle(const Layer& layer) {
  switch (layer.kind) {
    case LayerKind::kMatMul:
    case LayerKind::kGemm:
      break;
    case LayerKind::kConv:
    case LayerKind::kConvTranspose:
      return "integer convolutions with a dynamic range are slower than float";
    case LayerKind::kRecurrent:
      return lstm_obstacle(layer);
    default:
      return "no dynamic form for " + std::string(layer_kind_name(layer.kind)) + " layers";
  }
  if (layer.weight_input != 1) return "its weight is the left operand";
  return layer.weight_shape.size() == 2 ? "" : "its weight is a stack of matrices";
}

DynamicConverter::DynamicConverter(std::span<const Layer> layers, const DynamicOptions& options)
    : options_(options), editor_(layers), layers_(layers.begin(), layers.end()) {}

DynamicConverter::Outcome DynamicConverter::convert(const Layer& layer) {
  if (std::string why = dynamic_obstacle(layer); !why.empty()) throw Unsupported(std::move(why));
  Outcome outcome;
  if (layer.kind == LayerKind::kRecurrent) {
    convert_recurrent(layer, outcome);
  } else {
    convert_product(layer, outcome);
  }
  return outcome;
}

void DynamicConverter::finish() {
  for (const auto& [key, stored] : stored_) analysis::WeightEditor::erase_if_unread(stored.scales);
}

std::vector<float> DynamicConverter::read(const Layer& layer) const {
  const Tensor weight = editor_.read(layer);
  if (weight.type() != DataType::kFloat) {
    throw Unsupported("its weight is " + data_type_name(weight.type()) + ", not float");
  }
  const std::span<const float> values = weight.as<float>();
  if (numerics::min_max(values).non_finite > 0) {
    throw Unsupported("its weight '" + layer.weight.name() + "' holds NaN or infinite values");
  }
  return {values.begin(), values.end()};
}

numerics::QuantizedWeights DynamicConverter::rounded(std::span<const float> columns, int64_t inputs,
                                                     int64_t outputs, Outcome& outcome) const {
  const numerics::ChannelLayout layout = options_.per_channel
                                             ? numerics::ChannelLayout{inputs, outputs, 1}
                                             : numerics::ChannelLayout{1, 1, inputs * outputs};
  numerics::WeightQuantOptions options;
  options.clip = options_.clip;
  outcome.weights += inputs * outputs;
  if (!options_.pair_rule) return numerics::quantize_weights(columns, layout, options);
  int64_t moved = 0;
  const auto reduction = numerics::ReductionLayout::matrix(inputs, outputs);
  auto result = numerics::quantize_in_pairs(columns, layout, reduction, options, moved);
  outcome.moved += moved;
  return result;
}

const DynamicConverter::Stored& DynamicConverter::stored(const Layer& layer, Outcome& outcome) {
  const auto key = std::make_pair(layer.weight.name(), layer.output_axis);
  if (const auto known = stored_.find(key); known != stored_.end()) return known->second;
  std::vector<float> values = read(layer);
  if (layer.output_axis == 0) values = as_columns(values, layer.outputs, layer.inputs);
  const auto quantized = rounded(values, layer.inputs, layer.outputs, outcome);
  Graph& scope = layer.weight.scope();
  const std::string& name = layer.weight.name();
  const Shape scales = options_.per_channel ? Shape{layer.outputs} : Shape{};
  const Stored stored{
      scope.add_constant(name + "_q", Tensor::from({layer.inputs, layer.outputs}, quantized.values)),
      scope.add_constant(name + "_s", Tensor::from(scales, quantized.scales))};
  return stored_.emplace(key, stored).first->second;
}

void DynamicConverter::convert_product(const Layer& layer, Outcome& outcome) {
  const Stored& weight = stored(layer, outcome);
  const NodeRef node = layer.node;
  Graph& graph = node.graph();
  ValueRef scales = weight.scales;
  const float alpha = layer.kind == LayerKind::kGemm ? node.attribute("alpha", 1.0F) : 1.0F;
  if (alpha != 1.0F) {
    scales = graph.add_constant(scales.name(), scaled_by(*scales.constant(), alpha));
  }
  const ValueRef old_bias = node.input(2);
  const ValueRef y = forms::emit_dynamic(graph, input_of(layer), weight.codes, scales,
                                         bias_of(layer), node);
  graph.supersede(node.output(0), y);
  graph.erase(node);
  analysis::WeightEditor::erase_if_unread(layer.weight);
  if (old_bias && old_bias.is_constant()) analysis::WeightEditor::erase_if_unread(old_bias);
}

DynamicConverter::Gates DynamicConverter::gates(const Layer& layer, Outcome& outcome) const {
  const int64_t directions = layer.weight_shape[0];
  const int64_t outputs = layer.weight_shape[1], inputs = layer.weight_shape[2];
  const std::vector<float> values = read(layer);
  std::vector<int8_t> codes;
  std::vector<float> scales;
  const auto size = static_cast<size_t>(outputs * inputs);
  for (int64_t d = 0; d < directions; ++d) {
    const auto part = std::span(values).subspan(static_cast<size_t>(d) * size, size);
    const auto quantized = rounded(as_columns(part, outputs, inputs), inputs, outputs, outcome);
    codes.insert(codes.end(), quantized.values.begin(), quantized.values.end());
    scales.insert(scales.end(), quantized.scales.begin(), quantized.scales.end());
  }
  const Shape shape = options_.per_channel ? Shape{directions, outputs} : Shape{directions};
  return {Tensor::from({directions, inputs, outputs}, codes), Tensor::from(shape, scales)};
}

void DynamicConverter::convert_recurrent(const Layer& layer, Outcome& outcome) {
  std::map<int, Layer> weights;
  for (const Layer& other : layers_) {
    if (other.node == layer.node) weights[other.weight_input] = other;
  }
  if (weights.size() != 2) throw Unsupported("its other weight stays in float");
  const NodeRef node = layer.node;
  Graph& graph = node.graph();
  const Gates input = gates(weights.at(kInputWeight), outcome);
  const Gates recurrent = gates(weights.at(kRecurrentWeight), outcome);
  graph.model().import_domain("com.microsoft", 1);
  graph.set_op(node, "DynamicQuantizeLSTM", "com.microsoft");
  graph.remove_attribute(node, "layout");
  int parameter = kPeepholes + 1;
  for (const auto& [at, gate] : {std::pair(kInputWeight, &input), std::pair(kRecurrentWeight, &recurrent)}) {
    const ValueRef old = weights.at(at).weight;
    const std::string name = old.name();
    graph.set_input(node, at, graph.add_constant(name + "_q", gate->codes));
    graph.set_input(node, parameter++, graph.add_constant(name + "_s", gate->scales));
    const Tensor zeros(DataType::kInt8, gate->scales.shape());
    graph.set_input(node, parameter++, graph.add_constant(name + "_z", zeros));
    analysis::WeightEditor::erase_if_unread(old);
  }
}

}  // namespace mcompress::quantization
