// SPDX-License-Identifier: Apache-2.0
//
// Trains the weights on labelled data, on a teacher, or on both.
//
//   Before:  y = MatMul(x, W)    W = [0.9, 0, -0.5, 0]
//   After:   y = MatMul(x, W)    W = [0.84, 0, -0.61, 0]     (zeros stay zero)
//
// What earlier steps made stays made: zeros stay zero, shared values stay
// shared (each is one number, whose gradient is the sum over its places),
// factors stay factors, tied layers tied. After each epoch the metric decides
// on the validation data, in ONNX Runtime: the best epoch is the result, or the
// start where none was better.
//
// Distillation (arXiv 1503.02531): the outputs of a teacher, divided by a
// temperature, are learned beside the labels; inner values, too, where
// `features` names them. With prune-sparsity weights become zero while it
// trains, along a cubic curve (arXiv 1710.01878), by magnitude or by where
// training moves them (2005.07683), and some may come back.
//
// Refuses: quantized and encoded weights, nodes that no gradient passes,
// teachers with other inputs or outputs.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "analysis/weight_editor.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "training/task.h"

namespace mcompress::passes {
namespace {

using Curve = GradualPruning::Curve;
using Scope = GradualPruning::Scope;

class FineTune : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "fine-tune",
        .summary = "train the weights on labels, on a teacher or on both",
        .fidelity = Fidelity::kTraining,
        .needs = {.runtime = true, .training = true, .judge = true},
        .idempotent = false,
        .cost =
            "time: minutes to hours; needs training data and the trainer (tools/setup --training)",
        .benefit =
            "accuracy that pruning, sharing and low rank have cost; sparsity they cannot reach "
            "alone",
    };
    return info;
  }
  bool acts_on_layers() const override { return true; }
  bool skips_without_data() const override { return options_.skip_without; }

  void describe(OptionSet& o) override {
    options_.describe(o);
    o.add("prune-sparsity", sparsity_,
          "Part of the weights that is zero in the end; one number, or one for each layer in graph "
          "order; none: nothing is pruned")
        .range(0, 1);
    o.add("prune-from", from_, "Part that is zero at the beginning").range(0, 1);
    o.add("prune-curve", prune_.curve,
          {{"cubic", Curve::kCubic},
           {"linear", Curve::kLinear},
           {"exponential", Curve::kExponential}},
          "How the part grows over the steps");
    o.add("prune-until", prune_.until,
          "Share of the steps at which the part is reached; the rest heals")
        .range(0, 1);
    o.add("prune-every", every_,
          "Steps after which zeros are chosen anew; auto: by how many steps there are until "
          "prune-until, at most 20",
          {"auto"})
        .at_least(1);
    o.add("prune-scope", prune_.scope, {{"local", Scope::kLocal}, {"global", Scope::kGlobal}},
          "Each layer loses its part, or all layers together");
    o.add("prune-score", prune_.score,
          {{"magnitude", PruneScore::kMagnitude}, {"movement", PruneScore::kMovement}},
          "What goes first: the smallest weights, or those that training moves towards zero");
    o.add("prune-regrow", prune_.regrow,
          "Share of the zeros that may come back each time: those of the largest gradient")
        .range(0, 1);
  }

  std::string check_options() const override {
    if (sparsity_.size() > 1 && prune_.scope == Scope::kGlobal) {
      return "prune-sparsity has an entry for each layer, and prune-scope: global is for one "
             "number";
    }
    if (const std::string complaint = check_pruning(); !complaint.empty()) return complaint;
    return options_.check();
  }

  bool run(Model& model, PassContext& context) override {
    if (!training::can_train(options_, context)) return false;
    const std::vector<Layer> layers =
        select_layers(model, context, [](const Layer& layer) -> std::string {
          return layer.weight_is_plain ? "" : "its weight is stored in another form, which decode-weights makes plain";
        });
    training::PreparedTask prepared = training::prepare(options_, model, layers, context);
    plan_pruning(prepared, layers);
    const bool changed = training::train(model, prepared.task, context);
    if (prepared.task.prune) keep_zeros(model, *prepared.task.prune, context);
    for (const Layer& layer : layers) {
      if (changed && is_trained(prepared, layer.weight.name()))
        context.decided(layer, {.method = "fine-tuned", .detail = ""});
    }
    return changed;
  }

 private:
  std::string check_pruning() const {
    if (sparsity_.empty()) {
      if (from_ > 0) return fmt::format("prune-from {} needs prune-sparsity, where it ends", from_);
      if (prune_.regrow > 0)
        return fmt::format("prune-regrow {} needs prune-sparsity", prune_.regrow);
      return "";
    }
    for (const double to : sparsity_) {
      if (to >= 1) return "prune-sparsity 1 leaves nothing of a layer; write less, as 0.99";
      if (from_ > to) {
        return fmt::format("prune-from {} is above prune-sparsity {}, and zeros only grow", from_,
                           to);
      }
    }
    return "";
  }

  static bool is_trained(const training::PreparedTask& prepared, const std::string& name) {
    const auto& chosen = prepared.task.parameters;
    const auto& names = chosen.empty() ? prepared.check.parameters : chosen;
    return std::find(names.begin(), names.end(), name) != names.end();
  }

  void plan_pruning(training::PreparedTask& prepared, const std::vector<Layer>& layers) const {
    if (sparsity_.empty()) return;
    GradualPruning prune = prune_;
    prune.from = from_;
    if (every_) prune.every = std::llround(*every_);
    prune.to = sparsity_.front();
    std::set<std::string> seen;
    for (const Layer& layer : layers) {
      const std::string& name = layer.weight.name();
      if (is_trained(prepared, name) && seen.insert(name).second) prune.weights.push_back(name);
    }
    if (sparsity_.size() > 1) {
      if (sparsity_.size() != prune.weights.size()) {
        throw Error(ErrorCode::kRecipe,
                    fmt::format("prune-sparsity has {} entries for {} layers: {}", sparsity_.size(),
                                prune.weights.size(), fmt::join(prune.weights, ", ")))
            .hint("give one number for all, or one for each layer in graph order");
      }
      prune.per_weight = sparsity_;
    }
    prepared.task.prune = std::move(prune);
  }

  static void keep_zeros(Model& model, const GradualPruning& prune, PassContext& context) {
    for (const std::string& name : prune.weights) {
      const ValueRef value = model.graph().find(name);
      if (!value) continue;
      analysis::record_constraint(model, value, ConstraintKind::kMask, "fine-tune");
      const auto weight = value.constant();
      if (!weight) continue;
      const std::vector<float> values = weight->to_float();
      context.count("weights", weight->count());
      context.count("zeros", std::count(values.begin(), values.end(), 0.0F));
    }
  }

  training::TrainingOptions options_;
  std::vector<double> sparsity_;
  double from_ = 0;
  std::optional<double> every_;
  GradualPruning prune_;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(fine_tune, FineTune)
