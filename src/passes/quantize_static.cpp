// SPDX-License-Identifier: Apache-2.0
//
// quantize-static: 8-bit weights and activations from calibration, as QuantizeLinear /
// DequantizeLinear pairs that ONNX Runtime fuses into integer kernels.
//
// Before   y = Relu(Conv(x, w, b))
// After    y = Relu(Conv(DQ(Q(x)), DQ(w8), DQ(b32)));  readers of y read DQ(Q(y))
//          MatMul and Gemm: their output stays float.
//
// q = clip(round(v / s) + z): activations uint8 with one scale, weights int8 symmetric with one
// scale per output channel, bias int32 with scale s_x * s_w.
//
// Which layers: those for which it pays by the built-in costs of the target, changes between float
// and 8 bits included (quantization/plan.h: a minimum cut), less those whose damage is not worth
// it: ordered by the noise that is expected at their output, as many go back to float as it takes
// to bring the damage at the model's output down to `tolerance`. Layers that stay in float store
// their weight in 8 bits where that costs no time.
//
// Refuses: grouped convolutions, batched weights, products with alpha, beta or transA, layers whose
// shapes are not known or whose output leaves the graph (quantization/units.h).
//
// Jacob et al. 2018 (integer arithmetic); Krishnamoorthi 2018 (per-channel weights).
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "quantization/damage.h"
#include "quantization/prepare.h"

namespace mcompress::passes {
namespace {

using quantization::is_layer;
using quantization::Plan;
using quantization::Prepared;
using quantization::Unit;

constexpr int64_t kQdqOpset = 13;        // per-channel DequantizeLinear
constexpr int64_t kStoreOverhead = 400;  // bytes that Cast, Mul and their names take in the file
constexpr size_t kDamageSamples = 32;
constexpr size_t kFewSamples = 20;

enum class Where { kPays, kEverywhere };
enum class Effort { kQuick, kNormal, kThorough };

class QuantizeStatic final : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "quantize-static",
        .summary = "INT8 weights and activations from calibration, in the form that fuses",
        .fidelity = Fidelity::kLossy,
        .needs = {.runtime = true, .calibration = true},
        .cost = "a pass over the calibration data; some accuracy, bounded by tolerance",
        .benefit = "a quarter of the size; 2 to 4 times faster where kernels fuse"};
    return info;
  }

  void describe(OptionSet& o) override {
    o.add("method", method_,
          {{"mse", RangeMethod::kMse},
           {"min-max", RangeMethod::kMinMax},
           {"moving-average", RangeMethod::kMovingAverage},
           {"percentile", RangeMethod::kPercentile},
           {"entropy", RangeMethod::kEntropy}},
          "How the range of an activation is chosen from its histogram");
    o.add("percentile", percentile_,
          "Part of all values within the range, in per cent, for method percentile")
        .range(50, 100);
    o.add("where", where_, {{"pays", Where::kPays}, {"everywhere", Where::kEverywhere}},
          "Layers that are cheaper in 8 bits by the costs of the target, or all that have an "
          "integer kernel");
    o.add("tolerance", tolerance_,
          "Damage at the outputs above which layers go back to float: divergence of probabilities, "
          "or noise "
          "over signal")
        .at_least(0);
    o.add("effort", effort_,
          {{"quick", Effort::kQuick}, {"normal", Effort::kNormal}, {"thorough", Effort::kThorough}},
          "Evaluations spent on finding the layers that must go back: none, a few, many");
    o.add("store-float", store_float_,
          "Store the weights of layers that stay in float in 8 bits, too");
  }

  bool acts_on_layers() const override { return true; }
  std::optional<double> stored_bits_per_weight() const override { return 8; }

  bool run(Model& model, PassContext& context) override {
    const std::vector<Layer> selected = select(model, context);
    bool changed = raise_opset(model, context);
    const ValueTypes types = context.sample_types(model);
    std::vector<quantization::RefusedLayer> refused;
    const auto units = quantization::find_units(
        model, types, changed ? select_again(model, context) : selected, refused);
    for (const auto& [layer, reason] : refused) context.skipped(layer, reason);
    const quantization::CostModel costs(context.target(), context.costs());
    const auto plan_with = [&](const std::set<std::string>& in_float) {
      return quantization::make_plan(model, types, units, costs, in_float, where_ == Where::kPays);
    };
    // What goes back to float later takes others along, never the other way: only this much is to
    // be watched.
    const Plan widest = plan_with({});
    if (const size_t samples = context.calibration().data().size(); samples < kFewSamples) {
      context.warn("calibrated on " + std::to_string(samples) +
                   " samples only; 100 to 500 are advised");
    }
    const auto prepared = quantization::prepare(model, context, units, widest,
                                                {.method = method_, .percentile = percentile_});
    const Plan plan = choose(model, context, units, plan_with, prepared);
    report_decisions(context, units, widest, plan, costs, prepared.noise);
    const auto leftover = store_candidates(units, plan, refused);
    const int emitted =
        quantization::emit_plan(model, units, plan.in_int8, prepared.params, prepared.weights);
    context.count("layers in int8", emitted);
    changed |= emitted > 0;
    for (const Layer& layer : leftover) {
      const auto weight = layer.weight.constant();
      quantization::store_in_8_bits(layer, *weight);
      context.decided(layer, {.method = "int8 weights", .detail = "runs in float"});
      changed = true;
    }
    return changed;
  }

 private:
  std::vector<Layer> select_again(Model& model, PassContext& context) const {
    std::vector<Layer> selected;
    const auto layers = find_layers(model);
    for (size_t i = 0; i < layers.size(); ++i) {
      if (context.selection().reason_to_skip(layers, i).empty()) selected.push_back(layers[i]);
    }
    return selected;
  }

  std::vector<Layer> select(Model& model, PassContext& context) const {
    const auto layers = find_layers(model);
    for (const auto& pattern : context.selection().unmatched(layers)) {
      context.warn("pattern '" + pattern + "' matches no layer");
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string reason = context.selection().reason_to_skip(layers, i);
      if (!reason.empty()) context.skipped(layers[i], reason);
    }
    return select_again(model, context);
  }

  bool raise_opset(Model& model, PassContext& context) const {
    const int64_t before = model.opset();
    if (!context.require_opset(model, kQdqOpset)) return false;
    context.warn("opset raised from " + std::to_string(before) + " to " +
                 std::to_string(model.opset()) + ": per-channel scales need it");
    return true;
  }

  /// The plan, with as many of the noisiest layers in float as the tolerance asks for.
  Plan choose(Model& model, PassContext& context, const std::vector<Unit>& units,
              const std::function<Plan(const std::set<std::string>&)>& plan_with,
              const Prepared& prepared) const {
    Plan plan = plan_with(prepared.unobserved);
    if (effort_ == Effort::kQuick) return plan;
    std::vector<std::pair<double, std::string>> noisiest;
    for (size_t i = 0; i < units.size(); ++i) {
      const auto noise = prepared.noise.find(units[i].output);
      if (plan.in_int8[i] && noise != prepared.noise.end()) {
        noisiest.emplace_back(-noise->second, units[i].output);
      }
    }
    std::sort(noisiest.begin(), noisiest.end());
    const auto kept_with = [&](size_t count) {
      std::set<std::string> kept = prepared.unobserved;
      for (size_t i = 0; i < count; ++i) kept.insert(noisiest[i].second);
      return kept;
    };
    quantization::DamageProbe probe(model, context.runtime(), context.calibration().data(),
                                    kDamageSamples, context.threads());
    const auto damage_with = [&](size_t count) {
      Model candidate = model.clone();
      quantization::emit_plan(candidate, quantization::rebind(candidate, units),
                              plan_with(kept_with(count)).in_int8, prepared.params,
                              prepared.weights);
      return probe.damage(candidate);
    };
    const size_t count = quantization::least_count(
        noisiest.size(), tolerance_, effort_ == Effort::kNormal ? 7 : 25, damage_with);
    if (count == 0) return plan;
    context.count("layers back to float", static_cast<int64_t>(count));
    return plan_with(kept_with(count));
  }

  void report_decisions(PassContext& context, const std::vector<Unit>& units, const Plan& widest,
                        const Plan& plan, const quantization::CostModel& costs,
                        const std::map<std::string, double>& noises) const {
    for (size_t i = 0; i < units.size(); ++i) {
      const Unit& unit = units[i];
      if (!is_layer(unit)) continue;
      if (plan.in_int8[i]) {
        context.decided(unit.layer, {.method = "int8 per-channel", .detail = ""});
        continue;
      }
      const auto noise = noises.find(unit.output);
      const auto cost = costs.unit(unit);
      std::string reason;
      if (widest.in_int8[i] && noise != noises.end()) {
        reason = "expected noise " + percent(noise->second) + " of its output";
      } else if (widest.in_int8[i]) {
        reason = "no calibration statistics";
      } else {
        reason = "does not pay: " + microseconds(cost.in_float) + " in float, " +
                 microseconds(cost.in_int8) +
                 " in int8 and its share of the changes between the two";
      }
      context.skipped(unit.layer, reason);
    }
  }

  static std::string percent(double share) {
    const std::string text = std::to_string(share * 100);
    return text.substr(0, text.find('.') + 3) + " %";
  }
  static std::string microseconds(double nanoseconds) {
    const std::string text = std::to_string(nanoseconds / 1000);
    return text.substr(0, text.find('.') + 2) + " us";
  }

  std::vector<Layer> store_candidates(
      const std::vector<Unit>& units, const Plan& plan,
      const std::vector<quantization::RefusedLayer>& refused) const {
    std::vector<Layer> layers;
    if (!store_float_) return layers;
    const auto add = [&](const Layer& layer) {
      const bool storable =
          layer.weight_is_plain && layer.weight.constant_type() == DataType::kFloat &&
          3 * layer.weight_count() > 4 * layer.outputs + kStoreOverhead &&
          (layer.kind == LayerKind::kConv || layer.kind == LayerKind::kConvTranspose ||
           layer.kind == LayerKind::kGemm || layer.kind == LayerKind::kMatMul) &&
          !layer.shared_weight && layer.weight_shape.size() >= 2;
      if (storable) layers.push_back(layer);
    };
    for (size_t i = 0; i < units.size(); ++i) {
      if (is_layer(units[i]) && !plan.in_int8[i]) add(units[i].layer);
    }
    for (const auto& [layer, reason] : refused) add(layer);
    return layers;
  }

  RangeMethod method_ = RangeMethod::kMse;
  double percentile_ = 99.99;
  Where where_ = Where::kPays;
  double tolerance_ = 0.01;
  Effort effort_ = Effort::kNormal;
  bool store_float_ = true;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(quantize_static, mcompress::passes::QuantizeStatic)
