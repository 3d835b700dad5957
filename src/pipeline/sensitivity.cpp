// SPDX-License-Identifier: Apache-2.0
#include "pipeline/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>

#include "calibration/calibration.h"
#include "opset/service.h"
#include "pipeline/data_roles.h"
#include "pipeline/environment.h"
#include "pipeline/measure.h"
#include "pipeline/run_costs.h"
#include "pipeline/step_runner.h"
#include "recipe/curves.h"
#include "recipe/layer_plan.h"
#include "search/sensitivity.h"
#include "support/did_you_mean.h"
#include "support/hash.h"
#include "support/units.h"

namespace mcompress {
namespace {

constexpr int64_t kStaticOpset = 13;
/// Moments of all layers serve every single one of them, where they fit.
constexpr size_t kMomentBytes = size_t{1} << 30;

/// A choice by name: a pass with one option.
struct Named {
  std::string_view name, pass, option, value;
};
constexpr Named kNamed[] = {
    {"int8", "quantize-static", "", ""},
    {"int8-dynamic", "quantize-dynamic", "", ""},
    {"int8-weights", "quantize-weights", "bits", "8"},
    {"int4", "quantize-weights", "bits", "4"},
    {"int3", "quantize-weights", "bits", "3"},
    {"int2", "quantize-weights", "bits", "2"},
    {"ternary", "quantize-weights", "bits", "ternary"},
    {"binary", "quantize-weights", "bits", "binary"},
};

bool has_option(const PassRegistry& passes, const std::string& pass, std::string_view option) {
  OptionSet options;
  const auto object = passes.create(pass);
  object->describe(options);
  return std::any_of(options.infos().begin(), options.infos().end(),
                     [&](const OptionInfo& info) { return info.name == option; });
}

void set_option(StepSpec& step, std::string_view option, std::string_view value) {
  step.options.kind = ConfigValue::Kind::kMap;
  std::erase_if(step.options.map, [&](const auto& entry) { return entry.key == option; });
  ConfigValue scalar;
  scalar.kind = ConfigValue::Kind::kScalar;
  scalar.scalar = value;
  step.options.map.push_back({std::string(option), {}, std::move(scalar)});
}

std::string option_of(const StepSpec& step, std::string_view option) {
  const ConfigValue* value = step.options.find(option);
  return value == nullptr ? "" : value->scalar;
}

std::string name_of(const StepSpec& step) {
  if (step.pass != "quantize-weights") {
    for (const Named& named : kNamed) {
      if (named.pass == step.pass) return std::string(named.name);
    }
    return step.pass;
  }
  const std::string bits = option_of(step, "bits");
  if (bits.empty() || bits == "8") return "int8-weights";
  return std::isdigit(static_cast<unsigned char>(bits[0])) != 0 ? "int" + bits : bits;
}

/// Composite steps flattened: a layer is changed once, as in the last round.
void flatten(const std::vector<StepSpec>& steps, std::vector<StepSpec>& all, int rounds = 1) {
  for (const StepSpec& step : steps) {
    if (!step.pass.empty()) all.push_back(resolve_curves(step, rounds - 1, rounds));
    flatten(step.steps, all, std::max(1, step.repeat));
  }
}

class Choices {
 public:
  Choices(const Recipe& recipe, const PassRegistry& passes) : passes_(passes) {
    flatten(recipe.steps, steps_);
  }

  std::vector<search::Choice> of_recipe() const {
    std::vector<search::Choice> choices;
    for (const StepSpec& step : steps_) {
      const auto pass = passes_.create(step.pass);
      if (pass->info().fidelity == Fidelity::kLossy && pass->acts_on_layers()) add(choices, step);
    }
    if (!choices.empty()) return choices;
    throw Error(ErrorCode::kUsage, "no step of the recipe changes single layers with a loss")
        .hint("name changes with --options, for example --options int8,int4");
  }

  std::vector<search::Choice> named(const std::vector<std::string>& names) const {
    std::vector<search::Choice> choices;
    for (const std::string& name : names) add(choices, step_for(name), name);
    return choices;
  }

 private:
  /// With the options of the recipe's own step where it has one.
  StepSpec step_of(const std::string& pass) const {
    for (const StepSpec& step : steps_) {
      if (step.pass == pass) return step;
    }
    return plain_step(pass);
  }

  StepSpec step_for(const std::string& name) const {
    std::vector<std::string> known;
    for (const Named& named : kNamed) {
      known.emplace_back(named.name);
      if (named.name != name) continue;
      StepSpec step = step_of(std::string(named.pass));
      if (named.option.empty()) return step;
      if (has_option(passes_, step.pass, named.option)) {
        set_option(step, named.option, named.value);
      } else if (named.value != "8") {
        throw Error(ErrorCode::kUsage,
                    fmt::format("--options {}: {} has no '{}'", name, named.pass, named.option));
      }
      return step;
    }
    if (passes_.contains(name) && passes_.create(name)->acts_on_layers()) return step_of(name);
    for (const std::string& pass : passes_.names()) {
      if (passes_.create(pass)->acts_on_layers()) known.push_back(pass);
    }
    throw Error(ErrorCode::kUsage, "--options: unknown change '" + name + "'")
        .hint(did_you_mean(name, known));
  }

  /// The layer is changed whatever it costs: what the pass would decide is what is being found out.
  void add(std::vector<search::Choice>& choices, StepSpec step, std::string name = "") const {
    if (name.empty()) name = name_of(step);
    for (const auto& [option, value] :
         {std::pair{"where", "everywhere"}, std::pair{"effort", "quick"}}) {
      if (has_option(passes_, step.pass, option)) set_option(step, option, value);
    }
    const auto is_taken = [&](const std::string& word) {
      return std::any_of(choices.begin(), choices.end(),
                         [&](const search::Choice& choice) { return choice.name == word; });
    };
    std::string own = name;
    for (int i = 2; is_taken(own); ++i) own = name + "-" + std::to_string(i);
    choices.push_back({own, std::move(step)});
  }

  const PassRegistry& passes_;
  std::vector<StepSpec> steps_;
};

/// The first samples, evenly spread.
std::shared_ptr<const Dataset> some_of(const std::shared_ptr<const Dataset>& data, size_t count) {
  if (data->size() <= count) return data;
  std::vector<size_t> indices(count);
  for (size_t i = 0; i < count; ++i) indices[i] = i * data->size() / count;
  return subset(data, std::move(indices), fmt::format("{} of {}", count, data->description()));
}

class Finder {
 public:
  Finder(LoadedModel& loaded, const Recipe& recipe, const PassRegistry& passes,
         const SensitivityOptions& options)
      : loaded_(loaded), recipe_(recipe), passes_(passes), options_(options) {}

  SensitivityReport find() {
    const auto begin = std::chrono::steady_clock::now();
    const Choices all(recipe_, passes_);
    choices_ = options_.choices.empty() ? all.of_recipe() : all.named(options_.choices);
    identify();
    open();
    prepare();
    measure();
    search::choose_plan(report_);
    report_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(report_);
  }

 private:
  void identify() {
    report_.input = loaded_.path.string();
    report_.hash = support::hash_file(loaded_.path).labelled();
    report_.recipe_name = recipe_.name;
    report_.tolerance = options_.tolerance;
    report_.environment = environment_of(options_.runtime.get(), options_.threads);
    for (const search::Choice& choice : choices_) {
      const ConfigValue& options = choice.step.options;
      const bool has_some = options.kind == ConfigValue::Kind::kMap;
      report_.choices.push_back({choice.name, choice.step.pass, has_some ? one_line(options) : ""});
    }
  }

  void open() {
    costs_.emplace(recipe_, options_.cost_folder, false, options_.runtime, report_.warnings);
    report_.costs = costs_->figure();
    roles_ = open_roles(recipe_, fed_inputs(loaded_.model), Deciding::kRecipe);
    report_.data = roles_.descriptions;
    data_ = roles_.validation ? roles_.validation : roles_.calibration;
    if (!data_ && roles_.training) data_ = roles_.training;
    if (!data_ && roles_.evaluation) {
      data_ = roles_.evaluation;
      report_.warnings.push_back(
          "decided on the evaluation data: a figure of it flatters what follows this plan");
    }
    if (!data_) {
      throw Error(ErrorCode::kData, "sensitivity: no data to measure damage on")
          .hint("give it with --data calibration=PATH");
    }
    data_ = some_of(data_, options_.samples);
    const auto all = roles_.any();
    sample_ = sample_feeds(loaded_.model, all.get());
    PassContext::Services services;
    services.runtime = options_.runtime;
    if (roles_.calibration) {
      services.calibration = make_calibration(options_.runtime, roles_.calibration,
                                              options_.threads, options_.progress, kMomentBytes);
    }
    services.opset = make_opset_service();
    services.progress = options_.progress;
    services.costs = costs_->table();
    services.sample = roles_.shapes_for(loaded_.model);
    services.target.kind = recipe_.target;
    services.seed = recipe_.seed;
    services.threads = options_.threads;
    context_ = std::make_unique<PassContext>(services);
    manager_ = std::make_unique<PassManager>(passes_, *context_);
  }

  /// What the recipe does before it loses anything, and what all changes need alike.
  void prepare() {
    base_ = loaded_.model.clone();
    std::vector<StepSpec> steps;
    flatten(recipe_.steps, steps);
    for (const StepSpec& step : steps) {
      const Fidelity fidelity = passes_.create(step.pass)->info().fidelity;
      if (fidelity != Fidelity::kExact && fidelity != Fidelity::kRounding) break;
      context_->forget_types();
      manager_->run(*base_, step);
    }
    context_->forget_types();
    for (const search::Choice& choice : choices_) {
      const std::string method = option_of(choice.step, "method");
      if (choice.step.pass == "quantize-static" || method == "gptq" || method == "awq")
        observe_once(choice.step);
    }
    report_.file_bytes = base_->file_size();
  }

  /// One run over all layers: the calibration statistics of all values, collected in one pass over
  /// the data, then serve every single layer. They belong to this state of the model, so that what
  /// a layer needs of the opset is done first.
  void observe_once(StepSpec step) {
    try {
      context_->require_opset(*base_, kStaticOpset);
    } catch (const Unsupported& refusal) {
      report_.warnings.push_back("quantize-static: " + refusal.reason());
      return;
    }
    context_->forget_types();
    step.gate.reset();
    Model all = base_->clone();
    manager_->run(all, step);
    context_->forget_types();
  }

  void measure() {
    const search::OutputDamage outputs(*options_.runtime, loaded_.model, *data_, options_.samples,
                                       options_.threads);
    report_.samples = outputs.samples();
    EvaluatorOptions evaluating;
    evaluating.metric = recipe_.metric;
    evaluating.threads = options_.threads;
    const auto evaluator = make_evaluator(options_.runtime, data_, loaded_.model, evaluating);
    report_.metric_reason = evaluator->reason();
    report_.metric = to_figure(evaluator->metric(), evaluator->baseline().value);
    const quantization::CostModel costs(context_->target(), context_->costs());
    report_.layers = search::measure_sensitivity({.base = &*base_,
                                                  .manager = manager_.get(),
                                                  .context = context_.get(),
                                                  .outputs = &outputs,
                                                  .evaluator = evaluator.get(),
                                                  .costs = &costs,
                                                  .choices = &choices_,
                                                  .by_block = options_.by_block,
                                                  .encode = recipe_.encode});
  }

  LoadedModel& loaded_;
  const Recipe& recipe_;
  const PassRegistry& passes_;
  const SensitivityOptions& options_;
  std::vector<search::Choice> choices_;
  SensitivityReport report_;
  std::optional<RunCosts> costs_;
  DataRoles roles_;
  std::shared_ptr<const Dataset> data_;
  std::optional<Feeds> sample_;
  std::optional<Model> base_;
  std::unique_ptr<PassContext> context_;
  std::unique_ptr<PassManager> manager_;
};

/// "int8 31.2 dB -0.10 pt, int4 ...": what a person decides by.
std::string note_of(const SensitivityReport& report, const SensitivityLayer& layer) {
  std::string note;
  for (const SensitivityChange& change : layer.changes) {
    if (!change.applied) continue;
    note += (note.empty() ? "" : ", ") + change.choice;
    if (change.sqnr_db && std::isfinite(*change.sqnr_db))
      note += " " + format_fixed(*change.sqnr_db, 1) + " dB";
    if (change.metric_drop && report.metric && report.metric->is_points)
      note += " " + format_signed(-*change.metric_drop * 100, 2) + " pt";
  }
  return note;
}

}  // namespace

SensitivityReport find_sensitivity(LoadedModel& loaded, const Recipe& recipe,
                                   const PassRegistry& passes, const SensitivityOptions& options) {
  return Finder(loaded, recipe, passes, options).find();
}

std::string plan_text(const SensitivityReport& report) {
  std::vector<recipe::PlanChoice> choices;
  for (const SensitivityChoice& choice : report.choices)
    choices.push_back({choice.name, choice.pass, choice.options});
  std::vector<recipe::PlanLine> lines;
  for (const SensitivityLayer& layer : report.layers) {
    for (const std::string& member : layer.members)
      lines.push_back({member, layer.chosen, note_of(report, layer)});
  }
  return recipe::write_plan(
      choices, lines,
      "What each layer becomes: a choice, or float. The most sensitive layers come first.\n"
      "Edit the lines, and name the file in a recipe: plan: FILE");
}

}  // namespace mcompress
