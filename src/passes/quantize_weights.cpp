// SPDX-License-Identifier: Apache-2.0
//
// Stores weights as integers of few bits with scales; activations stay float.
//
//   Before:  y = MatMul(x, W)
//   Fused:   y = MatMul(x, DequantizeLinear(Q, s, axis = 1))     W ~ Q s; or com.microsoft.MatMulNBits
//   Before:  y = Conv(x, W, b)
//   Folded:  y = Conv(x, Mul(Cast(Q), s), b)                     below 8 bits Q is packed
//   Before:  y = Gather(T, i)
//   Rows:    y = Mul(Cast(Gather(Q, i)), Gather(s, i))
//
// The fused form is for MatMul and Gemm of 8 and 4 bits with few rows and a large weight: the runtime
// makes one MatMulNBits of it, up to five times as fast as float, and keeps the weight small in
// memory (when that is so, and what was measured: quantization/fused_products.h). A Gemm with transB
// is turned, because only [inputs, outputs] is fused. Below opset 21 blocks and 4 bits are written as
// MatMulNBits itself. Everything else folds to float at load, so the layer runs at the speed of
// float. Tables of embeddings stay integers: what is gathered becomes float.
//
// How the integers are chosen: quantization/weight_only.h. Layers that share a weight share its
// integers, in the folded form: the runtime fuses only what one node reads.
//
// Refuses: weights too small to gain, other types than float, quantized weights, weights that
// unselected nodes read too, NaN.
#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "analysis/layer_matrix.h"
#include "analysis/weight_editor.h"
#include "forms/rows.h"
#include "forms/stored_form.h"
#include "ir/contents.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "quantization/fused_products.h"
#include "quantization/options.h"
#include "quantization/weight_only.h"

namespace mcompress::passes {
namespace {

using quantization::WeightBits;
using quantization::WeightMethod;
using quantization::WeightOnly;

enum class Granularity { kChannel, kTensor };
enum class FormChoice { kAuto, kScaled, kDequantize };
/// See the head of this file.
enum class Form { kFolded, kFused, kRows };

constexpr int64_t kLeastOpset = 7;
constexpr int64_t kAutoBlock = 64;

class QuantizeWeights : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "quantize-weights",
        .summary = "store weights as integers of 8, 4, 3, 2 or fewer bits, compute in float",
        .fidelity = Fidelity::kLossy,
        .cost = "accuracy: hardly any at 8 bits, little at 4, much below without method gptq",
        .benefit = "a quarter of the size or less; large products of few rows up to five times as fast",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    quantization::add_weight_bits(o, "bits", options_.bits,
                    "Width of the stored integers; ternary: -1, 0, 1; binary: -1, 1");
    o.add("block-size", block_,
          "Inputs of one output that share a scale, a power of two from 16 to 256; 0: all of them; "
          "auto: 64 for 4, 3 and 2 bits, else 0",
          {"auto"})
        .range(0, 256);
    o.add("symmetric", options_.symmetric, "Zero point 0, else one for each scale");
    o.add("method", options_.method,
          {{"balanced", WeightMethod::kBalanced},
           {"nearest", WeightMethod::kNearest},
           {"mse", WeightMethod::kMse},
           {"gptq", WeightMethod::kGptq},
           {"awq", WeightMethod::kAwq}},
          "To nearest, with errors that add up to nothing (balanced) or without; clipped at the least "
          "squared error; by calibration data: least error at the outputs (gptq), or inputs that carry "
          "more rounded less (awq), which helps where few inputs are large, else no more than balanced");
    o.add("granularity", granularity_,
          {{"channel", Granularity::kChannel}, {"tensor", Granularity::kTensor}},
          "One scale per output channel, or one per weight");
    o.add("form", form_,
          {{"auto", FormChoice::kAuto},
           {"scaled", FormChoice::kScaled},
           {"dequantize", FormChoice::kDequantize}},
          "Cast and Mul, which fold at load; DequantizeLinear or MatMulNBits; auto: what is fastest for "
          "each layer");
  }
  std::string check_options() const override {
    const auto block = static_cast<int64_t>(block_.value_or(0));
    const bool power = block == 0 || (block >= 16 && (block & (block - 1)) == 0);
    if (!power) return fmt::format("'block-size' is {}, no power of two from 16 to 256", block);
    if (granularity_ == Granularity::kTensor && block > 0) {
      return "'granularity' is tensor, and 'block-size' asks for more scales than one";
    }
    const bool signs = options_.bits == WeightBits::kTernary || options_.bits == WeightBits::kBinary;
    if (signs && !options_.symmetric) return "ternary and binary weights are symmetric";
    if (options_.bits == WeightBits::kBinary && needs_moments()) {
      return "binary weights have no other rounding: leave 'method' out";
    }
    if (granularity_ == Granularity::kTensor && needs_moments()) {
      return "'method' gptq and awq have a scale per output: leave 'granularity' out";
    }
    return "";
  }
  std::optional<double> stored_bits_per_weight() const override {
    return quantization::stored_bits(options_.bits);
  }

 protected:
  void prepare(Model& model, PassContext& context, std::vector<Layer>& selected) override {
    if (model.opset() < kLeastOpset) {  // the runtime has no Mul of older ones
      throw Unsupported("opset " + std::to_string(model.opset()) + " is older than " +
                        std::to_string(kLeastOpset) + ": export the model with a newer one");
    }
    editor_ = analysis::WeightEditor(selected);
    const quantization::CostModel costs(context.target(), context.costs());
    for (const Layer& layer : selected) {
      std::optional<int64_t> rows;
      if (context.has_runtime()) {
        rows = quantization::product_rows(context.types(model).find(layer.node.input(0)));
      }
      add_to_plan(layer, rows, costs);
    }
    if (needs_moments()) quantize_by_moments(model, context, selected);
    require_dequantize(model, context);
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    Plan& plan = plans_.at(key_of(layer));
    if (!plan.result) {
      if (!plan.refusal.empty()) throw Unsupported(plan.refusal);
      plan.result = quantize(layer, plan, {}, options_.method);
    }
    if (!plan.counted) count(layer, plan, context);
    const Form form = plan.form_of(layer);
    if (form == Form::kRows) {
      read_rows(layer, plan);
    } else if (form == Form::kFused) {
      quantization::read_fused(layer, plan.result->weight, options_.bits);
    } else {
      read_folded(layer, plan);
    }
    analysis::WeightEditor::erase_if_unread(layer.weight);
    context.decided(layer, {.method = method_name(plan.result->weight),
                            .detail = detail(form, plan.result->note)});
    // The model has the integers now: what is kept of them would add up to its size.
    if (--plan.readers == 0) plan.result->weight.codes = Tensor();
    return true;
  }

  bool finish(Model&, PassContext&) override {
    emitters_.clear();
    return false;
  }

 private:
  /// How one weight is stored for all layers that read it.
  struct Plan {
    Form form = Form::kFolded;
    bool rows_too = false;  ///< folded, and embeddings read rows of the same integers
    std::optional<WeightOnly> result;
    std::string refusal;
    bool counted = false;
    size_t readers = 0;     ///< layers that are still to come
    std::optional<forms::RowTable> table;
    ValueRef end;  ///< of the folded form
    Form form_of(const Layer& layer) const {
      return rows_too && layer.kind == LayerKind::kEmbedding ? Form::kRows : form;
    }
  };
  using Key = std::pair<const Graph*, std::string>;
  static Key key_of(const Layer& layer) { return {&layer.weight.scope(), layer.weight.name()}; }

  bool needs_moments() const {
    return options_.method == WeightMethod::kGptq || options_.method == WeightMethod::kAwq;
  }

  int row_bits(const Layer& layer) const {
    const double bits = quantization::stored_bits(options_.bits);
    const int wanted = bits > 4 ? 8 : bits > 2 ? 4 : 2;
    return forms::fits_row_table(layer.outputs, wanted) ? wanted : 8;
  }

  Form wanted_form(const Layer& layer, const std::optional<int64_t>& rows,
                   const quantization::CostModel& costs) const {
    const bool per_row = granularity_ == Granularity::kChannel && form_ != FormChoice::kScaled;
    if (layer.kind == LayerKind::kEmbedding) return per_row ? Form::kRows : Form::kFolded;
    if (form_ == FormChoice::kScaled) return Form::kFolded;
    const bool kernel = options_.bits == WeightBits::k8 || options_.bits == WeightBits::k4;
    const bool fuses = kernel && quantization::becomes_nbits(layer);
    if (form_ == FormChoice::kDequantize) {
      return fuses || options_.bits == WeightBits::k8 ? Form::kFused : Form::kFolded;
    }
    // Only a Mul of its own has room for the scales of inputs.
    if (options_.method == WeightMethod::kAwq) return Form::kFolded;
    const int bits = options_.bits == WeightBits::k4 ? 4 : 8;
    const bool faster = fuses && quantization::is_faster_as_nbits(layer, rows, bits, costs);
    return faster ? Form::kFused : Form::kFolded;
  }

  void add_to_plan(const Layer& layer, const std::optional<int64_t>& rows,
                   const quantization::CostModel& costs) {
    Plan plan;
    plan.form = wanted_form(layer, rows, costs);
    const auto [known, is_new] = plans_.emplace(key_of(layer), plan);
    if (is_new) {
      first_[key_of(layer)] = layer;
      known->second.readers = 1;
      return;
    }
    // A kernel is made only of a weight with one reader; rows can be read by all embeddings.
    Plan& shared = known->second;
    ++shared.readers;
    const Layer& first = first_.at(key_of(layer));
    if (shared.form == Form::kRows && plan.form == Form::kRows) return;
    const auto scale_axis = [](const Layer& l) {
      return l.kind == LayerKind::kEmbedding ? l.input_axis : l.output_axis;
    };
    const bool rows_and_more = (shared.form == Form::kRows || plan.form == Form::kRows ||
                                shared.rows_too) && options_.bits == WeightBits::k8;
    shared.rows_too = rows_and_more && scale_axis(first) == scale_axis(layer);
    shared.form = Form::kFolded;
  }

  int64_t block_of(const Layer& layer, const Plan& plan) const {
    if (layer.kind == LayerKind::kEmbedding || plan.rows_too) return 0;
    const bool few = options_.bits == WeightBits::k4 || options_.bits == WeightBits::k3 ||
                     options_.bits == WeightBits::k2;
    const bool automatic = few && granularity_ == Granularity::kChannel;
    const double wanted = block_.value_or(automatic ? static_cast<double>(kAutoBlock) : 0.0);
    return quantization::block_for(layer, static_cast<int64_t>(wanted));
  }

  /// Throws Unsupported before any edit.
  WeightOnly quantize(const Layer& layer, const Plan& plan, std::span<const LayerMoments> moments,
                      WeightMethod method) const {
    quantization::WeightOnlyOptions options = options_;
    options.method = method;
    options.block = block_of(layer, plan);
    options.per_tensor = granularity_ == Granularity::kTensor;
    options.input_scales = plan.form == Form::kFolded && !plan.rows_too;
    if (layer.kind == LayerKind::kEmbedding || plan.rows_too) options.symmetric = true;
    if (auto done = quantize_where_it_is(layer, moments, options)) {
      quantization::require_scale(layer, *done);
      return std::move(*done);
    }
    const Tensor weight = editor_.read(layer);
    if (weight.type() != DataType::kFloat) {
      throw Unsupported("its weight is " + data_type_name(weight.type()) + ", not float");
    }
    quantization::require_gain(layer, options);
    WeightOnly result = quantization::quantize_weight_only(layer, weight, moments, options);
    quantization::require_scale(layer, result);
    return result;
  }

  /// A large weight that needs no copy in memory.
  std::optional<WeightOnly> quantize_where_it_is(
      const Layer& layer, std::span<const LayerMoments> moments,
      const quantization::WeightOnlyOptions& options) const {
    const bool plain = layer.weight.is_constant() &&
                       layer.weight.constant_type() == DataType::kFloat &&
                       editor_.obstacle(layer).empty();
    const auto mapped = plain && moments.empty() ? ir::map_constant(layer.weight) : std::nullopt;
    if (!mapped) return std::nullopt;
    quantization::require_gain(layer, options);
    return quantization::quantize_mapped(layer, mapped->bytes, options);
  }

  /// GPTQ and AWQ while the moments are there, layer by layer.
  void quantize_by_moments(const Model& model, PassContext& context,
                           const std::vector<Layer>& selected) {
    std::vector<Layer> layers;
    for (const Layer& layer : selected) {
      const Layer& first = first_.at(key_of(layer));
      if (first.output != layer.output || first.weight_input != layer.weight_input) continue;
      if (!analysis::LayerMatrix::obstacle(layer).empty() || !editor_.obstacle(layer).empty()) continue;
      layers.push_back(layer);
    }
    const auto left_out = context.calibration().moments(
        model, layers, [&](size_t at, std::span<const LayerMoments> moments) {
          Plan& plan = plans_.at(key_of(layers[at]));
          try {
            plan.result = quantize(layers[at], plan, moments, options_.method);
          } catch (const Unsupported& refusal) {
            plan.refusal = refusal.reason();
          }
        });
    for (size_t i = 0; i < left_out.size(); ++i) {
      if (left_out[i].empty()) continue;
      Plan& plan = plans_.at(key_of(layers[i]));
      plan.result = quantize(layers[i], plan, {}, options_.method);
      plan.result->note = left_out[i] + ": method mse";
    }
  }

  /// Raises the opset where a DequantizeLinear is wanted, or does without.
  void require_dequantize(Model& model, PassContext& context) {
    const bool wanted = options_.bits == WeightBits::k8 &&
                        std::any_of(plans_.begin(), plans_.end(), [](const auto& entry) {
                          return entry.second.form == Form::kFused;
                        });
    if (!wanted || model.opset() >= quantization::kDequantizeOpset) return;
    std::string why = "there is no runtime";
    try {
      if (context.has_runtime()) {
        context.require_opset(model, quantization::kDequantizeOpset);
        return;
      }
    } catch (const Unsupported& refusal) {
      why = refusal.reason();
    }
    context.warn("opset 13 cannot be reached, so that no DequantizeLinear is used: " + why);
    for (auto& [key, plan] : plans_) {
      if (plan.form == Form::kFused) plan.form = Form::kFolded;
    }
  }

  void read_rows(const Layer& layer, Plan& plan) const {
    const ValueRef weight = layer.weight;
    const int bits = plan.rows_too ? 8 : row_bits(layer);
    if (!plan.table) {
      plan.table =
          forms::add_row_table(weight.scope(), weight.name(), plan.result->weight, bits);
    }
    const ValueRef rows = forms::emit_rows(*plan.table, layer.node);
    layer.node.graph().supersede(layer.node.output(), rows);
    layer.node.graph().erase(layer.node);
  }

  void read_folded(const Layer& layer, Plan& plan) {
    if (plan.end) return;  // all readers were given it
    const ValueRef old = layer.weight;
    Graph& scope = old.scope();
    const forms::QuantizedWeight& weight = plan.result->weight;
    if (plan.rows_too) {
      if (!plan.table) plan.table = forms::add_row_table(scope, old.name(), weight, 8);
      plan.end = forms::emit_scaled(scope, old.name(), plan.table->codes, weight);
    } else if (options_.bits == WeightBits::k8) {
      plan.end = forms::emit_scaled(scope, old.name(), weight);
    } else {
      forms::Emitter& emitter = emitters_.try_emplace(&scope, scope).first->second;
      plan.end = forms::emit_packed(emitter, old.name(), weight,
                                    options_.bits == WeightBits::k4 ? 4 : 2);
    }
    if (old.is_constant()) {
      plan.end = forms::replace_constant(old, plan.end);
    } else {
      for (const Use& use : old.uses()) use.node.graph().set_input(use.node, use.input, plan.end);
    }
  }

  void count(const Layer& layer, Plan& plan, PassContext& context) const {
    plan.counted = true;
    const auto count = layer.weight_count();
    context.count("weights", count);
    context.count("bytes before", count * 4);
    const double codes = static_cast<double>(count) * quantization::stored_bits(options_.bits) / 8;
    context.count("bytes after", static_cast<int64_t>(codes) +
                                     static_cast<int64_t>(plan.result->weight.scales.byte_size()));
    if (!plan.result->note.empty() && needs_moments()) context.count("layers with a note");
  }

  std::string method_name(const forms::QuantizedWeight& weight) const {
    std::string name = "int8";
    if (options_.bits == WeightBits::kTernary) name = "ternary";
    if (options_.bits == WeightBits::kBinary) name = "binary";
    if (options_.bits == WeightBits::k4) name = "int4";
    if (options_.bits == WeightBits::k3) name = "3-bit";
    if (options_.bits == WeightBits::k2) name = "2-bit";
    name += " weights";
    if (weight.block > 0) return fmt::format("{} in blocks of {}", name, weight.block);
    return name + (granularity_ == Granularity::kTensor ? " per tensor" : " per channel");
  }

  static std::string detail(Form form, const std::string& note) {
    const std::string how = form == Form::kFused  ? "fused to MatMulNBits"
                            : form == Form::kRows ? "rows are read as integers"
                                                  : "folds to float at load";
    return note.empty() ? how : how + "; " + note;
  }

  quantization::WeightOnlyOptions options_;
  std::optional<double> block_;
  Granularity granularity_ = Granularity::kChannel;
  FormChoice form_ = FormChoice::kAuto;
  analysis::WeightEditor editor_;
  std::map<Key, Plan> plans_;
  std::map<Key, Layer> first_;  ///< reader of each weight
  std::map<Graph*, forms::Emitter> emitters_;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(quantize_weights, QuantizeWeights)
