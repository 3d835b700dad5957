// SPDX-License-Identifier: Apache-2.0
#include "quantization/bias_correction.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "analysis/layer_matrix.h"
#include "analysis/patterns.h"
#include "forms/activation.h"
#include "forms/quantized_weight.h"

namespace mcompress::quantization {
namespace {

using analysis::constant_operand;

/// Integers of a bias and what one of them is worth in each channel.
struct IntegerBias {
  ValueRef codes_value;
  std::vector<int64_t> codes;
  std::vector<float> scales;
};

std::optional<IntegerBias> integer_bias(const ValueRef& bias) {
  const NodeRef node = bias ? bias.producer() : NodeRef{};
  if (!node || !node.is("DequantizeLinear")) return std::nullopt;
  const ValueRef codes = node.input(0), scales = node.input(1);
  if (!codes || codes.constant_type() != DataType::kInt32 || !scales || !scales.is_constant()) {
    return std::nullopt;
  }
  IntegerBias result{codes, codes.constant()->to_int64(), scales.constant()->to_float()};
  result.scales.resize(result.codes.size(), result.scales.front());
  return result;
}

/// Scale of an 8-bit input.
std::optional<float> input_scale(const Layer& layer) {
  const ValueRef input = layer.node.input(1 - layer.weight_input);
  const NodeRef node = input ? input.producer() : NodeRef{};
  if (!node || !node.is("DequantizeLinear")) return std::nullopt;
  const ValueRef scale = node.input(1);
  if (!scale || !scale.is_constant() || element_count(scale.constant_shape()) != 1) {
    return std::nullopt;
  }
  return scale.constant()->to_float().front();
}

/// Scales of an int32 bias of a layer that runs in 8 bits; empty for one that runs in float.
std::vector<float> bias_scales(const Layer& layer) {
  const auto of_input = input_scale(layer);
  const auto weight = forms::quantized_weight(layer.weight);
  if (!of_input || !weight || weight->block > 0) return {};
  std::vector<float> scales = weight->scales.to_float();
  if (scales.size() == 1) scales.resize(static_cast<size_t>(layer.outputs), scales.front());
  if (scales.size() != static_cast<size_t>(layer.outputs)) return {};
  for (float& scale : scales) scale *= *of_input;
  return scales;
}

int32_t added(int64_t code, float shift, float scale) {
  const double sum = static_cast<double>(code) + std::nearbyint(double{shift} / double{scale});
  return static_cast<int32_t>(std::clamp(sum, double{std::numeric_limits<int32_t>::min()},
                                         double{std::numeric_limits<int32_t>::max()}));
}

/// Adds to int32 codes; false where every change rounds to nothing.
bool shift_codes(const Layer& layer, const ValueRef& old, const std::vector<int64_t>& codes,
                 const std::vector<float>& scales, std::span<const float> shift) {
  std::vector<int32_t> moved;
  bool changed = false;
  for (size_t i = 0; i < shift.size(); ++i) {
    moved.push_back(added(codes[i], shift[i], scales[i]));
    changed |= moved.back() != codes[i];
  }
  if (!changed) return false;
  const Tensor tensor = Tensor::from<int32_t>({layer.outputs}, moved);
  Graph& graph = layer.node.graph();
  const bool own = old && old.uses().size() == 1 &&
                   old.uses()[0].node.output(0).uses().size() == 1 && !old.is_graph_output();
  if (own) {
    graph.set_constant(old, tensor);
    return true;
  }
  const ValueRef bias = forms::emit_bias(graph, layer.output + "_bias", tensor,
                                         Tensor::from<float>({layer.outputs}, scales), layer.node);
  graph.set_input(layer.node, layer.bias_input, bias);
  return true;
}

/// One entry per output of a constant that broadcasts along the channels, or nothing.
std::optional<std::vector<double>> per_output(const ValueRef& constant, int64_t outputs,
                                              int trailing) {
  const auto values = analysis::read_floats(constant);
  if (!values || values->empty()) return std::nullopt;
  const auto count = static_cast<size_t>(outputs);
  if (values->size() == 1) return std::vector<double>(count, values->front());
  const Shape shape = constant.constant_shape();
  const auto axis = static_cast<int64_t>(shape.size()) - 1 - trailing;
  if (values->size() != count || axis < 0 || shape[static_cast<size_t>(axis)] != outputs) {
    return std::nullopt;
  }
  return values;
}

NodeRef bias_add(const Layer& layer) {
  const NodeRef add = analysis::sole_consumer(layer.node.output(0));
  if (!add || !add.is("Add")) return {};
  const auto operand = constant_operand(add);
  return operand && per_output(operand->constant, layer.outputs, 0) ? add : NodeRef{};
}

/// Adds to a bias that is stored as numbers; false where the sums round to what was there.
bool shift_constant(const NodeRef& node, int input, int64_t outputs, std::span<const float> shift) {
  const ValueRef bias = node.input(input);
  std::vector<double> values = *per_output(bias, outputs, 0);
  const Tensor old = analysis::make_floats(bias.constant_type(), {outputs}, values);
  for (size_t i = 0; i < values.size(); ++i) values[i] += shift[i];
  const Tensor sums = analysis::make_floats(bias.constant_type(), {outputs}, values);
  if (std::ranges::equal(sums.bytes(), old.bytes())) return false;
  node.graph().set_constant_input(node, input, sums);
  return true;
}

bool shift_product(const Layer& layer, std::span<const float> shift) {
  Graph& graph = layer.node.graph();
  if (const NodeRef add = bias_add(layer)) {
    return shift_constant(add, constant_operand(add)->constant_input, layer.outputs, shift);
  }
  const ValueRef constant =
      graph.add_constant(layer.output + "_bias", Tensor::from<float>({layer.outputs}, shift));
  const ValueRef output = layer.node.output(0);
  const std::vector<Use> readers = output.uses();
  const ValueRef sum = graph.insert({.op = "Add", .inputs = {output, constant}}).output();
  for (const Use& use : readers) use.node.graph().set_input(use.node, use.input, sum);
  return true;
}

}  // namespace

std::vector<float> mean_output_shift(const Layer& layer, std::span<const float> weight,
                                     std::span<const float> changed,
                                     std::span<const LayerMoments> moments) {
  if (moments.empty() || layer.kind == LayerKind::kConvTranspose ||
      !analysis::LayerMatrix::obstacle(layer).empty()) {
    return {};
  }
  const analysis::LayerMatrix before(layer, weight), after(layer, changed);
  const auto outputs = static_cast<size_t>(before.outputs());
  std::vector<double> shift(static_cast<size_t>(before.groups()) * outputs, 0.0);
  // Where a group has several, each is of the inputs that follow those of the one before.
  const size_t parts = moments.size() / static_cast<size_t>(before.groups());
  for (size_t part = 0; part < moments.size(); ++part) {
    const size_t g = part / parts;
    const auto old_weights = before.group(static_cast<int64_t>(g));
    const auto new_weights = after.group(static_cast<int64_t>(g));
    const auto& mean = moments[part].mean;
    const size_t first = part % parts * mean.size();
    double* const out = shift.data() + g * outputs;
    for (size_t k = 0; k < mean.size(); ++k) {
      for (size_t o = 0; o < outputs; ++o) {
        const size_t at = (first + k) * outputs + o;
        out[o] -= (static_cast<double>(new_weights[at]) - old_weights[at]) * mean[k];
      }
    }
  }
  return {shift.begin(), shift.end()};
}

std::vector<float> mean_correction(const SampleMeans& wanted, const SampleMeans& found) {
  if (wanted.empty()) return {};
  const auto samples = static_cast<double>(wanted.size());
  std::vector<float> result(wanted[0].size(), 0.0F);
  for (size_t c = 0; c < result.size(); ++c) {
    double sum = 0, squares = 0;
    for (size_t s = 0; s < wanted.size(); ++s) {
      const double difference = wanted[s][c] - found[s][c];
      sum += difference;
      squares += difference * difference;
    }
    const double mean = sum / samples;
    const double variance = std::max(0.0, squares / samples - mean * mean);
    const double error = samples > 1 ? variance / (samples - 1) : mean * mean;
    const double total = mean * mean + error;
    if (total > 0 && std::isfinite(total)) {
      result[c] = static_cast<float>(mean * (mean * mean / total));
    }
  }
  return result;
}

int output_channel_axis(const Layer& layer, int rank) {
  const bool spatial = layer.kind == LayerKind::kConv || layer.kind == LayerKind::kConvTranspose;
  if (spatial) return 1;
  return layer.weight_input == 1 ? rank - 1 : rank - 2;
}

std::string shift_obstacle(const Layer& layer) {
  switch (layer.kind) {
    case LayerKind::kConv:
    case LayerKind::kConvTranspose:
    case LayerKind::kGemm: {
      if (layer.weight_input != 1) return "its weight is the left operand";
      if (layer.node.attribute("beta", 1.0F) != 1.0F) return "its bias has a factor";
      const ValueRef bias = layer.node.input(layer.bias_input);
      if (!bias || integer_bias(bias)) return "";
      return per_output(bias, layer.outputs, 0) ? "" : "its bias is no constant vector";
    }
    case LayerKind::kMatMul: {
      if (layer.weight_input != 1 || layer.weight_shape.size() != 2) {
        return "its weight is no matrix on the right";
      }
      if (bias_add(layer)) return "";
      const ValueRef output = layer.node.output(0);
      if (output.is_graph_output()) return "its output is one of the model, without a bias";
      for (const Use& use : output.uses()) {
        if (use.node.is("QuantizeLinear")) return "its output goes to 8 bits without a bias";
      }
      return "";
    }
    default:
      return "it has no bias of its own";
  }
}

bool shift_output(const Layer& layer, std::span<const float> shift) {
  const bool nothing = std::all_of(shift.begin(), shift.end(), [](float s) { return s == 0.0F; });
  if (nothing) return false;
  if (layer.kind == LayerKind::kMatMul) return shift_product(layer, shift);
  Graph& graph = layer.node.graph();
  const ValueRef bias = layer.node.input(layer.bias_input);
  if (const auto integers = integer_bias(bias)) {
    return shift_codes(layer, integers->codes_value, integers->codes, integers->scales, shift);
  }
  const auto count = static_cast<size_t>(layer.outputs);
  if (!bias) {
    if (const auto scales = bias_scales(layer); !scales.empty()) {
      return shift_codes(layer, {}, std::vector<int64_t>(count, 0), scales, shift);
    }
    graph.set_input(
        layer.node, layer.bias_input,
        graph.add_constant(layer.output + "_bias", Tensor::from<float>({layer.outputs}, shift)));
    return true;
  }
  return shift_constant(layer.node, layer.bias_input, layer.outputs, shift);
}

}  // namespace mcompress::quantization
