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

/// Measures the states of the model that a run goes through; what gates are judged by.
class StepJudge {
 public:
  virtual ~StepJudge() = default;
  /// Fills size, metric and latency of a step whose model is `model`, as far as `limits` ask for
  /// them or they cost little.
  virtual void measure(Model& model, const std::vector<LimitSpec>& limits, StepReport& step) = 0;
  /// One verdict a limit, from what was measured last.
  virtual std::vector<GateVerdict> judge(const std::vector<LimitSpec>& limits, bool strict) = 0;
};

/// Goes through the steps of a recipe: passes, rounds of `repeat`, gates, roll-back.
class StepRunner {
 public:
  StepRunner(PassManager& manager, PassContext& context, StepJudge& judge)
      : manager_(manager), context_(context), judge_(judge) {}

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
  Next run_list(Model& model, const std::vector<StepSpec>& steps, const std::string& prefix,
                std::vector<StepReport>& reports);
  Next run_step(Model& model, const StepSpec& step, const std::string& label,
                std::vector<StepReport>& reports);
  Next run_repeat(Model& model, const StepSpec& step, const std::string& label,
                  std::vector<StepReport>& reports);
  Next apply_gate(Model& model, Model& before, const GateSpec& gate, StepReport& report);

  PassManager& manager_;
  PassContext& context_;
  StepJudge& judge_;
  std::function<void(const Model&, const StepReport&)> on_step_;
  std::function<void(Model&, const StepSpec&)> before_step_;
  std::vector<PassContext::Decision> decisions_;
  size_t step_count_ = 0;
};

}  // namespace mcompress
