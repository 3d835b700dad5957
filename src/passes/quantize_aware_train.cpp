// SPDX-License-Identifier: Apache-2.0
//
// quantize-aware-train: the weights of a quantized model are trained while it computes with its
// integers, so that they learn to live with the rounding.
//
// Before   y = Relu(Conv(x, w, b))
// After    y = Relu(Conv(DQ(Q(x)), DQ(w8), DQ(b32)));  the form, fusions and all, of
// quantize-static
//
// The model is quantized as quantize-static does it, without bringing layers back to float, or is
// quantized already. Then what is stored in integers is trained as floats that are rounded in every
// step: gradients go straight through the rounding, and with `scales: learned` the steps of weights
// and activations are trained, too (LSQ, arXiv:1902.08153). What is written is what was computed:
// codes, scales, and biases of int32 with scale s_x * s_w.
//
// With fewer than 8 bits the codes of weights stay within -7..7, -3..3 or -1..1, in bytes that
// encode-weights stores in few bits; binary weights are -1 and 1 times the mean of their
// magnitudes. Activations have 8 bits: what integer kernels compute with. For processors whose
// kernels add two products in 16 bits the codes obey the pair rule (numerics/pair_rule.h) while
// they are trained.
//
// Refuses: what quantize-static leaves in float stays a float layer and is trained as such.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "forms/activation.h"
#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "quantization/candidates.h"
#include "quantization/options.h"
#include "quantization/prepare.h"
#include "training/task.h"

namespace mcompress::passes {
namespace {

using quantization::Unit;
using quantization::WeightBits;

constexpr int64_t kPairLimit = 64;  // codes within it obey the pair rule whatever their neighbours

/// The integers that a layer's weight or bias is dequantized from.
ValueRef integers_behind(const ValueRef& value) {
  const NodeRef producer = value ? value.producer() : NodeRef();
  if (!producer || !producer.is("DequantizeLinear")) return {};
  const ValueRef codes = producer.input(0);
  return codes && codes.is_constant() ? codes : ValueRef();
}

struct QuantizedLayer {
  Layer layer;
  ValueRef weight, bias;  ///< integers; `bias` may be empty
};

std::vector<QuantizedLayer> quantized_layers(Model& model) {
  std::vector<QuantizedLayer> result;
  for (const Layer& layer : find_layers(model)) {
    if (layer.node.graph().parent() != nullptr) continue;
    const ValueRef weight = integers_behind(layer.weight);
    if (!weight) continue;
    const bool has_bias = layer.kind != LayerKind::kEmbedding;
    result.push_back({layer, weight,
                      has_bias ? integers_behind(layer.node.input(layer.bias_input)) : ValueRef()});
  }
  return result;
}

bool same_constant(const ValueRef& a, const ValueRef& b) {
  return a.is_constant() && b.is_constant() && a.constant_type() == b.constant_type() &&
         *a.constant() == *b.constant();
}

bool moves_values(const NodeRef& node) {
  constexpr std::array kMoves{"MaxPool", "Reshape",   "Flatten", "Transpose",
                              "Squeeze", "Unsqueeze", "Slice",   "Gather"};
  return std::any_of(kMoves.begin(), kMoves.end(), [&](const char* op) { return node.is(op); });
}

/// Scales that have to stay alike become one constant, which is trained as one: of a QuantizeLinear
/// and of those who dequantize it, and of values that are only moved.
bool tie_scales(Model& model) {
  Graph& graph = model.graph();
  bool changed = false;
  const auto read = [&](const NodeRef& node, const ValueRef& scale) {
    if (node.input_name(1) == scale.name() || !same_constant(node.input(1), scale)) return;
    const ValueRef old = node.input(1);
    graph.set_input(node, 1, scale);
    if (old.uses().empty() && !old.producer()) graph.erase_initializer(old.name());
    changed = true;
  };
  std::vector<NodeRef> quantizers;
  for (const NodeRef node : graph.nodes()) {
    if (node.is("QuantizeLinear") && node.input(1).is_constant()) quantizers.push_back(node);
  }
  for (const NodeRef& node : quantizers) {
    const NodeRef move = node.input(0).producer();
    if (move && moves_values(move)) {
      const auto pair = forms::match_activation(move.input(0));
      if (pair) read(node, pair->dequantize.input(1));
    }
    for (const Use& use : node.output().uses()) {
      if (use.node.is("DequantizeLinear")) read(use.node, node.input(1));
    }
  }
  return changed;
}

/// The narrowest range that holds the codes of a model that came quantized; 0: signs only.
int64_t limit_of(const Tensor& codes) {
  int64_t largest = 0;
  bool zero = false;
  for (const int64_t code : codes.to_int64()) {
    largest = std::max(largest, std::abs(code));
    zero |= code == 0;
  }
  if (largest == 1 && !zero) return 0;
  for (const int64_t limit : {1, 3, 7}) {
    if (largest <= limit) return limit;
  }
  return largest <= 127 ? 127 : 128;
}

class QuantizeAwareTrain final : public Pass {
 public:
  QuantizeAwareTrain() {
    integers_.how.rounding = quantization::Rounding::kMse;
    options_.optimizer.learning_rate = 2e-4;
    options_.teacher = "input";
  }

  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "quantize-aware-train",
        .summary = "INT8 weights and activations, or weights of fewer bits, trained while rounded",
        .fidelity = Fidelity::kTraining,
        .needs = {.runtime = true, .calibration = true, .training = true, .judge = true},
        .idempotent = false,
        .cost =
            "time: minutes to hours; needs training data and the trainer "
            "(tools/setup --training)",
        .benefit =
            "what quantize-static brings, with accuracy that rounding alone loses; weights "
            "of 4 bits and fewer",
    };
    return info;
  }
  bool acts_on_layers() const override { return true; }
  bool skips_without_data() const override { return options_.skip_without; }
  std::optional<double> stored_bits_per_weight() const override {
    return quantization::stored_bits(integers_.how.bits);
  }

  void describe(OptionSet& o) override {
    quantization::add_weight_bits(
        o, "weights", integers_.how.bits,
        "Bits of a weight; ternary: -1, 0 and 1, binary: -1 and 1, times a scale for each output");
    o.add("keep-8-bits", keep_8_bits_,
          "Layers whose weights have 8 bits all the same: names, first, last, op:Conv, depthwise");
    o.add("scales", learn_scales_, {{"learned", true}, {"fixed", false}},
          "Steps of weights and activations are trained, too, or stay what calibration says");
    integers_.describe_ranges(o, " at first");
    integers_.describe_layers(o, " at first");
    options_.describe(o);
  }

  std::string check_options() const override { return learning().check(); }

  bool run(Model& model, PassContext& context) override {
    if (!training::can_train(learning(), context)) return false;
    const std::vector<QuantizedLayer> before = quantized_layers(model);
    std::map<std::string, int64_t> limits;
    std::optional<Model> floats;
    bool changed = false;
    if (before.empty()) {
      changed = fold_batch_norms(model, context);
      floats = model.clone();
      changed |= quantize(model, context, limits);
    } else if (context.reference() != nullptr) {
      floats = context.reference()->clone();
    }
    changed |= tie_scales(model);
    context.forget_types();
    return train(model, context, floats ? &*floats : nullptr, limits) || changed;
  }

 private:
  /// Who names teachers does not mean the input model as well.
  training::TrainingOptions learning() const {
    training::TrainingOptions options = options_;
    if (!options.teachers.empty() && options.teacher == "input") options.teacher = "none";
    return options;
  }

  /// Scales per channel take the factors of a batch normalization in; as a layer of its own it
  /// would stay a float layer between integers.
  static bool fold_batch_norms(Model& model, PassContext& context) {
    for (const NodeRef node : model.graph().nodes()) {
      if (!node.is("BatchNormalization")) continue;
      return builtin_passes().create("fold-batch-norm")->run(model, context);
    }
    return false;
  }

  /// As quantize-static, without recovery: training is what recovers. Fills in `limits` by layer.
  bool quantize(Model& model, PassContext& context, std::map<std::string, int64_t>& limits) const {
    const auto found = quantization::find_candidates(model, context, select_layers(model, context));
    const quantization::CostModel costs(context.target(), context.costs());
    const auto plan_with = [&](const std::set<std::string>& in_float) {
      return quantization::make_plan(model, found.types, found.units, costs, in_float,
                                     integers_.only_what_pays);
    };
    quantization::PrepareOptions how = integers_.how;
    std::vector<Layer> layers;
    for (const Unit& unit : found.units) {
      if (quantization::is_layer(unit)) layers.push_back(unit.layer);
    }
    const LayerSelection kept({}, keep_8_bits_);
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!kept.reason_to_skip(layers, i).empty()) how.in_8_bits.insert(layers[i].output);
    }
    for (const std::string& pattern : kept.unmatched(layers)) {
      context.warn("keep-8-bits: '" + pattern + "' matches no layer");
    }
    auto prepared = quantization::prepare(model, context, found.units, plan_with({}), how);
    const auto plan = plan_with(prepared.unobserved);
    for (size_t i = 0; i < found.units.size(); ++i) {
      const Unit& unit = found.units[i];
      if (!quantization::is_layer(unit)) continue;
      if (!plan.in_int8[i]) {
        context.skipped(unit.layer, "does not pay in 8 bits: trained in float (where: everywhere takes it, too)");
        continue;
      }
      const bool wide = how.bits == WeightBits::k8 || how.in_8_bits.contains(unit.layer.output);
      limits[unit.layer.output] = wide                              ? 127
                                  : how.bits == WeightBits::kBinary ? 0
                                                                    : quantization::code_limit(how.bits);
    }
    const int emitted = quantization::emit_plan(model, found.units, plan.in_int8, prepared.params,
                                                prepared.weights);
    context.count("layers in int8", emitted);
    return emitted > 0 || found.opset_raised;
  }

  bool train(Model& model, PassContext& context, const Model* floats,
             const std::map<std::string, int64_t>& limits) {
    QuantizerTraining quantizers = {.enabled = true, .learn_scales = learn_scales_};
    std::vector<std::string> integers;
    std::map<std::string, Layer> float_layers;
    std::optional<Model> original;
    if (floats != nullptr) {
      original = floats->clone();
      for (const Layer& layer : find_layers(*original)) float_layers.emplace(layer.output, layer);
    }
    const auto quantized = quantized_layers(model);
    for (const QuantizedLayer& one : quantized) {
      const std::string name = one.weight.name();
      integers.push_back(name);
      if (one.bias) integers.push_back(one.bias.name());
      const auto known = limits.find(one.layer.output);
      const int64_t limit =
          known != limits.end() ? known->second : limit_of(*one.weight.constant());
      if (limit < 128) quantizers.limits.emplace_back(name, limit);
      const bool in_pairs = context.target().needs_pair_rule() && !one.layer.is_depthwise() &&
                            one.weight.constant_type() == DataType::kInt8 && limit > kPairLimit &&
                            forms::match_activation(one.layer.node.input(0));
      if (in_pairs) quantizers.pairs.push_back(name);
      const auto start = float_layers.find(one.layer.output);
      if (start == float_layers.end()) continue;
      const auto weight =
          start->second.weight_is_plain ? start->second.weight.constant() : std::nullopt;
      if (weight && weight->shape() == one.layer.weight_shape) {
        quantizers.start.emplace_back(name, weight->cast(DataType::kFloat));
      }
    }
    if (integers.empty()) {
      context.warn("no layer is quantized: training goes on in float");
    }
    training::PreparedTask prepared =
        training::prepare(learning(), model, selected(model, context), context, integers);
    prepared.task.quantizers = std::move(quantizers);
    const bool changed = training::train(model, prepared.task, context);
    for (const QuantizedLayer& one : quantized) {
      const auto known = limits.find(one.layer.output);
      context.decided(one.layer,
                      {.method = method_name(known == limits.end() ? 127 : known->second),
                       .detail = "trained while rounded"});
    }
    return changed;
  }

  static std::string method_name(int64_t limit) {
    switch (limit) {
      case 0:
        return "binary per-channel, int8 activations";
      case 1:
        return "ternary per-channel, int8 activations";
      case 3:
        return "int3 per-channel, int8 activations";
      case 7:
        return "int4 per-channel, int8 activations";
      default:
        return "int8 per-channel";
    }
  }

  /// Layers that `only` and `skip` leave; what they say of the others is recorded already.
  static std::vector<Layer> selected(Model& model, PassContext& context) {
    std::vector<Layer> result;
    const auto layers = find_layers(model);
    for (size_t i = 0; i < layers.size(); ++i) {
      if (context.selection().reason_to_skip(layers, i).empty()) result.push_back(layers[i]);
    }
    return result;
  }

  quantization::IntegerOptions integers_;
  std::vector<std::string> keep_8_bits_;
  bool learn_scales_ = true;
  training::TrainingOptions options_;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(quantize_aware_train, mcompress::passes::QuantizeAwareTrain)
