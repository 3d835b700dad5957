// SPDX-License-Identifier: Apache-2.0
#include "training/task.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "mcompress/interrupt.h"
#include "mcompress/metric.h"
#include "support/interrupt.h"
#include "support/units.h"
#include "training/teachers.h"

namespace mcompress::training {
namespace {

std::set<std::string> constants_of(const std::vector<Layer>& layers) {
  std::set<std::string> names;
  const auto add = [&](const ValueRef& value) {
    if (!value) return;
    names.insert(value.name());
    const NodeRef producer = value.producer();
    if (producer && producer.is("DequantizeLinear")) names.insert(producer.input_name(0));
  };
  for (const Layer& layer : layers) {
    add(layer.weight);
    if (layer.kind != LayerKind::kEmbedding) add(layer.node.input(layer.bias_input));
  }
  return names;
}

/// Trained values: what can be trained, without layers that are left out and
/// without frozen constants. Empty where that is all of them.
std::vector<std::string> choose_parameters(const TrainingOptions& options,
                                           const std::vector<std::string>& trainable, Model& model,
                                           const std::vector<Layer>& selected,
                                           PassContext& context) {
  const auto& selection = context.selection();
  if (selection.empty() && options.freeze.empty()) return {};
  const std::set<std::string> chosen = constants_of(selected);
  const std::set<std::string> of_layers = constants_of(find_layers(model));
  // Patterns are those of layers; constants stand in for them by name.
  std::vector<Layer> named(trainable.size());
  for (size_t i = 0; i < trainable.size(); ++i) named[i].name = named[i].output = trainable[i];
  const LayerSelection frozen({}, options.freeze);
  for (const auto& pattern : frozen.unmatched(named)) {
    context.warn("freeze: '" + pattern + "' matches no constant that can be trained");
  }
  std::vector<std::string> result;
  for (size_t i = 0; i < trainable.size(); ++i) {
    const bool of_no_layer = of_layers.count(trainable[i]) == 0;
    const bool wanted = chosen.count(trainable[i]) > 0 || (of_no_layer && selection.only().empty());
    if (wanted && frozen.reason_to_skip(named, i).empty()) result.push_back(trainable[i]);
  }
  if (result.empty()) {
    throw Error(ErrorCode::kModel,
                "nothing is left to train: only, skip and freeze leave no constant")
        .hint("only and skip name layers, freeze names constants, such as " + trainable.front());
  }
  return result;
}

std::vector<FeaturePair> feature_pairs(const std::vector<std::string>& texts) {
  std::vector<FeaturePair> pairs;
  for (const std::string& text : texts) {
    const size_t at = text.find('=');
    pairs.push_back({text.substr(0, at), text.substr(at + 1)});
  }
  return pairs;
}

/// Shape of the student's output for one sample.
Shape output_shape(RuntimeService& runtime, const Model& model, const std::string& output,
                   const Dataset& data) {
  SessionOptions options;
  options.prepack = false;
  options.extra_outputs = {output};
  options.only_extra = true;
  return runtime.open(model, options)->run(data.feeds(0, 1)).front().shape();
}

class TeacherList {
 public:
  TeacherList(const TrainingOptions& options, const Model& model, PassContext& context)
      : options_(options), context_(context), data_(context.training_data()) {
    const auto outputs = model.graph().outputs();
    output_ = options.loss.output.empty() ? outputs.front().name : options.loss.output;
    shape_ = output_shape(context.runtime(), model, output_, *data_);
  }

  std::vector<Teacher> open() {
    std::vector<Teacher> result;
    if (options_.teacher == "input") {
      if (context_.input_model() == nullptr) {
        throw Error(ErrorCode::kBug, "teacher: input, and the run has no input model");
      }
      result.push_back(ask({"teacher input", context_.input_model(), 1}, true));
      return result;
    }
    if (options_.teacher != "none" && options_.teacher != "self") {
      result.push_back(load(options_.teacher, 1, true));
    }
    for (size_t i = 0; i < options_.teachers.size(); ++i) {
      const double weight = options_.teacher_weights.empty() ? 1 : options_.teacher_weights[i];
      if (weight > 0) result.push_back(load(options_.teachers[i], weight, result.empty()));
    }
    return result;
  }

 private:
  Teacher ask(const TeacherModel& teacher, bool first) {
    std::vector<std::string> features;
    if (first) {
      for (const FeaturePair& pair : feature_pairs(options_.features))
        features.push_back(pair.teacher);
    }
    return open_teacher(context_.runtime(), teacher, *data_, output_, shape_, features,
                        context_.threads());
  }
  Teacher load(const std::string& file, double weight, bool first) {
    const Model model = Model::load(file);
    return ask({"teacher " + file, &model, weight}, first);
  }

  const TrainingOptions& options_;
  PassContext& context_;
  std::shared_ptr<const Dataset> data_;
  std::string output_;
  Shape shape_;
};

/// Higher is better, as trainers want it; back again it is the metric in its
/// own unit.
double sign_of(const Evaluator& evaluator) { return evaluator.metric().higher_is_better ? 1 : -1; }

std::function<double(const Model&)> make_judge(const TrainingOptions& options,
                                               PassContext& context) {
  Evaluator* const evaluator = context.evaluator();
  if (evaluator == nullptr) {
    context.warn(
        "no data to judge the epochs by: the last one is kept; give some with --data "
        "validation=FILE");
    return {};
  }
  const bool has_other_teacher =
      options.has_teacher() && options.teacher != "input" && options.teacher != "self";
  if (evaluator->metric().needs_reference && has_other_teacher) {
    context.warn(
        fmt::format("the metric {} compares with the input model, which is not the teacher: the "
                    "last epoch is kept; labels in the validation data would tell the best",
                    evaluator->metric().name));
    return {};
  }
  return [evaluator](const Model& candidate) {
    return sign_of(*evaluator) * evaluator->evaluate(candidate).value.value;
  };
}

/// Where a recipe is for models of all kinds (`missing-data: skip`), one that cannot be trained is
/// no error.
void require_trainable(const TrainingCheck& check, bool skip) {
  const std::string why = check.obstacles.empty()
                              ? "no weight is a plain constant"
                              : fmt::format("{}", fmt::join(check.obstacles, "; "));
  if (skip && (!check.obstacles.empty() || check.parameters.empty())) throw Unsupported(why);
  if (!check.obstacles.empty()) {
    throw Error(ErrorCode::kModel, "cannot be trained: " + why)
        .hint("leave the step out, or train the model where it was made");
  }
  if (check.parameters.empty()) {
    throw Error(ErrorCode::kModel, "the model has nothing to train: " + why)
        .hint("decode-weights makes plain constants of stored ones");
  }
}

void require_labels(const TrainingOptions& options, const Dataset& data) {
  if (data.has_labels()) return;
  const bool taught = options.has_teacher() && options.teacher != "self";
  if (taught && options.soft_weight == 0 && options.features.empty()) {
    throw Error(ErrorCode::kData, data.description() +
                                      ": has no labels to train with, and soft-weight: 0 leaves "
                                      "the teacher out, too")
        .hint("give labels, or leave soft-weight out: without labels the teacher has all of it");
  }
  if (taught) return;
  throw Error(ErrorCode::kData,
              data.description() + ": has no labels to train with, and there is no teacher" +
                  (options.teacher == "self" ? " but the model itself, which needs them" : ""))
      .hint("give labels, or learn from the model as it came with teacher: input");
}

/// Training in one line of the terminal's progress.
class TrainingLine {
 public:
  explicit TrainingLine(Progress& progress) : progress_(progress) {
    progress_.begin("training", 0);
  }
  TrainingLine(const TrainingLine&) = delete;
  TrainingLine& operator=(const TrainingLine&) = delete;
  ~TrainingLine() { progress_.end(); }

  void show(const TrainingProgress& now, double sign) {
    if (now.validation_loss) validation_loss_ = now.validation_loss;
    if (now.metric) metric_ = sign * *now.metric;
    // Behind the step's name it has to fit into 80 columns.
    std::string text = fmt::format("epoch {}/{}, loss {:.4g}", now.epoch, now.epochs, now.loss);
    if (metric_) {
      text += fmt::format(", metric {:.4g}", *metric_);
    } else if (validation_loss_) {
      text += fmt::format(", held out {:.4g}", *validation_loss_);
    }
    if (now.seconds_left > 0) text += ", " + format_seconds(now.seconds_left) + " left";
    progress_.change(text);
  }

 private:
  Progress& progress_;
  std::optional<double> validation_loss_, metric_;  ///< of the last epoch
};

/// Where zeros grow, an epoch that is worse than the start wins over it: what that has cost is
/// told.
void warn_of_loss(const TrainingResult& result, Evaluator* evaluator, PassContext& context) {
  constexpr double kFar = 0.1;    // of a metric in points, ten of them; of others the share
  constexpr double kFarLoss = 2;  // without a metric: times the loss of the first epoch
  const char* const way_out =
      "a lower learning-rate, more epochs, or fewer zeros (prune-sparsity) may keep it";
  if (result.interrupted) return;  // nothing is as it was meant
  if (evaluator != nullptr && result.start_score && result.best_score) {
    const double start = std::abs(*result.start_score), best = std::abs(*result.best_score);
    const double lost = *result.start_score - *result.best_score;
    const bool points = evaluator->metric().is_points;
    if (lost <= (points ? kFar : kFar * start)) return;
    const auto text = [&](double value) {
      return points ? fmt::format("{:.1f} %", 100 * value) : fmt::format("{:.4g}", value);
    };
    context.warn(fmt::format("{} fell from {} to {} in the epoch that is kept: {}",
                             evaluator->metric().name, text(start), text(best), way_out));
    return;
  }
  if (result.epochs.size() < 2 || result.best_epoch == 0) return;
  const double first = result.epochs.front().loss;
  const double kept = result.epochs.at(static_cast<size_t>(result.best_epoch) - 1).loss;
  if (kept <= kFarLoss * first) return;
  context.warn(
      fmt::format("the loss rose from {:.4g} in the first epoch to {:.4g} in the one that "
                  "is kept: {}",
                  first, kept, way_out));
}

void record(const TrainingResult& result, double sign, PassContext& context) {
  for (size_t i = 0; i < result.epochs.size(); ++i) {
    TrainingEpoch epoch = result.epochs[i];
    if (epoch.score) epoch.score = sign * *epoch.score;
    context.trained(epoch, static_cast<int>(i) + 1 == result.best_epoch);
  }
  context.count("epochs", static_cast<int64_t>(result.epochs.size()));
  context.count("best epoch", result.best_epoch);
  context.count("trained numbers", static_cast<int64_t>(result.parameters));
  for (const std::string& warning : result.warnings) context.warn(warning);
  if (!result.resumed.empty())
    context.note("training went on from its checkpoint, " + result.resumed);
  if (result.best_epoch == 0 && result.best_score) {
    context.warn(
        "no epoch was better than the start, which is kept; a lower learning-rate, or more "
        "epochs, may find one");
  }
  warn_of_loss(result, context.evaluator(), context);
}

}  // namespace

bool can_train(const TrainingOptions& options, PassContext& context) {
  if (!options.skip_without) {
    context.training_data();
    context.trainer();
    return true;
  }
  if (!context.has_training_data()) {
    context.warn("left out: there is no training data; give some with --data training=FILE");
    return false;
  }
  try {
    context.trainer();
  } catch (const Error& error) {
    context.warn("left out: " + error.message() + "; " + error.hint());
    return false;
  }
  return true;
}

PreparedTask prepare(const TrainingOptions& options, Model& model,
                     const std::vector<Layer>& selected, PassContext& context,
                     const std::vector<std::string>& integers) {
  PreparedTask result;
  result.check = context.trainer().check(model, options.loss.output);
  auto& trainable = result.check.parameters;
  trainable.insert(trainable.end(), integers.begin(), integers.end());
  require_trainable(result.check, options.skip_without);
  TrainingTask& task = result.task;
  task.data = context.training_data();
  require_labels(options, *task.data);
  if (!result.check.frozen.empty()) {
    context.warn(fmt::format("what lies before {} is not trained: no gradient passes there",
                             fmt::join(result.check.frozen, ", ")));
  }
  task.parameters = choose_parameters(options, result.check.parameters, model, selected, context);
  static_cast<TrainingPlan&>(task) = options;
  if (options.steps) task.steps = static_cast<size_t>(std::llround(*options.steps));
  task.batch = static_cast<size_t>(options.batch);
  task.distill.temperature = options.temperature;
  task.distill.weight = options.soft_weight.value_or(task.distill.weight);
  task.distill.features = feature_pairs(options.features);
  task.distill.feature_weight = options.feature_weight;
  task.distill.self = options.teacher == "self";
  task.distill.self_every = options.self_every;
  for (const FeaturePair& pair : task.distill.features) {
    const ValueRef value = model.graph().find(pair.student);
    if (value && !value.is_constant()) continue;
    throw Error(ErrorCode::kModel, "features: the model has no value '" + pair.student + "'")
        .hint("write STUDENT=TEACHER, by the names of values of the main graph");
  }
  if (options.has_teacher() && options.teacher != "self") {
    task.distill.teachers = TeacherList(options, model, context).open();
  }
  if (result.check.has_prefix) {
    task.prefix = open_prefix(context.runtime(), model, result.check.fed, context.threads());
  }
  task.judge = make_judge(options, context);
  // Belongs to the context, as the judge does.
  if (context.evaluator() != nullptr)
    task.validation = {std::shared_ptr<void>(), &context.evaluator()->data()};
  task.checkpoint = context.own_file(options.checkpoint);
  task.seed = context.seed();
  task.threads = context.threads();
  return result;
}

bool train(Model& model, TrainingTask& task, PassContext& context) {
  const double sign = context.evaluator() != nullptr ? sign_of(*context.evaluator()) : 1;
  const Fingerprint before = model.fingerprint();
  TrainingLine line(context.progress());
  const support::EndsByItself patience;
  task.progress = [&](const TrainingProgress& now) {
    check_interrupt();
    line.show(now, sign);
  };
  const TrainingResult result = context.trainer().train(model, task);
  record(result, sign, context);
  if (result.interrupted) {
    context.finish_early();
    context.warn(fmt::format("interrupted in epoch {}: the best so far is kept",
                             std::max<size_t>(result.epochs.size(), 1)));
  }
  return !(model.fingerprint() == before);
}

}  // namespace mcompress::training
