// SPDX-License-Identifier: Apache-2.0
//
// What `mcompress calibrate` does: the steps before the first one that takes a table, then a table.
#include "mcompress/calibrate.h"

#include <algorithm>
#include <functional>

#include "calibration/calibration.h"
#include "calibration/collect.h"
#include "calibration/table.h"
#include "calibration/watch_list.h"
#include "mcompress/metric.h"
#include "opset/service.h"
#include "pipeline/data_roles.h"
#include "pipeline/load_refusal.h"
#include "pipeline/measure.h"
#include "pipeline/step_runner.h"
#include "recipe/curves.h"
#include "support/file.h"

namespace mcompress {
namespace {

constexpr size_t kFewSamples = 20;

/// What a step must be for the table to be made before it.
using Wanted = std::function<bool(Pass&)>;

bool takes_table(Pass& pass) {
  OptionSet options;
  pass.describe(options);
  return std::any_of(options.infos().begin(), options.infos().end(),
                     [](const OptionInfo& info) { return info.name == "table"; });
}

bool takes_data(Pass& pass) { return pass.info().needs.calibration; }

/// Appends what runs before the first step that is wanted; false without one.
bool steps_before(const std::vector<StepSpec>& steps, const PassManager& manager,
                  const Wanted& wanted, std::vector<StepSpec>& before) {
  for (const StepSpec& step : steps) {
    if (!step.pass.empty()) {
      if (wanted(*manager.bind(step))) return true;
      before.push_back(step);
      continue;
    }
    std::vector<StepSpec> first_round, inside;
    for (const auto& inner : step.steps) {
      first_round.push_back(resolve_curves(inner, 0, step.repeat));
    }
    if (steps_before(first_round, manager, wanted, inside)) {
      before.insert(before.end(), inside.begin(), inside.end());
      return true;
    }
    before.push_back(step);
  }
  return false;
}

/// Measures a step only where a gate asks.
class GateJudge final : public StepJudge {
 public:
  explicit GateJudge(StepJudge& judge) : judge_(judge) {}
  void measure(Model& model, const StepQuestion& question, StepReport& step) override {
    if (!question.limits.empty()) judge_.measure(model, question, step);
  }
  std::vector<GateVerdict> judge(const std::vector<LimitSpec>& limits, bool strict) override {
    return judge_.judge(limits, strict);
  }

 private:
  StepJudge& judge_;
};

class Calibrating {
 public:
  Calibrating(const std::filesystem::path& path, const Recipe& recipe,
              const CalibrateOptions& options)
      : path_(path), recipe_(recipe), options_(options), model_(Model::load(path)) {
    if (options_.freeze_inputs) model_.freeze_inputs();
    if (const auto why = options_.runtime->load_error(model_)) throw load_refusal(path, *why);
  }

  CalibrateResult run() {
    roles_ = open_roles(recipe_, fed_inputs(model_), deciding());
    if (!roles_.calibration && options_.merge.empty()) {
      throw Error(ErrorCode::kUsage, "there is no calibration data")
          .hint("give some with --data FILE, or tables to merge with --merge TABLE");
    }
    if (!recipe_.steps.empty()) run_steps();
    calibration::Table table;
    table.fingerprint = model_.fingerprint().hex();
    table.model = path_.filename().string();
    table.steps = result_.steps;
    table.options = options_.ranges;
    if (roles_.calibration) collect(table);
    require_different_tables();
    for (const auto& file : options_.merge) {
      calibration::merge_table(
          table, calibration::read_table(support::read_file(file, ErrorCode::kData), file.string()),
          file.string());
    }
    const bool needs_energies = options_.ranges.method == RangeMethod::kAuto;
    calibration::choose_ranges(table, options_.ranges,
                               needs_energies ? calibration::channel_energies(model_)
                                              : std::map<std::string, std::vector<double>>());
    finish(table);
    return std::move(result_);
  }

 private:
  /// Samples of a table that is named twice would count twice.
  void require_different_tables() const {
    for (auto file = options_.merge.begin(); file != options_.merge.end(); ++file) {
      const bool again = std::any_of(options_.merge.begin(), file, [&](const auto& other) {
        return std::filesystem::weakly_canonical(other) == std::filesystem::weakly_canonical(*file);
      });
      if (!again) continue;
      throw Error(ErrorCode::kUsage, file->string() + ": is to be merged twice")
          .hint("name each table once: --merge adds its samples");
    }
  }

  /// As a run of the recipe does: what is held out there is held out here.
  Deciding deciding() const {
    if (decides_by_metric(recipe_)) return Deciding::kRecipe;
    return some_pass_judges(recipe_.steps) ? Deciding::kPasses : Deciding::kNothing;
  }

  static bool some_pass_judges(const std::vector<StepSpec>& steps) {
    return std::any_of(steps.begin(), steps.end(), [](const StepSpec& step) {
      return step.pass.empty() ? some_pass_judges(step.steps)
                               : builtin_passes().create(step.pass)->info().needs.judge;
    });
  }

  void run_steps() {
    const auto any = roles_.any();
    PassContext::Services services;
    services.runtime = options_.runtime;
    if (roles_.calibration && !options_.table_alone) {
      services.calibration = make_calibration(options_.runtime, roles_.calibration,
                                              options_.threads, options_.progress);
    }
    services.opset = make_opset_service();
    services.progress = options_.progress;
    // A run without data goes by the same shapes.
    services.sample =
        options_.table_alone ? sample_feeds(model_, nullptr) : roles_.shapes_for(model_);
    services.target.kind = recipe_.target;
    services.seed = recipe_.seed;
    services.threads = options_.threads;
    PassContext context(services);
    PassManager manager(builtin_passes(), context);
    std::vector<StepSpec> before;
    if (!steps_before(recipe_.steps, manager, takes_table, before)) {
      before.clear();
      if (!steps_before(recipe_.steps, manager, takes_data, before)) {
        throw Error(ErrorCode::kRecipe, recipe_.name + ": no step takes calibration data")
            .hint("leave -r out to calibrate the model as it is");
      }
    }
    const Model baseline = model_.clone();
    std::shared_ptr<Evaluator> evaluator;
    if (decides_by_metric(recipe_) && roles_.validation) {
      EvaluatorOptions how;
      how.metric = recipe_.metric;
      how.threads = options_.threads;
      evaluator = make_evaluator(options_.runtime, roles_.validation, baseline, how);
    }
    context.set_evaluator(evaluator);
    RunJudge judge({.runtime = options_.runtime,
                    .baseline = &baseline,
                    .evaluator = evaluator.get(),
                    .sample = sample_feeds(baseline, any.get()),
                    .baseline_size = size_figure(model_, context.sample_types(model_)),
                    .encode = recipe_.encode},
                   manager);
    GateJudge at_gates(judge);
    std::vector<StepReport> reports;
    StepRunner(manager, context, at_gates).run(model_, before, reports);
    for (const StepReport& report : reports) {
      if (report.rolled_back || report.name == "repeat") continue;
      result_.steps.push_back(report.options.empty() ? report.name
                                                     : report.name + ": " + report.options);
    }
  }

  void collect(calibration::Table& table) {
    const Dataset& data = *roles_.calibration;
    result_.samples = data.size();
    result_.warnings = data.warnings();
    if (data.size() < kFewSamples) {
      result_.warnings.push_back("calibrated on " + std::to_string(data.size()) +
                                 " samples only; 100 to 500 are advised");
    }
    const Feeds sample = data.feeds(0, 1);
    const ValueTypes types = options_.runtime->infer_types(model_, &sample);
    const auto watched = calibration::watch_list(model_, types, options_.all_values);
    std::map<std::string, calibration::ValueStatistics> found;
    calibration::collect(*options_.runtime, model_, data, watched,
                         {.tap_bytes = options_.budget_bytes,
                          .threads = options_.threads,
                          .progress = options_.progress.get()},
                         found);
    table.data.push_back(data.description());
    for (auto& [name, statistics] : found) {
      if (statistics.histogram.empty()) continue;
      table.values[name].statistics = std::move(statistics);
    }
  }

  void finish(const calibration::Table& table) {
    for (const auto& [name, value] : table.values) {
      const auto& extent = value.statistics.histogram.extent();
      result_.samples = std::max<size_t>(result_.samples, value.statistics.samples);
      result_.values.push_back(
          {name,
           value.edited ? "edited" : std::string(calibration::method_name(value.range.method)),
           value.range.low, value.range.high, extent.empty() ? value.range.low : extent.min,
           extent.empty() ? value.range.high : extent.max});
      if (!extent.empty() && extent.min == extent.max) {
        result_.warnings.push_back("value '" + name + "' is constant over the calibration data");
      }
    }
    result_.table = calibration::write_table(table);
  }

  std::filesystem::path path_;
  const Recipe& recipe_;
  const CalibrateOptions& options_;
  Model model_;
  DataRoles roles_;
  CalibrateResult result_;
};

}  // namespace

CalibrateResult calibrate(const std::filesystem::path& model, const Recipe& recipe,
                          const CalibrateOptions& options) {
  return Calibrating(model, recipe, options).run();
}

}  // namespace mcompress
