// SPDX-License-Identifier: Apache-2.0
#include "quantization/emit.h"

#include <algorithm>
#include <limits>

#include "analysis/weight_editor.h"
#include "forms/activation.h"
#include "numerics/quantize.h"
#include "numerics/ternary.h"
#include "numerics/weight_quantize.h"
#include "quantization/rounding_grid.h"
#include "quantization/bias_correction.h"

namespace mcompress::quantization {
namespace {

/// Writes the units; values and their Q are made on demand, each once.
class Emitter {
 public:
  Emitter(Model& model, const ValueParams& params) : graph_(model.graph()), params_(params) {}

  void emit(const Unit& unit, const LayerWeight* weight) {
    for (int i = 0; i < static_cast<int>(unit.inputs.size()); ++i) {
      graph_.set_input(unit.node, i, dequantized(unit.inputs[static_cast<size_t>(i)]));
    }
    if (weight != nullptr) emit_weight(unit, *weight);
    if (!leaves_int8(unit)) return;
    // Everybody reads the integers of the output: the kernel leaves nothing else.
    const ValueRef output = graph_.find(unit.output);
    const auto readers = output.uses();
    const ValueRef replacement = dequantized(unit.output);
    for (const Use& use : readers) {
      const bool is_quantizer = use.node.is("QuantizeLinear") && use.input == 0;
      if (!is_quantizer) use.node.graph().set_input(use.node, use.input, replacement);
    }
  }

 private:
  const ValueRef& dequantized(const std::string& name) {
    const auto it = dequantized_.find(name);
    if (it != dequantized_.end()) return it->second;
    const auto& params = params_.at(name);
    const auto codes =
        forms::emit_quantize(graph_, name, graph_.find(name), params.scale,
                             Tensor::scalar(static_cast<uint8_t>(params.zero_point)));
    return dequantized_[name] = forms::emit_dequantize(graph_, codes);
  }

  void emit_weight(const Unit& unit, const LayerWeight& weight) {
    const Layer& layer = unit.layer;
    const ValueRef old_weight = layer.node.input(layer.weight_input);
    forms::QuantizedWeight stored = weight.weight;
    // A Gemm becomes a QGemm only where the zero points are written out (measured, 1.30 and 1.32).
    if (layer.kind == LayerKind::kGemm)
      stored.zero_points = Tensor(DataType::kInt8, stored.scales.shape());
    graph_.set_input(layer.node, layer.weight_input,
                     forms::emit_dequantize(graph_, old_weight.name(), stored, layer.node));
    analysis::WeightEditor::erase_if_unread(old_weight);
    if (weight.bias.empty()) return;
    const ValueRef old_bias = layer.node.input(layer.bias_input);
    std::vector<float> scales = weight.scales;
    for (float& scale : scales) scale *= params_.at(unit.inputs[0]).scale;
    const ValueRef bias = forms::emit_bias(
        graph_, old_bias ? old_bias.name() : unit.output + "_bias",
        Tensor::from<int32_t>({layer.outputs}, weight.bias),
        Tensor::from<float>({static_cast<int64_t>(scales.size())}, scales), layer.node);
    graph_.set_input(layer.node, layer.bias_input, bias);
    if (old_bias) analysis::WeightEditor::erase_if_unread(old_bias);
  }

  Graph& graph_;
  const ValueParams& params_;
  std::map<std::string, ValueRef> dequantized_;
};

Tensor scales_tensor(const std::vector<float>& scales) {
  return Tensor::from<float>({static_cast<int64_t>(scales.size())}, scales);
}

/// The scale of a bias is the product of two, which must be a normal number.
std::vector<float> scales_without_underflow(std::vector<float> scales, float input_scale) {
  const double least = double{std::numeric_limits<float>::min()} * 4 / input_scale;
  for (float& scale : scales) {
    if (scale < least && least < double{std::numeric_limits<float>::max()})
      scale = static_cast<float>(least);
  }
  return scales;
}

/// Signs, or signs and zeros, with the scales that suit them best unless some are given.
RoundedWeight round_to_signs(const Layer& layer, std::span<const float> weight, WeightBits bits,
                             std::span<const float> scales) {
  const auto layout = channel_layout(layer);
  auto quantized = bits == WeightBits::kBinary ? numerics::quantize_binary(weight, layout)
                                               : numerics::quantize_ternary(weight, layout);
  if (!scales.empty()) quantized.scales.assign(scales.begin(), scales.end());
  RoundedWeight result;
  result.codes = std::move(quantized.values);
  result.scales = std::move(quantized.scales);
  result.scale_shape = {layout.channels};
  return result;
}

constexpr int32_t kPairLimit = 64;  // codes within it obey the pair rule whatever their neighbours

}  // namespace

int32_t code_limit(WeightBits bits) {
  switch (bits) {
    case WeightBits::k8: return numerics::kInt8SymmetricRange.max;
    case WeightBits::k4: return 7;
    case WeightBits::k3: return 3;
    default: return 1;
  }
}

LayerWeight quantize_layer(const Layer& layer, const Tensor& weight,
                           const std::optional<Tensor>& bias, float input_scale,
                           const Target& target, const LayerRounding& rounding) {
  const bool corrects =
      rounding.correct_bias && !rounding.moments.empty() && layer.kind != LayerKind::kMatMul;
  const int32_t limit = code_limit(rounding.bits);
  RoundingOptions options{.method = rounding.method,
                          .range = {-limit, limit},
                          // Depthwise kernels add up one channel at a time, in 32 bits.
                          .pair_rule = target.needs_pair_rule() && limit > kPairLimit &&
                                       !layer.is_depthwise(),
                          .bias_takes_mean = corrects};
  // Means alone move a bias; rounding wants the whole moments.
  const bool has_grams = !rounding.moments.empty() && !rounding.moments.front().gram.empty();
  const bool signs = rounding.bits == WeightBits::kTernary || rounding.bits == WeightBits::kBinary;
  const auto round = [&] {
    if (signs) return round_to_signs(layer, weight.as<float>(), rounding.bits, options.scales);
    return round_weight(layer, weight,
                        has_grams ? rounding.moments : std::span<const LayerMoments>(), options);
  };
  RoundedWeight rounded = round();
  const std::vector<float> normal = scales_without_underflow(rounded.scales, input_scale);
  if (normal != rounded.scales && (bias || corrects)) {
    options.scales = normal;
    rounded = round();
  }
  std::vector<float> reals = bias ? bias->to_float() : std::vector<float>();
  if (corrects) {
    const auto shift =
        mean_output_shift(layer, weight.as<float>(), dequantized(layer, rounded), rounding.moments);
    reals.resize(std::max(reals.size(), shift.size()), 0.0F);
    for (size_t i = 0; i < shift.size(); ++i) reals[i] += shift[i];
  }
  LayerWeight result;
  if (!reals.empty()) {
    const int64_t headroom = layer.inputs / layer.groups * layer.kernel * 255 * 127;
    auto stored = numerics::quantize_bias(reals, input_scale, rounded.scales, headroom);
    if (!stored.fits) {  // a channel whose scale would overflow the bias gets a wider one
      const std::vector<float> wider = stored.weight_scales;
      options.scales = wider;
      rounded = round();
      stored = numerics::quantize_bias(reals, input_scale, rounded.scales, headroom);
    }
    result.bias = std::move(stored.values);
  }
  result.note = rounded.note;
  result.scales = rounded.scales;
  result.weight.codes = Tensor::from<int8_t>(layer.weight_shape, rounded.codes);
  result.weight.scales = scales_tensor(result.scales);
  result.weight.axis = layer.output_axis;
  return result;
}

int emit_plan(Model& model, const std::vector<Unit>& units, const std::vector<bool>& in_int8,
              const ValueParams& params, const std::map<std::string, LayerWeight>& weights) {
  Emitter emitter(model, params);
  int layers = 0;
  for (size_t i = 0; i < units.size(); ++i) {
    if (!in_int8[i]) continue;
    const auto weight = weights.find(units[i].output);
    emitter.emit(units[i], weight == weights.end() ? nullptr : &weight->second);
    if (weight != weights.end()) ++layers;
  }
  return layers;
}

void store_in_8_bits(const Layer& layer, const Tensor& weight) {
  auto quantized = numerics::quantize_weights(weight.as<float>(), channel_layout(layer), {});
  forms::QuantizedWeight stored;
  stored.codes = Tensor::from<int8_t>(layer.weight_shape, quantized.values);
  stored.scales = scales_tensor(quantized.scales);
  stored.axis = layer.output_axis;
  Graph& graph = layer.node.graph();
  const ValueRef old = layer.node.input(layer.weight_input);
  graph.set_input(layer.node, layer.weight_input,
                  forms::emit_scaled(graph, old.name(), stored, layer.node));
  analysis::WeightEditor::erase_if_unread(old);
}

}  // namespace mcompress::quantization
