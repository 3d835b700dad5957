// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mcompress/recipe.h"
#include "mcompress/report.h"
#include "pass/manager.h"

namespace mcompress {

/// Action of a verdict that nothing was measured for: a step that its gate would roll back then is
/// left out.
inline constexpr const char* kLeftOut = "left out";

/// A pass with its defaults.
StepSpec plain_step(std::string pass);

/// What is asked of the model that a step left behind.
struct StepQuestion {
  std::vector<LimitSpec> limits = {};  ///< of its gate or `until`: what they name is measured
  bool metric = true;                  ///< measured without a limit, too
};

/// Measures the states of the model that a run goes through; what gates are judged by.
class StepJudge {
 public:
  virtual ~StepJudge() = default;
  /// Fills size, metric and latency of a step whose model is `model`, as far as they are asked for or
  /// cost little.
  virtual void measure(Model& model, const StepQuestion& question, StepReport& step) = 0;
  /// One verdict a limit, from what was measured last.
  virtual std::vector<GateVerdict> judge(const std::vector<LimitSpec>& limits, bool strict) = 0;
};

/// Goes through the steps of a recipe: passes, rounds of `repeat`, gates, roll-back. The metric is known
/// after every step that changed the model, without a pass over the data for each: exact steps carry the
/// figure on, and of steps in a row that compute the same but for rounding the last one is judged.
/// An interrupt behind a step that trained ends the run with the model before the step it came in
/// (PassContext::finish_early); what was learned is not thrown away. Otherwise it is thrown on.
class StepRunner {
 public:
  StepRunner(PassManager& manager, PassContext& context, StepJudge& judge)
      : manager_(manager), context_(context), judge_(judge) {}

  /// The metric of the model that the first step gets; unknown without.
  void starts_at(const std::optional<MetricFigure>& metric) { metric_ = metric; }
  /// Called with the model after each step that was kept.
  void on_step(std::function<void(const Model&, const StepReport&)> callback) {
    on_step_ = std::move(callback);
  }
  /// Called before each step with the model as it is then.
  void before_step(std::function<void(Model&, const StepSpec&)> callback) {
    before_step_ = std::move(callback);
  }
  /// Runs all; appends to `reports`. Returns false when a gate stopped the run: `model` is then the
  /// best so far, the state before the step that failed.
  bool run(Model& model, const std::vector<StepSpec>& steps, std::vector<StepReport>& reports);

  /// Decisions of all steps by layer output, the latest last.
  const std::vector<PassContext::Decision>& decisions() const { return decisions_; }

 private:
  enum class Next { kGoOn, kEndLoop, kStop };
  /// What a roll-back or an interrupt goes back to.
  struct State {
    Model model;
    std::optional<MetricFigure> metric;
  };
  Next run_list(Model& model, const std::vector<StepSpec>& steps, const std::string& prefix,
                std::vector<StepReport>& reports);
  /// `following`: the step after it in its list; null at the end.
  Next run_step(Model& model, const StepSpec& step, const StepSpec* following,
                const std::string& label, std::vector<StepReport>& reports);
  Next perform(Model& model, State& before, const StepSpec& step, const StepSpec* following,
               const std::string& label, std::vector<StepReport>& reports);
  bool keeps_outputs(const StepSpec& step) const;
  void measure(Model& model, const StepSpec& step, const StepSpec* following, StepReport& report);
  Next run_repeat(Model& model, const StepSpec& step, const std::string& label,
                  std::vector<StepReport>& reports);
  Next apply_gate(Model& model, State& before, const GateSpec& gate, StepReport& report);
  State state_of(const Model& model) const;
  /// Takes the model out of `state`.
  void restore(Model& model, State& state);

  PassManager& manager_;
  PassContext& context_;
  StepJudge& judge_;
  std::function<void(const Model&, const StepReport&)> on_step_;
  std::function<void(Model&, const StepSpec&)> before_step_;
  std::vector<PassContext::Decision> decisions_;
  std::optional<MetricFigure> metric_;  ///< of the model as it is; empty while it is not known
  bool trained_ = false;  ///< a step that was kept
  size_t step_count_ = 0;
};

}  // namespace mcompress
