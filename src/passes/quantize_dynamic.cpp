// SPDX-License-Identifier: Apache-2.0
//
// Runs matrix products on 8-bit integers; activations are quantized while the model runs, so no
// data is needed.
//
//   Before:  y = Gemm(x, W, b)                                   (or MatMul)
//   After:   q, sx, z = DynamicQuantizeLinear(x)
//            y = Add(Mul(Cast(MatMulInteger(q, Q, z)), Mul(sx, s)), b)      W ~ Q s, Q in -127..127
//
// The runtime fuses this to DynamicQuantizeMatMul. alpha goes into the scales and beta into the
// bias; a weight of Gemm with transB is transposed. Layers that read one value share its
// DynamicQuantizeLinear, layers that share a weight its integers. On targets whose kernels add
// pairs of products in 16 bits, Q obeys the pair rule, at the scale that costs least.
//
// Refuses: Conv (ConvInteger is 3 to 37 times slower than float), everything that is no product
// with a matrix on the right, products below `min-macs`, where quantizing the input costs more than
// it saves, quantized weights, weights that unselected nodes read too, NaN.
#include <cmath>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "analysis/weight_editor.h"
#include "forms/dynamic.h"
#include "mcompress/pass_context.h"
#include "numerics/pair_quantize.h"
#include "numerics/weight_quantize.h"
#include "pass/register.h"
#include "quantization/costs.h"

namespace mcompress::passes {
namespace {

enum class Granularity { kChannel, kTensor };

constexpr int64_t kLeastOpset = 11;

std::string unsupported_kind(const Layer& layer) {
  switch (layer.kind) {
    case LayerKind::kMatMul:
    case LayerKind::kGemm:
      break;
    case LayerKind::kConv:
    case LayerKind::kConvTranspose:
      return "integer convolutions with a dynamic range are slower than float";
    default:
      return fmt::format("no dynamic form for {} layers", layer_kind_name(layer.kind));
  }
  if (layer.weight_input != 1) return "its weight is the left operand";
  if (layer.weight_shape.size() != 2) return "its weight is a stack of matrices";
  if (layer.node.attribute("transA", int64_t{0}) != 0) return "its input is transposed";
  const ValueRef bias = layer.node.input(2);
  if (bias && !bias.is_constant() && layer.node.attribute("beta", 1.0F) != 1.0F) {
    return "its bias is no constant and has a factor";
  }
  return "";
}

/// [inputs, outputs] whatever transB says.
std::vector<float> as_columns(const Layer& layer, const Tensor& weight) {
  const std::span<const float> from = weight.as<float>();
  std::vector<float> to(from.begin(), from.end());
  if (layer.output_axis == 1) return to;
  for (int64_t n = 0; n < layer.outputs; ++n) {
    for (int64_t k = 0; k < layer.inputs; ++k) {
      to[static_cast<size_t>(k * layer.outputs + n)] =
          from[static_cast<size_t>(n * layer.inputs + k)];
    }
  }
  return to;
}

/// Rows of the product as far as they are known; open dimensions count as one.
int64_t rows_of(const ValueType& input) {
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < input.shape.size(); ++d) rows *= std::max<int64_t>(input.shape[d], 1);
  return rows;
}

Tensor scaled_by(const Tensor& values, float factor) {
  Tensor result = values;
  for (float& v : result.mutate_as<float>()) v *= factor;
  return result;
}

class QuantizeDynamic : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "quantize-dynamic",
        .summary = "run MatMul and Gemm in INT8, activations quantized while the model runs",
        .fidelity = Fidelity::kLossy,
        .needs = {.runtime = true},
        .cost = "accuracy: little; one pass over each input to find its range",
        .benefit = "a quarter of the size and two to five times the speed of these layers",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("granularity", granularity_,
          {{"channel", Granularity::kChannel}, {"tensor", Granularity::kTensor}},
          "One scale per output channel, or one per weight");
    o.add("rounding", clip_,
          {{"nearest", numerics::ClipSearch::kNone}, {"mse", numerics::ClipSearch::kMse}},
          "Largest weight representable, or the clipping of least squared error");
    o.add("min-macs", min_macs_,
          "Leave products alone that have fewer multiply-accumulates per sample")
        .at_least(0);
  }
  std::optional<double> stored_bits_per_weight() const override { return 8; }

 protected:
  void prepare(Model& model, PassContext& context, std::vector<Layer>& selected) override {
    const ValueTypes& types = context.types(model);
    std::vector<Layer> possible;
    for (const Layer& layer : selected) {
      const int64_t rows = rows_of(types.find(layer.node.input(0)));
      rows_[layer.output] = rows;
      if (why_not(layer, rows, context).empty()) possible.push_back(layer);
    }
    editor_ = analysis::WeightEditor(possible);
    if (!possible.empty()) context.require_opset(model, kLeastOpset);
  }

  /// Scales that were multiplied by the alpha of every reader have none left.
  bool finish(Model&, PassContext&) override {
    for (const auto& [key, stored] : stored_)
      analysis::WeightEditor::erase_if_unread(stored.scales);
    return false;
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    if (auto why = why_not(layer, rows_.at(layer.output), context); !why.empty())
      throw Unsupported(std::move(why));
    const auto key = std::make_pair(layer.weight.name(), layer.output_axis);
    auto known = stored_.find(key);
    if (known == stored_.end()) known = stored_.emplace(key, quantize(layer, context)).first;
    const Stored& stored = known->second;
    context.decided(layer, {.method = "dynamic int8", .detail = stored.detail});
    rewrite(layer, stored);
    return true;
  }

 private:
  struct Stored {
    ValueRef codes, scales;
    std::string detail;
  };

  std::string why_not(const Layer& layer, int64_t rows, const PassContext& context) const {
    if (std::string why = unsupported_kind(layer); !why.empty()) return why;
    const int64_t macs = rows * layer.inputs * layer.outputs;
    if (macs < min_macs_) return fmt::format("{} multiply-accumulates are too few to gain", macs);
    const quantization::CostModel costs(context.target(), context.costs());
    if (costs.relative_time(forms::LayerForm::kDynamicInt8, layer, rows) >= 1) {
      return "the target gains nothing";
    }
    return "";
  }

  /// Integers and scales as constants of the graph. Throws Unsupported before any edit.
  Stored quantize(const Layer& layer, PassContext& context) const {
    const Tensor weight = editor_.read(layer);
    if (weight.type() != DataType::kFloat) {
      throw Unsupported("its weight is " + data_type_name(weight.type()) + ", not float");
    }
    const std::vector<float> values = as_columns(layer, weight);
    for (const float v : values) {
      if (!std::isfinite(v)) throw Unsupported("its weight holds NaN or infinite values");
    }
    const bool per_channel = granularity_ == Granularity::kChannel;
    numerics::ChannelLayout layout{1, 1, weight.count()};
    if (per_channel) layout = {layer.inputs, layer.outputs, 1};
    numerics::WeightQuantOptions options;
    options.clip = clip_;
    const auto reduction = numerics::ReductionLayout::matrix(layer.inputs, layer.outputs);
    int64_t moved = 0;
    const numerics::QuantizedWeights rounded =
        context.target().needs_pair_rule()
            ? numerics::quantize_in_pairs(values, layout, reduction, options, moved)
            : numerics::quantize_weights(values, layout, options);
    context.count("weights", weight.count());
    context.count("weights moved for the pair rule", moved);
    Graph& scope = layer.weight.scope();
    const std::string& name = layer.weight.name();
    return {
        scope.add_constant(name + "_q",
                           Tensor::from({layer.inputs, layer.outputs}, rounded.values)),
        scope.add_constant(name + "_s", Tensor::from(per_channel ? Shape{layer.outputs} : Shape{},
                                                     rounded.scales)),
        moved == 0 ? "" : fmt::format("{} weights moved for the pair rule", moved)};
  }

  static void rewrite(const Layer& layer, const Stored& stored) {
    const NodeRef node = layer.node;
    Graph& graph = node.graph();
    ValueRef scales = stored.scales;
    const float alpha = layer.kind == LayerKind::kGemm ? node.attribute("alpha", 1.0F) : 1.0F;
    if (alpha != 1.0F)
      scales = graph.add_constant(scales.name(), scaled_by(*scales.constant(), alpha));
    const ValueRef old_bias = node.input(2);
    const ValueRef y =
        forms::emit_dynamic(graph, node.input(0), stored.codes, scales, bias_of(layer), node);
    graph.supersede(node.output(0), y);
    graph.erase(node);
    analysis::WeightEditor::erase_if_unread(layer.weight);
    if (old_bias && old_bias.is_constant()) analysis::WeightEditor::erase_if_unread(old_bias);
  }

  /// What is added to the product; [1, outputs] becomes [outputs], which is what fuses.
  static ValueRef bias_of(const Layer& layer) {
    const ValueRef bias = layer.node.input(2);
    if (!bias) return {};
    const float beta = layer.node.attribute("beta", 1.0F);
    if (beta == 0.0F) return {};
    if (!bias.is_constant()) return bias;
    const bool is_row = bias.constant_shape() == Shape{1, layer.outputs};
    if (beta == 1.0F && !is_row) return bias;
    Tensor value = scaled_by(*bias.constant(), beta);
    if (is_row) value = value.reshaped({layer.outputs});
    return layer.node.graph().add_constant(bias.name(), value);
  }

  Granularity granularity_ = Granularity::kChannel;
  numerics::ClipSearch clip_ = numerics::ClipSearch::kNone;
  int64_t min_macs_ = 65536;
  analysis::WeightEditor editor_;
  std::map<std::string, int64_t> rows_;                   ///< by layer
  std::map<std::pair<std::string, int>, Stored> stored_;  ///< by weight and the axis of its outputs
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(quantize_dynamic, QuantizeDynamic)
