// SPDX-License-Identifier: Apache-2.0
//
// The data flow of one run (architecture.md section 3). Everything it calls lives elsewhere.
#include <algorithm>
#include <chrono>
#include <future>

#include "calibration/calibration.h"
#include "calibration/table.h"
#include "mcompress/interrupt.h"
#include "mcompress/mcompress.h"
#include "mcompress/trainer.h"
#include "opset/service.h"
#include "pipeline/advice.h"
#include "pipeline/data_roles.h"
#include "pipeline/final_validation.h"
#include "pipeline/layer_table.h"
#include "pipeline/limits.h"
#include "pipeline/measure.h"
#include "pipeline/plan.h"
#include "pipeline/plan_check.h"
#include "pipeline/run_costs.h"
#include "pipeline/session_child.h"
#include "pipeline/step_runner.h"
#include "support/file.h"
#include "support/gzip_size.h"
#include "support/hash.h"
#include "support/memory.h"
#include "support/system_info.h"

namespace mcompress {
namespace {

constexpr int kLatencyPairs = 100;
constexpr double kLatencySeconds = 5;
constexpr size_t kFallbackSamples = 64;
constexpr size_t kValidationSamples = 8;
constexpr uint64_t kFullValidationBelow = uint64_t{1} << 30;
/// A second for 30 MB: for larger models the figure would take longer than all the rest.
constexpr uint64_t kGzipBelow = uint64_t{64} << 20;

/// At most `count` samples, evenly spread.
std::shared_ptr<const Dataset> some_of(const std::shared_ptr<const Dataset>& data, size_t count) {
  if (data->size() <= count) return data;
  std::vector<size_t> indices(count);
  for (size_t i = 0; i < count; ++i) indices[i] = i * data->size() / count;
  return subset(data, std::move(indices), data->description());
}

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
      refuse_inputs_as_output();
      prepare_keep_steps();
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

  /// Nothing that the run reads is ever written to.
  void refuse_inputs_as_output() const {
    const auto refuse = [&](const std::filesystem::path& path, const std::string& what) {
      std::error_code error;
      if (!std::filesystem::equivalent(path, output_path_, error)) return;
      throw Error(ErrorCode::kUsage, output_path_.string() + ": is " + what)
          .hint("inputs are never touched: name another output with -o");
    };
    refuse(input_path_, "the input model");
    for (const auto& [role, source] : recipe_.data) {
      refuse(source.path, "the " + role + " data");
      for (const auto& [name, file] : source.files) refuse(file, "the " + role + " data");
    }
  }

  void prepare_keep_steps() const {
    if (!options_.keep_steps) return;
    std::error_code error;
    std::filesystem::create_directories(*options_.keep_steps, error);
    if (!error) {
      refuse_kept_models();
      return;
    }
    throw Error(ErrorCode::kUsage,
                options_.keep_steps->string() + ": cannot be made: " + error.message())
        .hint("name another folder with --keep-steps");
  }

  /// Models of an earlier run are results, too.
  void refuse_kept_models() const {
    if (options_.save.overwrite) return;
    for (const auto& entry : std::filesystem::directory_iterator(*options_.keep_steps)) {
      if (entry.path().extension() != ".onnx") continue;
      throw Error(ErrorCode::kUsage, entry.path().string() + ": exists already")
          .hint("--force overwrites it, or name another folder with --keep-steps");
    }
  }

  void load() {
    baseline_ = Model::load(input_path_);
    if (options_.freeze_inputs) baseline_->freeze_inputs();
    report_.size_before.file_bytes = baseline_->file_size();
    if (options_.dry_run) return;
    input_hash_ = std::async(std::launch::async,
                             [path = input_path_] { return support::hash_file(path).labelled(); });
    const auto why = options_.runtime->load_error(*baseline_);
    if (!why) return;
    const bool needs_runs =
        decides_by_metric(recipe_) || !recipe_.data.empty() || needs_runtime(recipe_.steps);
    if (needs_runs) {
      throw Error(ErrorCode::kModel,
                  input_path_.string() + ": does not load in ONNX Runtime: " + *why)
          .hint(
              "--ops-library FILE registers custom operators; passes that need no data work "
              "without it");
    }
    runs_ = false;
    report_.warnings.push_back("not run: the model does not load in ONNX Runtime: " + *why);
  }

  bool needs_runtime(const std::vector<StepSpec>& steps) const {
    return std::any_of(steps.begin(), steps.end(), [&](const StepSpec& step) {
      if (step.pass.empty()) return needs_runtime(step.steps);
      const auto pass = passes_.create(step.pass);
      const Needs& needs = pass->info().needs;
      return needs.runtime || needs.calibration || needs.training;
    });
  }

  bool some_pass_judges(const std::vector<StepSpec>& steps) const {
    return std::any_of(steps.begin(), steps.end(), [&](const StepSpec& step) {
      return step.pass.empty() ? some_pass_judges(step.steps)
                               : passes_.create(step.pass)->info().needs.judge;
    });
  }

  void open_data() {
    const auto inputs = fed_inputs(*baseline_);
    roles_ = open_roles(recipe_, inputs,
                        decides_by_metric(recipe_)        ? Deciding::kRecipe
                        : some_pass_judges(recipe_.steps) ? Deciding::kPasses
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
    has_real_sample_ = any != nullptr;
    PassContext::Services services;
    if (runs_) services.runtime = options_.runtime;
    if (roles_.calibration) {
      services.calibration = make_calibration(options_.runtime, roles_.calibration,
                                              options_.threads, options_.progress);
    }
    services.open_table = open_calibration_table;
    services.opset = make_opset_service();
    services.progress = options_.progress;
    if (has_real_sample_) services.sample = sample_;
    services.training_data = roles_.training;
    services.open_trainer = [] { return open_trainer(); };
    services.input_model = &*baseline_;
    services.target.kind = recipe_.target;
    services.seed = recipe_.seed;
    services.threads = options_.threads;
    services.costs = costs_->table();
    context_ = std::make_unique<PassContext>(services);
    manager_ = std::make_unique<PassManager>(passes_, *context_);
    require_training(recipe_.steps);
  }

  /// What a step trains with must be there before the first one runs.
  void require_training(const std::vector<StepSpec>& steps) {
    for (const StepSpec& step : steps) {
      require_training(step.steps);
      if (step.pass.empty() || !passes_.create(step.pass)->info().needs.training) continue;
      const ConfigValue* missing = step.options.find("missing-data");
      if (missing != nullptr && missing->scalar == "skip") continue;
      try {
        context_->training_data();
        context_->trainer();
      } catch (Error& error) {
        error.with_context(step.where.line > 0 ? step.where.str() + ": " + step.pass : step.pass);
        throw;
      }
    }
  }

  EvaluatorOptions evaluator_options() const {
    EvaluatorOptions options;
    options.metric = recipe_.metric;
    options.threads = options_.threads;
    return options;
  }

  void measure_baseline() {
    if (runs_) types_ = context_->sample_types(*baseline_);
    const uint64_t file_bytes = report_.size_before.file_bytes;
    report_.size_before = size_figure(*baseline_, types_);
    nonzeros_.add(*baseline_, report_.size_before.nonzeros);
    if (file_bytes < kGzipBelow) report_.size_before.gzip_bytes = support::gzip_size(input_path_);
    if (!runs_) return;
    if (roles_.evaluation) {
      final_evaluator_ =
          make_evaluator(options_.runtime, roles_.evaluation, *baseline_, evaluator_options());
    }
    if (roles_.validation == roles_.evaluation) {
      step_evaluator_ = final_evaluator_;
    } else if (roles_.validation) {
      step_evaluator_ =
          make_evaluator(options_.runtime, roles_.validation, *baseline_, evaluator_options());
    }
    context_->set_evaluator(step_evaluator_);
    if (!final_evaluator_) final_evaluator_ = step_evaluator_;
    if (!final_evaluator_ && roles_.calibration) {
      // Nothing decides, and nothing else is there: a figure of what was calibrated on is better
      // than silence.
      final_evaluator_ =
          make_evaluator(options_.runtime, some_of(roles_.calibration, kFallbackSamples),
                         *baseline_, evaluator_options());
      report_.warnings.push_back(
          "the metric is of " + std::to_string(final_evaluator_->data().size()) +
          " calibration samples: give --data evaluation=FILE for one of unseen data");
    }
    if (final_evaluator_) {
      const auto& metric = final_evaluator_->metric();
      report_.metric_reason = final_evaluator_->reason();
      report_.metric_before = to_figure(metric, final_evaluator_->baseline().value);
    }
    if (step_evaluator_) {
      report_.metric_baseline =
          to_figure(step_evaluator_->metric(), step_evaluator_->baseline().value);
    }
  }

  void run_steps() {
    model_ = baseline_->clone();
    RunJudge judge({.runtime = runs_ ? options_.runtime : nullptr,
                    .baseline = &*baseline_,
                    .evaluator = step_evaluator_.get(),
                    .sample = sample_,
                    .baseline_size = report_.size_before,
                    .encode = recipe_.encode,
                    .nonzeros = &nonzeros_},
                   *manager_);
    StepRunner runner(*manager_, *context_, judge);
    runner.on_step([&](const Model& model, const StepReport& step) { keep_step(model, step); });
    runner.before_step([&](Model& model, const StepSpec& step) { prepare_step(model, step); });
    if (!runner.run(*model_, recipe_.steps, report_.steps)) report_.failed = true;
    decisions_ = runner.decisions();
    report_.costs = costs_->figure();
    if (!context_->finishes_early()) return;
    report_.interrupted = true;
    report_.warnings.push_back(
        "interrupted while training: the best model so far was written, and later steps were left "
        "out");
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

  void encode_and_mark() {
    report_.input_hash = input_hash_.get();
    if (recipe_.encode) {
      const bool last_is_encode =
          !recipe_.steps.empty() && recipe_.steps.back().pass == "encode-weights";
      if (!last_is_encode && passes_.contains("encode-weights")) {
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
    }
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

  /// Sessions of huge models take longer than all the rest and as much memory as the model is large:
  /// they are opened only where a limit asks for it.
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
      report_.validation =
          validate_layers(*options_.runtime, *model_, context_->types(*model_));
    } else if (runs_ && validate() == Validate::kFull) {
      report_.validation =
          validate_final(*options_.runtime, *model_, data.get(), sample_, kValidationSamples);
    }
    model_->save(output_path_, options_.save);
    Model written = Model::load(output_path_);
    if (!(written.fingerprint() == model_->fingerprint())) {
      throw Error(ErrorCode::kBug,
                  output_path_.string() + ": reads back differently than it was written")
          .hint("report this with the model and the recipe");
    }
    written.state() = model_->state();
    measure_written(written);
  }

  void measure_written(Model& written) {
    report_.output_hash = support::hash_file(output_path_).labelled();
    report_.size_after = size_figure(
        written, runs_ ? context_->sample_types(written) : ValueTypes(), known_nonzeros_);
    context_->forget_types();
    if (report_.size_after.file_bytes < kGzipBelow) {
      report_.size_after.gzip_bytes = support::gzip_size(output_path_);
    }
    if (runs_) measure_running(written);
    report_.layers =
        layer_table({.before = &*baseline_,
                     .after = &written,
                     .types = &types_,
                     .decisions = &decisions_,
                     .steps = &report_.steps,
                     .runtime = runs_ && options_.measure_layers && opens_whole_sessions()
                                    ? options_.runtime.get()
                                    : nullptr,
                     .data = roles_.any().get(),
                     .sample = sample_,
                     .read_weights = opens_whole_sessions()});
    judge_constraints();
  }

  void measure_running(Model& written) {
    if (final_evaluator_) {
      figures_.metric = judged_metric(*final_evaluator_, written);
      report_.metric_after = to_figure(final_evaluator_->metric(), figures_.metric->result.value);
      report_.metric_drop = figures_.metric->drop.drop;
      report_.metric_drop_low = figures_.metric->drop.low;
      report_.metric_drop_high = figures_.metric->drop.high;
    }
    if (!opens_whole_sessions()) {
      report_.warnings.push_back(
          "latency, memory and layers were not measured, as the model is large: --validate full "
          "does");
      return;
    }
    if (options_.measure_latency && sample_) {
      try {
        figures_.latency = latency_pair(*options_.runtime, *baseline_, written, *sample_,
                                        kLatencyPairs, kLatencySeconds);
        report_.latency_before = figures_.latency->baseline;
        report_.latency_after = figures_.latency->candidate;
      } catch (const Error& error) {
        if (has_real_sample_ || error.code() == ErrorCode::kInterrupted) throw;
        sample_.reset();
        report_.warnings.push_back(
            "no latency: the model does not run on zeros; give --data evaluation=FILE");
      }
    }
    report_.session_before = session_figure_of_child(options_.self_program, input_path_);
    report_.session_after = session_figure_of_child(options_.self_program, output_path_);
  }

  void judge_constraints() {
    figures_.size_bytes = report_.size_after.file_bytes;
    figures_.input_size_bytes = report_.size_before.file_bytes;
    figures_.session_before = report_.session_before;
    figures_.session_after = report_.session_after;
    for (const auto& limit : recipe_.constraints) {
      report_.constraints.push_back(judge_limit(limit, false, figures_));
      report_.failed |= !report_.constraints.back().holds;
    }
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
  std::future<std::string> input_hash_;  ///< computed while the steps run
  std::optional<RunCosts> costs_;
  bool plan_checked_ = false;
  DataRoles roles_;
  std::optional<Feeds> sample_;
  bool has_real_sample_ = false;
  ValueTypes types_;
  std::unique_ptr<PassContext> context_;
  std::unique_ptr<PassManager> manager_;
  std::shared_ptr<Evaluator> step_evaluator_, final_evaluator_;
  GateFigures figures_;  ///< of the written file
  std::vector<PassContext::Decision> decisions_;
};

}  // namespace

RunReport compress(const std::filesystem::path& input, const std::filesystem::path& output,
                   const Recipe& recipe, const PassRegistry& passes, const RunOptions& options) {
  return Run(input, output, recipe, passes, options).run();
}

std::string version() { return MCOMPRESS_VERSION; }

}  // namespace mcompress
