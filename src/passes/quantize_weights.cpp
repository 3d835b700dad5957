// SPDX-License-Identifier: Apache-2.0
//
// Stores weights as 8-bit integers with a scale per output channel; activations stay float.
//
//   Before:  y = MatMul(x, W)
//   After:   y = MatMul(x, DequantizeLinear(Q, s, axis = 1))     W ~ Q s, Q in -127..127
//   Before:  y = Conv(x, W, b)
//   After:   y = Conv(x, Mul(Cast(Q), s), b)
//
// The first form is for MatMul and Gemm with few rows and a large weight: the runtime makes one
// MatMulNBits of it, up to three times as fast as float. Measured for 8 bits: from 2^17 weights on
// with up to 2 rows, from 2^19 on with up to 8; smaller weights or more rows are slower than float,
// by up to four times. A Gemm with transB loses it, because only [inputs, outputs] is fused. In
// front of an activation nothing is fused: the runtime joins Gemm and activation first and would
// dequantize in every run.
//
// Everything else takes the second form: it folds to float at load, so the layer runs at the speed
// of float. s = max |w| / 127 per channel, or what makes the squared error least (mse). An opset
// below 13 is raised where the first form is used, or the second one taken where that cannot be.
// Layers that share a weight share its integers, in the second form: the runtime fuses only what
// one node reads.
//
// Refuses: weights too small to gain, other types than float, quantized weights, weights that
// unselected nodes read too, NaN.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "analysis/weight_editor.h"
#include "forms/chain.h"
#include "forms/quantized_weight.h"
#include "forms/stored_form.h"
#include "mcompress/pass_context.h"
#include "numerics/weight_quantize.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

enum class Granularity { kChannel, kTensor };
enum class FormChoice { kAuto, kScaled, kDequantize };

/// What nodes and names of a form add to the file.
constexpr int64_t kOverheadBytes = 160;
constexpr int64_t kLeastOpset = 7;
constexpr int64_t kDequantizeOpset = 13;

bool has_default_factors(const NodeRef& gemm) {
  return gemm.attribute("alpha", 1.0F) == 1.0F &&
         (!gemm.input(2) || gemm.attribute("beta", 1.0F) == 1.0F);
}

/// Operators that the runtime fuses into a Gemm before it looks for a DequantizeLinear.
bool is_fused_activation(const NodeRef& node) {
  static const std::set<std::string_view> operators{
      "Elu",     "HardSigmoid", "LeakyRelu", "Relu", "Selu",
      "Sigmoid", "Softplus",    "Softsign",  "Tanh", "ThresholdedRelu"};
  return node.domain().empty() && operators.count(node.op()) != 0;
}

/// An activation follows, for a MatMul also behind an Add, which makes a Gemm of it.
bool feeds_activation(const NodeRef& node) {
  for (const Use& use : node.output(0).uses()) {
    if (is_fused_activation(use.node)) return true;
    if (node.is("MatMul") && use.node.is("Add") && feeds_activation(use.node)) return true;
  }
  return false;
}

/// The runtime makes a MatMulNBits of this layer behind a DequantizeLinear, once transB is gone.
bool becomes_nbits(const Layer& layer) {
  const NodeRef node = layer.node;
  if (layer.weight_input != 1 || layer.weight_shape.size() != 2) return false;
  if (&layer.weight.scope() != &node.graph() || feeds_activation(node)) return false;
  if (layer.kind == LayerKind::kMatMul) return true;
  if (layer.kind != LayerKind::kGemm || node.attribute("transA", int64_t{0}) != 0) return false;
  const ValueRef bias = node.input(2);
  const bool plain_bias =
      !bias || (bias.is_constant() && bias.constant_shape() == Shape{layer.outputs});
  return plain_bias && has_default_factors(node);
}

/// Rows of the product for one sample; nothing where more than the first dimension is open.
std::optional<int64_t> rows_of(const ValueType& input) {
  if (!input.known_rank) return std::nullopt;
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < input.shape.size(); ++d) {
    if (input.shape[d] < 0 && d > 0) return std::nullopt;
    rows *= std::max<int64_t>(input.shape[d], 1);
  }
  return rows;
}

bool is_faster_as_nbits(const Layer& layer, const std::optional<int64_t>& rows) {
  if (!rows || *rows > 8) return false;
  return layer.weight_count() >= int64_t{1} << (*rows <= 2 ? 17 : 19);
}

/// Each row of an embedding is read on its own, so it has its own scale.
int channel_axis(const Layer& layer) {
  return layer.kind == LayerKind::kEmbedding ? layer.input_axis : layer.output_axis;
}

Tensor transpose(const Tensor& matrix) {
  const int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  Tensor result(DataType::kFloat, {columns, rows});
  const std::span<const float> from = matrix.as<float>();
  const std::span<float> to = result.mutate_as<float>();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      to[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * columns + c)];
    }
  }
  return result;
}

class QuantizeWeights : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "quantize-weights",
        .summary = "store weights as 8-bit integers, compute in float",
        .fidelity = Fidelity::kLossy,
        .cost = "accuracy: hardly any",
        .benefit = "a quarter of the size; large products of few rows up to three times as fast",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("granularity", granularity_,
          {{"channel", Granularity::kChannel}, {"tensor", Granularity::kTensor}},
          "One scale per output channel, or one per weight");
    o.add(
        "form", form_,
        {{"auto", FormChoice::kAuto},
         {"scaled", FormChoice::kScaled},
         {"dequantize", FormChoice::kDequantize}},
        "Cast and Mul, which fold at load; DequantizeLinear; auto: what is fastest for each layer");
    o.add("rounding", clip_,
          {{"nearest", numerics::ClipSearch::kNone}, {"mse", numerics::ClipSearch::kMse}},
          "Largest weight representable, or the clipping of least squared error");
  }
  std::optional<double> stored_bits_per_weight() const override { return 8; }

 protected:
  void prepare(Model& model, PassContext& context, std::vector<Layer>& selected) override {
    if (model.opset() < kLeastOpset) {  // the runtime has no Mul of older ones
      throw Unsupported("opset " + std::to_string(model.opset()) + " is older than " +
                        std::to_string(kLeastOpset) + ": export the model with a newer one");
    }
    editor_ = analysis::WeightEditor(selected);
    for (const Layer& layer : selected) {
      std::optional<int64_t> rows;
      if (context.has_runtime()) rows = rows_of(context.types(model).find(layer.node.input(0)));
      add_to_plan(layer, rows);
    }
    const bool wanted = std::any_of(plans_.begin(), plans_.end(),
                                    [](const auto& p) { return p.second.dequantize; });
    if (!wanted || model.opset() >= kDequantizeOpset) return;
    std::string why = "there is no runtime";
    try {
      if (context.has_runtime()) {
        context.require_opset(model, kDequantizeOpset);
        return;
      }
    } catch (const Unsupported& refusal) {
      why = refusal.reason();
    }
    context.warn("opset 13 cannot be reached, so that no DequantizeLinear is used: " + why);
    for (auto& [key, plan] : plans_) plan.dequantize = plan.transpose = false;
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    Plan& plan = plans_.at(key_of(layer));
    if (!plan.codes && !plan.end) quantize(layer, plan, context);
    if (plan.dequantize) {
      read_dequantized(layer, plan);
    } else if (layer.node.input(layer.weight_input) != plan.end) {
      layer.node.graph().set_input(layer.node, layer.weight_input, plan.end);
    }
    analysis::WeightEditor::erase_if_unread(layer.weight);
    context.decided(layer,
                    {.method = granularity_ == Granularity::kChannel ? "int8 weights per channel"
                                                                     : "int8 weights per tensor",
                     .detail = plan.detail});
    return true;
  }

 private:
  /// How one weight is stored for all layers that read it.
  struct Plan {
    bool dequantize = false;  ///< a DequantizeLinear per reader, else one scaled form for all
    bool transpose = false;   ///< [outputs, inputs] of a Gemm becomes [inputs, outputs]
    int axis = 0;             ///< of the stored weight
    ValueRef codes, scales;   ///< once quantized, for DequantizeLinear
    ValueRef end;             ///< once quantized, of the scaled form
    std::string detail;
  };
  using Key = std::pair<const Graph*, std::string>;
  static Key key_of(const Layer& layer) { return {&layer.weight.scope(), layer.weight.name()}; }

  void add_to_plan(const Layer& layer, const std::optional<int64_t>& rows) {
    Plan plan;
    plan.axis = channel_axis(layer);
    const bool fuses = becomes_nbits(layer);
    plan.dequantize = form_ == FormChoice::kDequantize ||
                      (form_ == FormChoice::kAuto && fuses && is_faster_as_nbits(layer, rows));
    plan.transpose = plan.dequantize && fuses && layer.output_axis == 0;
    if (plan.transpose) plan.axis = 1;
    const auto [known, is_new] = plans_.emplace(key_of(layer), plan);
    if (is_new) return;
    Plan& shared = known->second;  // only a weight with one reader becomes a MatMulNBits
    if (shared.transpose) shared.axis = 0;
    shared.transpose = false;
    shared.dequantize = form_ == FormChoice::kDequantize;
  }

  void quantize(const Layer& layer, Plan& plan, PassContext& context) {
    Tensor weight = editor_.read(layer);
    if (weight.type() != DataType::kFloat) {
      throw Unsupported("its weight is " + data_type_name(weight.type()) + ", not float");
    }
    if (plan.transpose) weight = transpose(weight);
    const forms::QuantizedWeight stored = round(weight, plan);
    const ValueRef old = layer.weight;
    Graph& scope = old.scope();
    if (plan.dequantize) {
      plan.codes = scope.add_constant(old.name() + "_q", stored.codes);
      plan.scales = scope.add_constant(old.name() + "_s", stored.scales);
    } else {
      plan.end = forms::emit_scaled(scope, old.name(), stored);
      if (old.is_constant()) {
        plan.end = forms::replace_constant(old, plan.end);
      } else {
        for (const Use& use : old.uses()) use.node.graph().set_input(use.node, use.input, plan.end);
      }
    }
    plan.detail = plan.dequantize ? "DequantizeLinear" : "Cast and Mul";
    context.count("weights", weight.count());
    context.count("bytes before", static_cast<int64_t>(weight.byte_size()));
    context.count("bytes after",
                  static_cast<int64_t>(stored.codes.byte_size() + stored.scales.byte_size()));
  }

  /// Integers and scales. Throws Unsupported before any edit.
  forms::QuantizedWeight round(const Tensor& weight, const Plan& plan) const {
    const std::span<const float> values = weight.as<float>();
    numerics::ChannelLayout layout{1, 1, weight.count()};
    if (granularity_ == Granularity::kChannel) {
      const auto axis = static_cast<size_t>(plan.axis);
      layout = {1, weight.shape()[axis], 1};
      for (size_t d = 0; d < axis; ++d) layout.outer *= weight.shape()[d];
      for (size_t d = axis + 1; d < weight.shape().size(); ++d) layout.inner *= weight.shape()[d];
    }
    if (3 * weight.count() <= 4 * layout.channels + kOverheadBytes) {
      throw Unsupported(fmt::format("its {} weights are too few to gain", weight.count()));
    }
    for (const float v : values) {
      if (!std::isfinite(v)) throw Unsupported("its weight holds NaN or infinite values");
    }
    numerics::WeightQuantOptions options;
    options.clip = clip_;
    numerics::QuantizedWeights rounded = numerics::quantize_weights(values, layout, options);
    forms::QuantizedWeight stored;
    stored.codes = Tensor::from(weight.shape(), rounded.values);
    const Shape scales = granularity_ == Granularity::kChannel ? Shape{layout.channels} : Shape{};
    stored.scales = Tensor::from(scales, rounded.scales);
    stored.axis = plan.axis;
    return stored;
  }

  void read_dequantized(const Layer& layer, const Plan& plan) const {
    Graph& graph = layer.node.graph();
    const bool per_tensor = granularity_ == Granularity::kTensor;
    const ValueRef end = forms::emit_dequantize(graph, plan.codes, plan.scales, {}, plan.axis, 0,
                                                per_tensor, layer.node);
    graph.set_input(layer.node, layer.weight_input, end);
    if (plan.transpose) graph.remove_attribute(layer.node, "transB");
  }

  Granularity granularity_ = Granularity::kChannel;
  FormChoice form_ = FormChoice::kAuto;
  numerics::ClipSearch clip_ = numerics::ClipSearch::kNone;
  analysis::WeightEditor editor_;
  std::map<Key, Plan> plans_;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(quantize_weights, QuantizeWeights)
