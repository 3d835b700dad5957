// SPDX-License-Identifier: Apache-2.0
#include "pipeline/step_runner.h"

#include <algorithm>

#include "mcompress/interrupt.h"
#include "recipe/curves.h"

namespace mcompress {
namespace {

bool all_hold(const std::vector<GateVerdict>& verdicts) {
  return std::all_of(verdicts.begin(), verdicts.end(),
                     [](const GateVerdict& v) { return v.holds; });
}

void set_action(std::vector<GateVerdict>& verdicts, const std::string& action) {
  for (auto& verdict : verdicts) {
    const bool is_left_out = action == "rolled back" && verdict.action == kLeftOut;
    if (!verdict.holds && !is_left_out) verdict.action = action;
  }
}

/// Shows the step for as long as it runs, also when it throws.
class StepProgress {
 public:
  StepProgress(Progress& progress, const std::string& label) : progress_(progress) {
    progress_.begin("step " + label, 0);
  }
  StepProgress(const StepProgress&) = delete;
  StepProgress& operator=(const StepProgress&) = delete;
  ~StepProgress() { progress_.end(); }

 private:
  Progress& progress_;
};

/// The round that a repeat's `until` judges: a row of the report of its own.
StepReport round_report(const std::string& label, int round, int rounds) {
  StepReport report;
  report.name = "repeat";
  report.label = label + ": round " + std::to_string(round) + " of " + std::to_string(rounds);
  return report;
}

}  // namespace

StepSpec plain_step(std::string pass) {
  StepSpec step;
  step.pass = std::move(pass);
  return step;
}

bool StepRunner::run(Model& model, const std::vector<StepSpec>& steps,
                     std::vector<StepReport>& reports) {
  return run_list(model, steps, "", reports) != Next::kStop;
}

StepRunner::Next StepRunner::run_list(Model& model, const std::vector<StepSpec>& steps,
                                      const std::string& prefix, std::vector<StepReport>& reports) {
  for (size_t i = 0; i < steps.size() && !context_.finishes_early(); ++i) {
    const std::string label = prefix + std::to_string(i + 1);
    const StepSpec* following = i + 1 < steps.size() ? &steps[i + 1] : nullptr;
    const Next next = steps[i].pass.empty()
                          ? run_repeat(model, steps[i], label, reports)
                          : run_step(model, steps[i], following, label, reports);
    // Outside a loop a step that was rolled back is left out, and the recipe goes on.
    if (next == Next::kStop || (next == Next::kEndLoop && !prefix.empty())) return next;
  }
  return Next::kGoOn;
}

bool StepRunner::keeps_outputs(const StepSpec& step) const {
  if (step.pass.empty()) return false;
  const Fidelity fidelity = manager_.fidelity(step.pass);
  return fidelity == Fidelity::kExact || fidelity == Fidelity::kRounding;
}

void StepRunner::measure(Model& model, const StepSpec& step, const StepSpec* following,
                         StepReport& report) {
  if (report.changed && manager_.fidelity(step.pass) != Fidelity::kExact) metric_.reset();
  const bool left_to_next =
      following != nullptr && keeps_outputs(step) && keeps_outputs(*following);
  StepQuestion question{.metric = !metric_ && !left_to_next};
  if (step.gate) question.limits = step.gate->limits;
  judge_.measure(model, question, report);
  if (report.metric) {
    metric_ = report.metric;
  } else if (report.changed) {
    report.metric = metric_;
  }
}

StepRunner::Next StepRunner::run_step(Model& model, const StepSpec& step, const StepSpec* following,
                                      const std::string& label, std::vector<StepReport>& reports) {
  State before = state_of(model);
  try {
    return perform(model, before, step, following, label, reports);
  } catch (const Error& error) {
    if (!trained_ || error.code() != ErrorCode::kInterrupted) throw;
    restore(model, before);
    context_.finish_early();
    return Next::kGoOn;
  }
}

StepRunner::Next StepRunner::perform(Model& model, State& before, const StepSpec& step,
                                     const StepSpec* following, const std::string& label,
                                     std::vector<StepReport>& reports) {
  check_interrupt();
  if (before_step_) before_step_(model, step);
  context_.set_step(++step_count_);
  StepReport report;
  report.name = step.pass;
  report.label = label + ": " + step.pass;
  const StepProgress progress(context_.progress(), report.label);
  const PassOutcome outcome = manager_.run(model, step);
  report.options = outcome.options;
  report.changed = outcome.changed;
  report.seconds = outcome.seconds;
  report.counters = context_.counters();
  report.warnings = context_.warnings();
  report.notes = context_.notes();
  for (const auto& [epoch, best] : context_.epochs()) {
    report.epochs.push_back(
        {epoch.loss, epoch.validation_loss, epoch.score, epoch.learning_rate, epoch.seconds, best});
  }
  for (const auto& skip : context_.skips()) {
    report.skips.push_back({skip.layer, skip.output, skip.reason});
  }
  const auto decisions = context_.decisions();
  try {
    measure(model, step, following, report);
  } catch (const Error& error) {
    const bool has_trained = !report.epochs.empty() && !step.gate;
    if (!has_trained || error.code() != ErrorCode::kInterrupted) throw;
    context_.finish_early();
  }
  const Next next = step.gate ? apply_gate(model, before, *step.gate, report) : Next::kGoOn;
  if (!report.rolled_back) {
    trained_ |= !report.epochs.empty();
    decisions_.insert(decisions_.end(), decisions.begin(), decisions.end());
    if (on_step_) on_step_(model, report);
  }
  reports.push_back(std::move(report));
  return next;
}

StepRunner::State StepRunner::state_of(const Model& model) const {
  return {model.clone(), metric_};
}

void StepRunner::restore(Model& model, State& state) {
  model = std::move(state.model);
  metric_ = state.metric;
  context_.forget_types();
}

StepRunner::Next StepRunner::apply_gate(Model& model, State& before, const GateSpec& gate,
                                        StepReport& report) {
  report.gates = judge_.judge(gate.limits, gate.strict);
  if (all_hold(report.gates)) return Next::kGoOn;
  if (gate.on_fail == OnFail::kWarn) {
    set_action(report.gates, "warned");
    return Next::kGoOn;
  }
  restore(model, before);
  report.rolled_back = true;
  const bool stop = gate.on_fail == OnFail::kStop;
  set_action(report.gates, stop ? "stopped" : "rolled back");
  return stop ? Next::kStop : Next::kEndLoop;
}

StepRunner::Next StepRunner::run_repeat(Model& model, const StepSpec& step,
                                        const std::string& label,
                                        std::vector<StepReport>& reports) {
  for (int round = 0; round < step.repeat; ++round) {
    State before = state_of(model);
    const auto decisions_before = decisions_.size();
    std::vector<StepSpec> steps;
    for (const auto& inner : step.steps) steps.push_back(resolve_curves(inner, round, step.repeat));
    const Next next =
        run_list(model, steps, label + "." + std::to_string(round + 1) + ".", reports);
    if (next == Next::kStop || context_.finishes_early()) return next;
    StepReport report = round_report(label, round + 1, step.repeat);
    bool failed = next == Next::kEndLoop;
    if (!failed && (!step.until.empty() || step.gate)) {
      StepQuestion question{.limits = step.until};
      std::vector<LimitSpec>& limits = question.limits;
      if (step.gate)
        limits.insert(limits.end(), step.gate->limits.begin(), step.gate->limits.end());
      judge_.measure(model, question, report);
      report.gates = judge_.judge(limits, step.gate && step.gate->strict);
      failed = !all_hold(report.gates);
    }
    if (!failed) {
      if (!report.gates.empty()) reports.push_back(std::move(report));
      continue;
    }
    // The last good round stands; whether that is an error is the gate's to say.
    const OnFail on_fail = step.gate ? step.gate->on_fail : OnFail::kRollBack;
    if (next != Next::kEndLoop && on_fail == OnFail::kWarn && step.until.empty()) {
      set_action(report.gates, "warned");
      reports.push_back(std::move(report));
      continue;
    }
    restore(model, before);
    decisions_.resize(decisions_before);
    report.rolled_back = true;
    set_action(report.gates,
               on_fail == OnFail::kStop && step.until.empty() ? "stopped" : "rolled back");
    reports.push_back(std::move(report));
    return on_fail == OnFail::kStop && step.until.empty() && step.gate ? Next::kStop : Next::kGoOn;
  }
  return Next::kGoOn;
}

}  // namespace mcompress
