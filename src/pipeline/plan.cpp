// SPDX-License-Identifier: Apache-2.0
#include "pipeline/plan.h"

#include "pass/manager.h"
#include "pipeline/measure.h"
#include "recipe/curves.h"

namespace mcompress {
namespace {

/// Goes through the steps with the size that each leaves at most.
class Planner {
 public:
  Planner(Model& model, const PassRegistry& passes, std::vector<StepReport>& steps)
      : layers_(find_layers(model)), context_({}), manager_(passes, context_), steps_(steps) {
    bytes_ = model.file_size();
  }

  void plan(const std::vector<StepSpec>& specs, const std::string& prefix) {
    for (size_t i = 0; i < specs.size(); ++i) {
      const std::string label = prefix + std::to_string(i + 1);
      if (specs[i].pass.empty()) {
        plan_repeat(specs[i], label);
      } else {
        plan_step(specs[i], label);
      }
    }
  }

  uint64_t bytes() const { return bytes_; }

 private:
  void plan_repeat(const StepSpec& step, const std::string& label) {
    for (int round = 0; round < step.repeat; ++round) {
      std::vector<StepSpec> inner;
      for (const auto& one : step.steps) inner.push_back(resolve_curves(one, round, step.repeat));
      plan(inner, label + "." + std::to_string(round + 1) + ".");
    }
  }

  void plan_step(const StepSpec& step, const std::string& label) {
    const auto pass = manager_.bind(step);
    OptionSet options;
    pass->describe(options);
    StepReport report;
    report.name = step.pass;
    report.label = label + ": " + step.pass;
    report.options = one_line(options.effective());
    predict(*pass, LayerSelection(step.only, step.skip));
    report.size.file_bytes = bytes_;
    report.size_is_bound = !is_estimate_;
    if (step.gate) {
      for (const auto& limit : step.gate->limits) {
        report.options +=
            (report.options.empty() ? "gate " : ", gate ") + limit.quantity + " " + limit.text;
      }
    }
    steps_.push_back(std::move(report));
  }

  /// A pass that stores its layers at a known width makes the size known as far as those go: which
  /// layers it leaves alone, and what scales take, is known only after running it.
  void predict(const Pass& pass, const LayerSelection& selection) {
    const auto bits = pass.stored_bits_per_weight();
    is_estimate_ |= bits.has_value();
    if (!bits) return;
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (!selection.reason_to_skip(layers_, i).empty() || !layers_[i].weight_is_plain) continue;
      const auto count = static_cast<double>(layers_[i].weight_count());
      const double now = data_type_bits(layers_[i].weight.constant_type());
      if (*bits < now) bytes_ -= static_cast<uint64_t>(count * (now - *bits) / 8);
    }
  }

  std::vector<Layer> layers_;
  PassContext context_;
  PassManager manager_;
  std::vector<StepReport>& steps_;
  uint64_t bytes_ = 0;
  bool is_estimate_ = false;
};

}  // namespace

void plan_run(Model& model, const Recipe& recipe, const PassRegistry& passes, RunReport& report) {
  Planner planner(model, passes, report.steps);
  planner.plan(recipe.steps, "");
  report.size_before.file_bytes = model.file_size();
  report.size_after.file_bytes = planner.bytes();
  report.validation = "nothing was run";
}

}  // namespace mcompress
