// SPDX-License-Identifier: Apache-2.0
//
// The data flow of one run (architecture.md section 3). Everything it calls lives elsewhere.
#include <algorithm>
#include <cmath>
#include <chrono>
#include <future>

#include "calibration/calibration.h"
#include "calibration/table.h"
#include "ir/contents.h"
#include "mcompress/interrupt.h"
#include "mcompress/mcompress.h"
#include "mcompress/trainer.h"
#include "opset/service.h"
#include "pipeline/advice.h"
#include "pipeline/data_roles.h"
#include "pipeline/final_validation.h"
#include "pipeline/growth.h"
#include "pipeline/load_refusal.h"
#include "pipeline/measure.h"
#include "pipeline/output_guard.h"
#include "pipeline/plan.h"
#include "pipeline/plan_check.h"
#include "pipeline/recipe_needs.h"
#include "pipeline/run_costs.h"
#include "pipeline/run_evaluators.h"
#include "pipeline/step_runner.h"
#include "pipeline/written_model.h"
#include "support/file.h"
#include "support/hash.h"
#include "support/memory.h"
#include "support/system_info.h"
#include "support/units.h"

namespace mcompress {
namespace {

constexpr size_t kValidationSamples = 8;
constexpr double kUnlikeScores = 0.2;  ///< apart: no luck of the draw
constexpr uint64_t kFullValidationBelow = uint64_t{1} << 30;
/// One run; members are what its stages hand on.
class Run {
 public:
  Run(const std::filesystem::path& input, const std::filesystem::path& output, const Recipe& recipe,
      const PassRegistry& passes, const RunOptions& options)
      : input_path_(input),
        output_path_(output),
        recipe_(recipe),
        passes_(passes),
        options_(options) {}

  RunReport run() {
    const auto begin = std::chrono::steady_clock::now();
    identify();
    if (!options_.dry_run) {
      support::require_writable(output_path_, options_.save.overwrite);
      refuse_inputs_as_output(input_path_, output_path_, recipe_);
      if (options_.keep_steps) prepare_kept_models(*options_.keep_steps, options_.save.overwrite);
    }
    load();
    if (options_.dry_run) {
      plan_run(*baseline_, recipe_, passes_, report_);
      return std::move(report_);
    }
    open_data();
    measure_baseline();
    run_steps();
    encode_and_mark();
    write_and_measure();
    warn_of_growth(report_, baseline_->file_size(), report_.size_after.file_bytes);
    report_.advice = advice_for(report_);
    report_.peak_bytes = support::peak_resident_bytes();
    report_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(report_);
  }

 private:
  void identify() {
    report_.command = "run";
    report_.input = input_path_.string();
    report_.output = output_path_.string();
    report_.recipe_name = recipe_.name;
    costs_.emplace(recipe_, options_.cost_folder, options_.measure_costs && !options_.dry_run,
                   options_.runtime, report_.warnings);
    report_.costs = costs_->figure();
    Recipe effective = recipe_;
    effective.costs = costs_->file();
    report_.effective_recipe = write_recipe(effective, passes_);
    // Where the data and the cost table lie does not change what the recipe does.
    Recipe without_data = recipe_;
    without_data.data.clear();
    without_data.plan.reset();
    without_data.costs.clear();
    report_.recipe_hash = support::hash128(write_recipe(without_data, passes_)).labelled();
    report_.seed = recipe_.seed;
    report_.dry_run = options_.dry_run;
    report_.environment = {.tool_version = version(),
                           .runtime_version = options_.runtime ? options_.runtime->version() : "",
                           .cpu = support::cpu_name(),
                           .instruction_sets = support::instruction_sets(),
                           .os = support::operating_system(),
                           .compiler = support::compiler(),
                           .threads = options_.threads};
  }

  void load() {
    baseline_ = Model::load(input_path_);
    if (options_.freeze_inputs) baseline_->freeze_inputs();
    report_.size_before.file_bytes = baseline_->file_size();
    if (options_.dry_run) return;
    auto read = [model = baseline_->clone(), path = input_path_]() mutable {
      return input_figures(model, path);
    };
    input_figures_ = std::async(std::launch::async, std::move(read)).share();
    const auto why = options_.runtime->load_error(*baseline_);
    if (!why) return;
    const bool needs_runs = decides_by_metric(recipe_) || !recipe_.data.empty() ||
                            needs_runtime(recipe_.steps, passes_);
    if (needs_runs) throw load_refusal(input_path_, *why);
    runs_ = false;
    report_.warnings.push_back("not run: the model does not load in ONNX Runtime: " + *why);
  }

  void open_data() {
    const auto inputs = fed_inputs(*baseline_);
    roles_ = open_roles(recipe_, inputs,
                        decides_by_metric(recipe_)                 ? Deciding::kRecipe
                        : some_pass_judges(recipe_.steps, passes_) ? Deciding::kPasses
                                                                   : Deciding::kNothing);
    report_.data = roles_.descriptions;
    report_.selected_on_evaluation = roles_.selected_on_evaluation;
    for (const auto& data : {roles_.calibration, roles_.validation, roles_.evaluation}) {
      if (!data) continue;
      for (const auto& warning : data->warnings()) report_.warnings.push_back(warning);
    }
    if (decides_by_metric(recipe_) && !roles_.validation) {
      report_.warnings.push_back(
          "no data to judge the metric by: steps whose gate asks for it are left out; give --data "
          "validation=FILE");
    }
    const auto any = roles_.any();
    sample_ = sample_feeds(*baseline_, any.get());
    PassContext::Services services;
    if (runs_) services.runtime = options_.runtime;
    if (roles_.calibration) {
      services.calibration = make_calibration(options_.runtime, roles_.calibration,
                                              options_.threads, options_.progress);
    }
    services.open_table = open_calibration_table;
    services.opset = make_opset_service();
    services.progress = options_.progress;
    services.sample = roles_.shapes_for(*baseline_);
    services.training_data = roles_.training;
    services.open_trainer = [] { return open_trainer(); };
    services.input_model = &*baseline_;
    services.target.kind = recipe_.target;
    services.seed = recipe_.seed;
    services.threads = options_.threads;
    services.costs = costs_->table();
    context_ = std::make_unique<PassContext>(services);
    manager_ = std::make_unique<PassManager>(passes_, *context_);
    require_training(recipe_.steps, passes_, *context_);
  }

  void measure_baseline() {
    if (runs_) types_ = context_->sample_types(*baseline_);
    report_.size_before = size_figure(*baseline_, types_, 0);  // counted while the steps run
    nonzeros_.add(*baseline_, [figures = input_figures_] { return figures.get().nonzeros; });
    add_gzip_bytes(report_.size_before, input_path_);
    if (!runs_) return;
    EvaluatorOptions options;
    options.metric = recipe_.metric;
    options.threads = options_.threads;
    evaluators_ =
        make_run_evaluators(options_.runtime, roles_, *baseline_, options, report_.warnings);
    context_->set_evaluator(evaluators_.of_steps);
    if (const auto& evaluator = evaluators_.of_result) {
      report_.metric_reason = evaluator->reason();
      report_.metric_before = to_figure(evaluator->metric(), evaluator->baseline().value);
    }
    if (const auto& evaluator = evaluators_.of_steps) {
      report_.metric_baseline = to_figure(evaluator->metric(), evaluator->baseline().value);
    }
    warn_of_unlike_data();
  }

  /// Data read in two ways: most often one of the two lacks its scale.
  void warn_of_unlike_data() {
    const auto &steps = report_.metric_baseline, &result = report_.metric_before;
    if (!steps || !result || !steps->is_points || steps->name != result->name) return;
    if (std::abs(steps->value - result->value) < kUnlikeScores) return;
    report_.warnings.push_back(
        "the input model's " + steps->name + " is " + format_percent(steps->value) +
        " on the data that decides and " + format_percent(result->value) +
        " on the evaluation data: are scale, mean and std of both what the model was trained with?");
  }

  void run_steps() {
    model_ = baseline_->clone();
    RunJudge judge({.runtime = runs_ ? options_.runtime : nullptr,
                    .baseline = &*baseline_,
                    .evaluator = evaluators_.of_steps.get(),
                    .sample = sample_,
                    .baseline_size = report_.size_before,
                    .encode = recipe_.encode,
                    .nonzeros = &nonzeros_},
                   *manager_);
    StepRunner runner(*manager_, *context_, judge);
    runner.starts_at(report_.metric_baseline);
    runner.on_step([&](const Model& model, const StepReport& step) { keep_step(model, step); });
    runner.before_step([&](Model& model, const StepSpec& step) { prepare_step(model, step); });
    if (!runner.run(*model_, recipe_.steps, report_.steps)) report_.failed = true;
    decisions_ = runner.decisions();
    report_.costs = costs_->figure();
    if (!context_->finishes_early()) return;
    report_.interrupted = true;
    const bool taken_back = !report_.steps.empty() && report_.steps.back().rolled_back;
    report_.warnings.push_back(
        taken_back ? "interrupted while training: what was trained so far does not hold its gate, so "
                     "the model before it was written, and later steps were left out"
                   : "interrupted: the best model so far was written, and later steps were left out");
  }

  /// The plan must fit the model, and what the step may decide by must have been measured.
  void prepare_step(Model& model, const StepSpec& step) {
    if (is_planned(recipe_, step) && !plan_checked_) {
      check_plan(*recipe_.plan, model);
      plan_checked_ = true;
    }
    if (passes_.create(step.pass)->info().fidelity == Fidelity::kLossy)
      costs_->before_step(model, *context_, sample_);
  }

  void keep_step(const Model& model, const StepReport& step) const {
    if (!options_.keep_steps) return;
    std::string name = step.label;
    std::replace(name.begin(), name.end(), ':', '-');
    std::erase(name, ' ');
    model.save(*options_.keep_steps / (name + ".onnx"), {.overwrite = true});
  }

  /// The last step that adds or changes weights is encode-weights.
  bool ends_encoded() const {
    const auto last = std::find_if(recipe_.steps.rbegin(), recipe_.steps.rend(),
                                   [](const StepSpec& step) { return step.pass != "shorten-names"; });
    return last != recipe_.steps.rend() && last->pass == "encode-weights";
  }

  void encode() {
    const auto outcome = manager_->run(*model_, plain_step("encode-weights"));
    if (outcome.changed) {
      StepReport step;
      step.name = "encode-weights";
      step.label = "encode-weights";
      step.options = outcome.options;
      step.changed = true;
      step.seconds = outcome.seconds;
      step.size = size_figure(*model_, ValueTypes());
      nonzeros_.add(*model_, step.size.nonzeros);
      step.counters = context_->counters();
      report_.steps.push_back(std::move(step));
    }
    for (const auto& decision : context_->decisions()) decisions_.push_back(decision);
  }

  void encode_and_mark() {
    report_.input_hash = input_figures_.get().hash;
    report_.size_before.nonzeros = input_figures_.get().nonzeros;
    if (recipe_.encode && !ends_encoded() && passes_.contains("encode-weights")) encode();
    known_nonzeros_ = nonzeros_.of(*model_);
    model_->set_metadata("mcompress.version", version());
    model_->set_metadata("mcompress.runtime", report_.environment.runtime_version);
    model_->set_metadata("mcompress.recipe", recipe_.name);
    model_->set_metadata("mcompress.recipe_hash", report_.recipe_hash);
    model_->set_metadata("mcompress.input_hash", report_.input_hash);
    model_->set_metadata("mcompress.seed", std::to_string(recipe_.seed));
    if (!report_.costs.hash.empty()) model_->set_metadata("mcompress.costs", report_.costs.hash);
  }

  Validate validate() const {
    if (options_.validate != Validate::kAuto) return options_.validate;
    return report_.size_before.file_bytes < kFullValidationBelow ? Validate::kFull
                                                                 : Validate::kLayers;
  }

  /// Sessions of huge models take longer than all the rest and as much memory as the model is
  /// large: they are opened only where a limit asks for it.
  bool opens_whole_sessions() const {
    if (validate() != Validate::kLayers) return true;
    return std::any_of(recipe_.constraints.begin(), recipe_.constraints.end(),
                       [](const LimitSpec& limit) {
                         return limit.quantity == "latency" || limit.quantity == "memory";
                       });
  }

  void write_and_measure() {
    check_interrupt();
    const auto data = roles_.any();
    if (runs_ && validate() == Validate::kLayers) {
      report_.validation = validate_layers(*options_.runtime, *model_, context_->types(*model_));
    } else if (runs_ && validate() == Validate::kFull) {
      report_.validation =
          validate_final(*options_.runtime, *baseline_, *model_, data.get(), sample_,
                         kValidationSamples);
    }
    model_->save(output_path_, options_.save);
    Model written = Model::load(output_path_);
    report_.output_hash = ir::hash_with_payloads(written, output_path_).labelled();
    if (!(written.fingerprint() == model_->fingerprint())) {
      throw Error(ErrorCode::kBug,
                  output_path_.string() + ": reads back differently than it was written")
          .hint("report this with the model and the recipe");
    }
    written.state() = model_->state();
    measure(written);
  }

  void measure(Model& written) {
    WrittenModel run;
    run.input_path = input_path_;
    run.output_path = output_path_;
    run.baseline = &*baseline_;
    run.written = &written;
    run.baseline_types = &types_;
    if (runs_) run.types = context_->sample_types(written);
    context_->forget_types();
    run.nonzeros = known_nonzeros_;
    if (runs_) run.runtime = options_.runtime;
    run.evaluator = evaluators_.of_result.get();
    const auto data = roles_.any();
    run.data = data.get();
    run.sample = sample_;
    run.is_sample_real = data != nullptr;
    run.opens_sessions = opens_whole_sessions();
    run.decisions = &decisions_;
    run.constraints = recipe_.constraints;
    measure_written(run, options_, report_);
  }

  const std::filesystem::path& input_path_;
  const std::filesystem::path& output_path_;
  const Recipe& recipe_;
  const PassRegistry& passes_;
  const RunOptions& options_;
  RunReport report_;
  std::optional<Model> baseline_, model_;
  KnownNonzeros nonzeros_;
  std::optional<uint64_t> known_nonzeros_;  ///< of what is written
  bool runs_ = true;
  std::shared_future<InputFigures> input_figures_;  ///< found while the steps run
  std::optional<RunCosts> costs_;
  bool plan_checked_ = false;
  DataRoles roles_;
  std::optional<Feeds> sample_;
  ValueTypes types_;
  std::unique_ptr<PassContext> context_;
  std::unique_ptr<PassManager> manager_;
  RunEvaluators evaluators_;
  std::vector<PassContext::Decision> decisions_;
};

}  // namespace

RunReport compress(const std::filesystem::path& input, const std::filesystem::path& output,
                   const Recipe& recipe, const PassRegistry& passes, const RunOptions& options) {
  return Run(input, output, recipe, passes, options).run();
}

std::string version() { return MCOMPRESS_VERSION; }

}  // namespace mcompress
