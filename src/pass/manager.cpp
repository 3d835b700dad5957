// SPDX-License-Identifier: Apache-2.0
#include "pass/manager.h"

#include <algorithm>
#include <chrono>

#include "ir/contents.h"
#include "pass/late_refusal.h"

namespace mcompress {
namespace {

std::string quoted(const ConfigValue& value) {
  return value.quoted ? '"' + value.scalar + '"' : value.scalar;
}

/// No step has quantized or encoded a weight.
bool holds_plain_weights(Model& model) {
  const auto layers = find_layers(model);
  return std::all_of(layers.begin(), layers.end(),
                     [](const Layer& layer) { return layer.weight_is_plain; });
}

}  // namespace

std::string one_line(const ConfigValue& options) {
  std::string text;
  switch (options.kind) {
    case ConfigValue::Kind::kNull:
      return "null";
    case ConfigValue::Kind::kScalar:
      return quoted(options);
    case ConfigValue::Kind::kList:
      for (const auto& item : options.list) text += (text.empty() ? "" : ", ") + one_line(item);
      return "[" + text + "]";
    case ConfigValue::Kind::kMap:
      for (const auto& entry : options.map) {
        text += (text.empty() ? "" : ", ") + entry.key + ": " + one_line(entry.value);
      }
      return text;
  }
  return text;
}

std::unique_ptr<Pass> PassManager::bind(const StepSpec& step) const {
  std::unique_ptr<Pass> pass = passes_.create(step.pass);
  OptionSet options;
  pass->describe(options);
  std::vector<Diagnostic> problems;
  options.bind(step.options, step.pass, problems);
  if (problems.empty()) {
    const std::string complaint = pass->check_options();
    if (!complaint.empty())
      problems.push_back({step.where, step.pass + ": " + complaint, "", false});
  }
  if (problems.empty()) return pass;
  std::string message;
  for (const auto& problem : problems) message += (message.empty() ? "" : "\n") + problem.str();
  throw Error(ErrorCode::kRecipe, message);
}

Fidelity PassManager::fidelity(const std::string& pass) const {
  return passes_.create(pass)->info().fidelity;
}

void PassManager::check_services(const Pass& pass) const {
  if (pass.info().needs.runtime) context_.runtime();
  if (pass.skips_without_data()) return;
  if (pass.info().needs.calibration) context_.calibration();
  if (pass.info().needs.training) {
    context_.training_data();
    context_.trainer();
  }
}

PassOutcome PassManager::run(Model& model, const StepSpec& step) {
  const auto begin = std::chrono::steady_clock::now();
  context_.clear_records();
  context_.clear_refusals();
  context_.set_selection(LayerSelection(step.only, step.skip));
  PassOutcome outcome;
  {
    OptionSet options;
    const auto pass = bind(step);
    pass->describe(options);
    outcome.options = one_line(options.effective());
  }
  Model snapshot = model.clone();
  try {
    outcome.changed = run_restarting(model, step);
    const bool differs = !ir::same_contents(snapshot, model);
    if (differs != outcome.changed) {
      throw Error(ErrorCode::kBug, std::string("says the model ") +
                                       (outcome.changed ? "changed" : "is unchanged") +
                                       ", and it " + (differs ? "changed" : "did not"));
    }
    if (outcome.changed) {
      verify(snapshot, model, step.pass);
      if (quantizes(step) && holds_plain_weights(snapshot)) {
        context_.keep_reference(std::move(snapshot));
      }
    }
  } catch (Error& error) {
    model = std::move(snapshot);
    error.with_context(step.pass);
    throw;
  } catch (const Unsupported& refusal) {
    // The whole step cannot be done on this model: it is skipped, and the report says why.
    model = std::move(snapshot);
    context_.forget_types();
    context_.warn(step.pass + ": nothing done: " + refusal.reason());
    outcome.changed = false;
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return outcome;
}

bool PassManager::quantizes(const StepSpec& step) const {
  return bind(step)->stored_bits_per_weight().value_or(32) <= 8;
}

bool PassManager::run_restarting(Model& model, const StepSpec& step) {
  const Model snapshot = model.clone();
  for (;;) {
    const auto pass = bind(step);
    context_.use_table(pass->calibration_table(), model);
    check_services(*pass);
    try {
      return pass->run(model, context_);
    } catch (const LateRefusal& refusal) {
      model = snapshot.clone();
      context_.forget_types();
      context_.clear_records();
      context_.refuse(refusal.layer_output, refusal.reason);
    }
  }
}

void PassManager::verify(const Model& before, const Model& after, const std::string& pass) const {
  if (!context_.has_runtime()) return;
  const auto why = context_.runtime().load_error(after);
  if (!why) return;
  if (context_.runtime().load_error(before)) {
    // Operators that the runtime does not know (rules.md 19): the structure is all that was
    // checked.
    context_.warn(pass +
                  ": not run: the runtime does not load the model, before or after: " + *why);
    return;
  }
  throw Error(ErrorCode::kBug, "the model that " + pass + " made does not load: " + *why)
      .hint("leave the layer out with skip, and report this with the model");
}

}  // namespace mcompress
