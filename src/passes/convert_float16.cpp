// SPDX-License-Identifier: Apache-2.0
//
// Stores weights in 16 bits, or computes in half precision altogether.
//
//   weights   Before:  y = MatMul(x, W)             After:  y = MatMul(x, Cast(W16))
//   graph     Before:  y = Softmax(MatMul(x, W))    After:  y = Cast(Softmax(MatMul(Cast(x), W16)))
//
// Rounds to nearest even; values beyond 65504 become that, and are counted. On a CPU the first mode
// is better in every way (the Cast folds at load, no activation can overflow); the second is for
// GPUs, where it is the default.
//
// In the second, operators that are unsafe in half precision, those named in `block`, layers that
// are not selected, nodes whose constants do not fit and, with calibration data, nodes whose values
// come near the largest half stay in float; one Cast per value and precision joins the two; inputs
// and outputs keep their types.
//
// Refuses: weights that 16 bits do not make smaller (other types, quantized weights), outputs of
// the graph.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "analysis/half_graph.h"
#include "analysis/weight_editor.h"
#include "forms/cast.h"
#include "forms/chain.h"
#include "forms/stored_form.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "support/half.h"

namespace mcompress::passes {
namespace {

enum class Mode { kAuto, kWeights, kGraph };

/// A Cast node costs as much as this many weights save.
constexpr int64_t kFewestWeights = 40;
/// Half of the largest half: what calibration data shows may be exceeded by other data.
constexpr float kLargestActivation = 32752.0F;

struct Narrowed {
  Tensor tensor;
  HalfLoss loss;
  double relative_error = 0;  ///< largest, over values that the type holds as normal numbers
};

Narrowed narrow(const Tensor& weight, DataType type) {
  const std::span<const float> values = weight.as<float>();
  std::vector<uint16_t> bits(values.size());
  std::vector<float> back(values.size());
  Narrowed result;
  const bool half = type == DataType::kFloat16;
  result.loss =
      half ? float_to_half_clamped(values, bits) : float_to_bfloat16_clamped(values, bits);
  half ? half_to_float(bits, back) : bfloat16_to_float(bits, back);
  const float smallest = half ? 6.1035e-5F : std::numeric_limits<float>::min();
  for (size_t i = 0; i < values.size(); ++i) {
    const float size = std::abs(values[i]);
    if (!std::isfinite(size) || size < smallest) continue;
    const double error =
        std::abs(static_cast<double>(values[i]) - static_cast<double>(back[i])) / size;
    result.relative_error = std::max(result.relative_error, error);
  }
  result.tensor = Tensor(type, weight.shape(), std::as_bytes(std::span(bits)));
  return result;
}

class ConvertFloat16 : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "convert-float16",
        .summary = "store weights in 16 bits, or compute in half precision",
        .fidelity = Fidelity::kRounding,
        .cost = "rounding to 11 bits (float16) or 8 bits (bfloat16)",
        .benefit = "half the size; on a GPU also latency",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("type", type_, {{"float16", DataType::kFloat16}, {"bfloat16", DataType::kBfloat16}},
          "Ten bits of fraction, or the range of float with seven");
    o.add("mode", mode_,
          {{"auto", Mode::kAuto}, {"weights", Mode::kWeights}, {"graph", Mode::kGraph}},
          "Only store, or compute too; auto: what the target gains from");
    o.add("block", block_, "Operators that stay in float besides those that must (mode graph)");
  }
  std::string check_options() const override {
    if (mode_ == Mode::kGraph && type_ != DataType::kFloat16)
      return "mode graph needs type: float16";
    return "";
  }
  std::optional<double> stored_bits_per_weight() const override { return 16; }

 protected:
  void prepare(Model& model, PassContext& context, std::vector<Layer>& selected) override {
    in_graph_ =
        mode_ == Mode::kGraph ||
        (mode_ == Mode::kAuto && context.target().has_fast_half() && type_ == DataType::kFloat16);
    if (in_graph_) return convert_graph(model, context, selected);
    // Graph inputs that the runtime sees are untouched: only what a Cast of this type needs is
    // raised.
    const auto can_narrow = [](const Layer& layer) { return why_not(layer).empty(); };
    if (type_ == DataType::kBfloat16 && std::any_of(selected.begin(), selected.end(), can_narrow)) {
      context.require_opset(model, 13);
    }
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    if (in_graph_) {
      context.decided(layer,
                      {.method = "float16", .detail = "computes in half precision where it can"});
      return false;
    }
    if (done_.count(layer.weight.name()) != 0) {
      context.decided(layer,
                      {.method = method(), .detail = "shares its weight with a layer above"});
      return false;
    }
    if (std::string why = why_not(layer); !why.empty()) throw Unsupported(std::move(why));
    const Narrowed narrowed = narrow(*forms::constant_or_form(layer.weight), type_);
    store(layer, narrowed.tensor);
    done_.insert(layer.weight.name());
    report(layer, narrowed, context);
    return true;
  }

 private:
  std::string method() const { return data_type_name(type_) + " weights"; }

  static std::string why_not(const Layer& layer) {
    if (layer.weight.is_graph_output()) return "its weight is an output of the graph";
    if (!layer.weight_is_plain) {
      const auto form = forms::recognise(layer.weight);
      if (!form) return "its weight cannot be read";
      if (form->quantized()) return "its weight is quantized already, which is smaller";
      if (form->kind == forms::FormKind::kCast) return "its weight is stored in 16 bits already";
      if (form->type != DataType::kFloat)
        return "its weight is " + data_type_name(form->type) + ", not float";
    } else if (layer.weight.constant_type() != DataType::kFloat) {
      return "its weight is " + data_type_name(layer.weight.constant_type()) + ", not float";
    }
    if (layer.weight_count() >= kFewestWeights) return "";
    return fmt::format("its {} weights are too few to gain", layer.weight_count());
  }

  /// All readers of the weight read the Cast.
  static void store(const Layer& layer, const Tensor& tensor) {
    const ValueRef old = layer.weight;
    const ValueRef end = forms::emit_cast(old.scope(), old.name() + "_16", tensor);
    if (old.is_constant()) {
      forms::replace_constant(old, end);
      return;
    }
    for (const Use& use : old.uses()) use.node.graph().set_input(use.node, use.input, end);
    analysis::WeightEditor::erase_if_unread(old);
  }

  void report(const Layer& layer, const Narrowed& narrowed, PassContext& context) const {
    context.count("weights", narrowed.tensor.count());
    context.count("clamped", narrowed.loss.clamped);
    context.count("flushed to zero", narrowed.loss.flushed);
    if (narrowed.loss.clamped > 0) {
      context.warn(fmt::format("{}: {} weights beyond the range of {} were clamped", layer.name,
                               narrowed.loss.clamped, data_type_name(type_)));
    }
    context.decided(
        layer, {.method = method(),
                .detail = fmt::format("largest relative error {:.2g}", narrowed.relative_error)});
  }

  void convert_graph(Model& model, PassContext& context, const std::vector<Layer>& selected) const {
    std::set<const onnx::NodeProto*> chosen;
    for (const Layer& layer : selected) chosen.insert(layer.node.proto());
    std::set<const onnx::NodeProto*> held_back = forms::form_nodes(model);
    for (const Layer& layer : find_layers(model)) {
      if (chosen.count(layer.node.proto()) == 0) held_back.insert(layer.node.proto());
    }
    const std::set<std::string> overflowing = values_near_the_limit(model, context);
    const auto stays_float = [&](const NodeRef& node) {
      if (held_back.count(node.proto()) != 0) return true;
      if (std::find(block_.begin(), block_.end(), node.op()) != block_.end()) return true;
      for (int i = 0; i < node.input_count(); ++i) {
        if (overflowing.count(node.input_name(i)) != 0) return true;
      }
      for (int i = 0; i < node.output_count(); ++i) {
        if (overflowing.count(node.output_name(i)) != 0) return true;
      }
      return false;
    };
    const ValueTypes types = context.types(model);
    const auto result = analysis::convert_to_half(model, types, stays_float);
    context.count("nodes in half precision", result.nodes);
    context.count("casts added", result.casts);
    context.count("flushed to zero", result.flushed);
    if (result.nodes == 0) return;
    if (const auto why = context.runtime().load_error(model)) {
      throw Unsupported("in half precision the model does not load: " + *why);
    }
  }

  static std::set<std::string> values_near_the_limit(Model& model, PassContext& context) {
    if (!context.has_calibration()) return {};
    const ValueTypes& types = context.types(model);
    std::vector<ObservedValue> values;
    for (const NodeRef node : model.graph().nodes()) {
      for (int i = 0; i < node.output_count(); ++i) {
        const ValueRef value = node.output(i);
        if (value && types.find(value).type == DataType::kFloat) values.push_back({value.name()});
      }
    }
    context.calibration().observe(model, values);
    std::set<std::string> result;
    for (const ObservedValue& value : values) {
      const auto range =
          context.calibration().range(model, value.name, {.method = RangeMethod::kMinMax});
      if (range && std::max(-range->min, range->max) > kLargestActivation)
        result.insert(value.name);
    }
    if (!result.empty()) {
      context.warn(fmt::format("{} values come near the largest half; their nodes stay in float",
                               result.size()));
    }
    return result;
  }

  DataType type_ = DataType::kFloat16;
  Mode mode_ = Mode::kAuto;
  std::vector<std::string> block_;
  bool in_graph_ = false;
  std::set<std::string> done_;  ///< weights that were replaced
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(convert_float16, ConvertFloat16)
