// SPDX-License-Identifier: Apache-2.0
//
// quantize-static: 8-bit weights and activations from calibration, as QuantizeLinear /
// DequantizeLinear pairs that ONNX Runtime fuses into integer kernels.
//
// Before   y = Relu(Conv(x, w, b))
// After    y = Relu(Conv(DQ(Q(x)), DQ(w8), DQ(b32)));  readers of y read DQ(Q(y))
//          MatMul and Gemm: their output stays float. Add, Mul, Concat, MaxPool and what only moves
//          values join their neighbours.
//
// q = clip(round(v / s) + z): activations uint8 with one scale, weights int8 symmetric with one
// scale per output channel, bias int32 with scale s_x * s_w.
//
// Which layers: those for which it pays by the costs of the target, changes between float and 8
// bits included (quantization/plan.h: a minimum cut). When the whole loses more than `tolerance`,
// weights are rounded by error compensation; when that is not enough, layers go back to float by
// the damage that each does alone, the worst first, until it is inside (quantization/recovery.h).
// Layers that stay in float store their weight in 8 bits where that costs no time.
//
// Refuses: grouped convolutions, batched weights, products with alpha, beta or transA, layers whose
// shapes are not known or whose output leaves the graph, layers in subgraph bodies, what is
// quantized already (quantization/units.h).
//
// Jacob et al. 2018 (integer arithmetic); Krishnamoorthi 2018 (per-channel weights).
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>

#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "quantization/candidates.h"
#include "quantization/options.h"
#include "quantization/prepare.h"
#include "quantization/recovery.h"

namespace mcompress::passes {
namespace {

using quantization::is_layer;
using quantization::Plan;
using quantization::Prepared;
using quantization::Unit;

constexpr int64_t kStoreOverhead = 400;  // bytes that Cast, Mul and their names take in the file

enum class Effort { kQuick, kNormal, kThorough };
enum class MissingData { kFail, kSkip };

/// Passes over the calibration data (rules.md 28).
int passes_of(Effort effort) {
  return effort == Effort::kQuick ? 0 : effort == Effort::kNormal ? 10 : 60;
}

class QuantizeStatic final : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "quantize-static",
        .summary = "INT8 weights and activations from calibration, in the form that fuses",
        .fidelity = Fidelity::kLossy,
        .needs = {.runtime = true, .calibration = true, .judge = true},
        .cost = "a pass over the calibration data; some accuracy, bounded by tolerance",
        .benefit = "a quarter of the size; 2 to 4 times faster where kernels fuse"};
    return info;
  }

  void describe(OptionSet& o) override {
    integers_.describe_ranges(
        o,
        "; auto: each by the method with the least error at the output of the layer that reads it");
    o.add_file("table", table_,
               "Ranges from a file of mcompress calibrate; what it does not have comes from the "
               "calibration data, if there is some");
    integers_.describe_layers(o, "");
    o.add("tolerance", tolerance_,
          "Points of the metric that may be lost before layers go back to float; without data to "
          "judge by, ten times the damage to the outputs: divergence of probabilities, or noise "
          "over "
          "signal")
        .at_least(0);
    o.add("effort", effort_,
          {{"quick", Effort::kQuick}, {"normal", Effort::kNormal}, {"thorough", Effort::kThorough}},
          "Passes over the data spent on getting back inside the tolerance: 0, 10 or 60");
    o.add("missing-data", missing_data_,
          {{"fail", MissingData::kFail}, {"skip", MissingData::kSkip}},
          "Without calibration data: an error, or leave the step out and say so");
    o.add("store-float", store_float_,
          "Store the weights of layers that stay in float in 8 bits, too");
  }

  bool acts_on_layers() const override { return true; }
  std::optional<double> stored_bits_per_weight() const override { return 8; }

  bool skips_without_data() const override { return missing_data_ == MissingData::kSkip; }

  std::string calibration_table() const override { return table_; }

  bool run(Model& model, PassContext& context) override {
    if (!context.has_calibration() && skips_without_data()) {
      context.warn(
          "left out: there is no calibration data; give some with --data calibration=FILE");
      return false;
    }
    const quantization::Candidates found =
        quantization::find_candidates(model, context, select_layers(model, context));
    bool changed = found.opset_raised;
    const ValueTypes& types = found.types;
    const auto& units = found.units;
    const auto& refused = found.refused;
    const quantization::CostModel costs(context.target(), context.costs());
    const auto plan_with = [&](const std::set<std::string>& in_float) {
      return quantization::make_plan(model, types, units, costs, in_float,
                                     integers_.only_what_pays);
    };
    // What goes back to float later takes others along, never the other way: only this much is to
    // be watched.
    const Plan widest = plan_with({});
    Prepared prepared = quantization::prepare(model, context, units, widest, integers_.how);
    const quantization::Recovered chosen = choose(model, context, units, plan_with, prepared);
    report_decisions(context, units, widest, chosen, costs, prepared);
    const auto leftover = store_candidates(units, chosen.plan, refused);
    const int emitted = quantization::emit_plan(model, units, chosen.plan.in_int8, prepared.params,
                                                prepared.weights);
    context.count("layers in int8", emitted);
    changed |= std::find(chosen.plan.in_int8.begin(), chosen.plan.in_int8.end(), true) !=
               chosen.plan.in_int8.end();
    for (const Layer& layer : leftover) {
      const auto weight = layer.weight.constant();
      quantization::store_in_8_bits(layer, *weight);
      context.decided(layer, {.method = "int8 weights", .detail = "runs in float"});
      changed = true;
    }
    return changed;
  }

 private:
  /// What runs in 8 bits: all that pays, or as much of it as is inside the tolerance.
  quantization::Recovered choose(Model& model, PassContext& context, const std::vector<Unit>& units,
                                 const std::function<Plan(const std::set<std::string>&)>& plan_with,
                                 Prepared& prepared) const {
    quantization::Recovered chosen;
    chosen.plan = plan_with(prepared.unobserved);
    const auto& in_int8 = chosen.plan.in_int8;
    const bool any = std::find(in_int8.begin(), in_int8.end(), true) != in_int8.end();
    // A table without data says nothing of outputs.
    if (effort_ == Effort::kQuick || !any || !context.calibration().has_data()) return chosen;
    quantization::CandidateJudge judge(model, context, tolerance_);
    chosen = quantization::recover(model, context, units, plan_with, prepared, judge,
                                   {.passes = passes_of(effort_), .prepare = integers_.how});
    chosen.story = fmt::format("all that pays in 8 bits: {}; what is left of it: {}",
                               judge.describe(chosen.first), judge.describe(chosen.last));
    context.count("candidates judged", chosen.judged);
    context.count("layers back to float", static_cast<int64_t>(chosen.returned));
    if (chosen.finer) context.count("layers rounded once more", chosen.rounded);
    if (!chosen.last.inside) {
      context.warn(fmt::format("no plan is inside the tolerance of {}: {}", tolerance_,
                               judge.describe(chosen.last)));
    }
    return chosen;
  }

  void report_decisions(PassContext& context, const std::vector<Unit>& units, const Plan& widest,
                        const quantization::Recovered& chosen, const quantization::CostModel& costs,
                        const Prepared& prepared) const {
    std::map<size_t, size_t> rank;
    for (size_t i = 0; i < chosen.ranking.size(); ++i) rank[chosen.ranking[i].first] = i;
    for (size_t i = 0; i < units.size(); ++i) {
      const Unit& unit = units[i];
      if (!is_layer(unit)) continue;
      const auto place = rank.find(i);
      const std::string damage = place == rank.end()
                                     ? ""
                                     : fmt::format("alone it does damage {:.5f} at the output",
                                                   chosen.ranking[place->second].second);
      if (chosen.plan.in_int8[i]) {
        context.decided(unit.layer, {.method = "int8 per-channel", .detail = damage});
        continue;
      }
      const auto cost = costs.unit(unit);
      std::string reason;
      if (place != rank.end() && place->second < chosen.returned) {
        reason = fmt::format("back to float as number {} of {}: {}", place->second + 1,
                             chosen.returned, damage);
        if (place->second == 0) reason += "; " + chosen.story;
      } else if (widest.in_int8[i] && prepared.unobserved.contains(unit.output)) {
        reason = "no calibration statistics";
      } else if (widest.in_int8[i]) {
        reason = "does not pay once its neighbours are back in float";
      } else {
        reason = fmt::format(
            "does not pay: {:.1f} us in float, {:.1f} us in int8 and its share of the changes "
            "between the two",
            cost.in_float / 1000, cost.in_int8 / 1000);
      }
      context.skipped(unit.layer, reason);
    }
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

  quantization::IntegerOptions integers_;
  std::string table_;
  double tolerance_ = 0.5;
  Effort effort_ = Effort::kNormal;
  MissingData missing_data_ = MissingData::kFail;
  bool store_float_ = true;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(quantize_static, mcompress::passes::QuantizeStatic)
