// SPDX-License-Identifier: Apache-2.0
#include "train/loss.h"

#include <algorithm>

#include <fmt/format.h>

#include "mcompress/error.h"
#include "train/class_layout.h"
#include "train/distillation.h"
#include "train/labels.h"
#include "train/loss_kinds.h"

namespace mcompress::train {
namespace {

using Ending = LossHead::Ending;

/// What the loss does, decided from options, labels and one run.
struct Plan {
  LossKind kind = LossKind::kMeanSquare;
  bool labels = false;
  bool distributions = false;  ///< labels of cross-entropy are probabilities of all classes
  bool probabilities = false;  ///< the student puts them out, not scores
  ClassLayout layout;
};

std::string kind_name(LossKind kind) {
  switch (kind) {
    case LossKind::kAuto:
      return "auto";
    case LossKind::kCrossEntropy:
      return "cross-entropy";
    case LossKind::kBinary:
      return "binary";
    case LossKind::kMeanSquare:
      return "mse";
    case LossKind::kCtc:
      return "ctc";
  }
  return "";
}

/// Half precision overflows in sums.
at::Tensor widened(const at::Tensor& value) {
  const bool wide = value.scalar_type() == at::kFloat || value.scalar_type() == at::kDouble;
  return wide ? value : value.to(at::kFloat);
}

class TaskLoss final : public Loss {
 public:
  TaskLoss(const LossOptions& options, const DistillOptions& distill, LossHead head, Plan plan,
           FeatureTerms features)
      : head_(std::move(head)),
        plan_(std::move(plan)),
        features_(std::move(features)),
        smoothing_(options.label_smoothing),
        temperature_(distill.temperature),
        soft_weight_(plan_.labels ? distill.weight : 1),
        feature_weight_(distill.feature_weight) {
    for (const Teacher& teacher : distill.teachers) weights_.push_back(teacher.weight);
  }

  LossKind kind() const override { return plan_.kind; }
  bool uses_labels() const override { return plan_.labels; }
  std::vector<at::Tensor>& leaves() override { return features_.leaves(); }
  at::Tensor soft_target(const std::vector<at::Tensor>& outputs) const override;
  at::Tensor self_target(const at::Tensor& value) const override {
    return compared(scores(value.detach()));
  }
  at::Tensor operator()(const at::Tensor& output, const std::vector<at::Tensor>& features,
                        const Batch& shard, std::span<const at::Tensor> leaves) const override;

 private:
  bool classes() const {
    return plan_.kind == LossKind::kCrossEntropy || plan_.kind == LossKind::kCtc;
  }
  at::Tensor scores(const at::Tensor& value) const;
  at::Tensor compared(const at::Tensor& scores) const;
  at::Tensor ended(const at::Tensor& value) const;
  at::Tensor of_teacher(const at::Tensor& output, size_t teacher) const;
  at::Tensor hard(const at::Tensor& scores, const at::Tensor& labels) const;
  at::Tensor soft(const at::Tensor& scores, const at::Tensor& target) const;

  LossHead head_;
  Plan plan_;
  FeatureTerms features_;
  double smoothing_, temperature_, soft_weight_, feature_weight_;
  std::vector<double> weights_;
};

/// What the kind's formula is about: logits [samples, places, classes], or the model's output for
/// mean-square.
at::Tensor TaskLoss::scores(const at::Tensor& value) const {
  const at::Tensor wide = widened(value);
  if (plan_.kind == LossKind::kMeanSquare)
    return plan_.layout.samples_first(ended(wide)).flatten(1);
  const at::Tensor rows = plan_.layout.by_class(wide);
  if (head_.applied && head_.ending == Ending::kSigmoid) return at::logit(rows, 1e-7);
  return plan_.probabilities ? log_of(rows) : rows;
}

/// The output of the model from the value before its ending.
at::Tensor TaskLoss::ended(const at::Tensor& value) const {
  if (head_.applied || head_.ending == Ending::kNone) return value;
  if (head_.ending == Ending::kSigmoid) return value.sigmoid();
  const at::Tensor flat =
      head_.flat ? value.flatten(head_.axis < 0 ? head_.axis + value.dim() : head_.axis) : value;
  const int64_t axis = head_.flat ? -1 : head_.axis;
  const bool log = head_.ending == Ending::kLogSoftmax;
  return (log ? at::log_softmax(flat, axis) : at::softmax(flat, axis)).reshape(value.sizes());
}

/// Scores in the form in which student and teachers are compared: yes and no are two classes.
at::Tensor TaskLoss::compared(const at::Tensor& scores) const {
  if (plan_.kind != LossKind::kBinary) return scores;
  const at::Tensor yes = scores.flatten(1);
  return at::stack({yes, at::zeros_like(yes)}, -1);
}

at::Tensor TaskLoss::of_teacher(const at::Tensor& output, size_t teacher) const {
  const bool number = output.defined() && at::isFloatingType(output.scalar_type());
  const int64_t size = plan_.layout.row_size();
  const int64_t axis = plan_.layout.time_first && output.dim() > 1 ? 1 : 0;
  if (!number || output.dim() == 0 || output.numel() != output.size(axis) * size) {
    throw Error(
        ErrorCode::kModel,
        fmt::format("teacher {}: output {}of shape {}, '{}' of the student has {} a sample",
                    teacher + 1, number ? "" : "of integers, ",
                    output.defined() ? to_string(output.sizes().vec()) : "[]", head_.output,
                    to_string(plan_.layout.row)));
  }
  const at::Tensor wide = widened(output.detach());
  if (plan_.kind == LossKind::kMeanSquare) return plan_.layout.samples_first(wide).flatten(1);
  // A teacher's [N, C, 1, 1] may be the student's [N, C].
  Shape shape = plan_.layout.row;
  shape.insert(shape.begin() + (plan_.layout.time_first ? 1 : 0), output.size(axis));
  const at::Tensor rows = plan_.layout.by_class(wide.reshape(shape));
  if (classes()) return scores_of(rows);
  const bool odds =
      head_.ending == Ending::kSigmoid && rows.ge(0).logical_and(rows.le(1)).all().item<bool>();
  return compared(odds ? odds_of(rows) : rows);
}

at::Tensor TaskLoss::soft_target(const std::vector<at::Tensor>& outputs) const {
  at::Tensor sum;
  double total = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const double weight = i < weights_.size() ? weights_[i] : 1;
    const at::Tensor part = of_teacher(outputs[i], i) * weight;
    sum = sum.defined() ? sum + part : part;
    total += weight;
  }
  return sum.defined() ? sum / total : sum;
}

at::Tensor TaskLoss::hard(const at::Tensor& scores, const at::Tensor& labels) const {
  switch (plan_.kind) {
    case LossKind::kCrossEntropy:
      // Distributions have their classes where the output has them.
      if (plan_.distributions) {
        Shape shape = plan_.layout.row;
        shape.insert(shape.begin(), scores.size(0));
        ClassLayout layout = plan_.layout;
        layout.time_first = false;
        return cross_entropy_of(scores, layout.by_class(labels.reshape(shape)), smoothing_);
      }
      return cross_entropy(scores, labels, smoothing_);
    case LossKind::kBinary:
      return binary_cross_entropy(scores, labels, smoothing_);
    case LossKind::kCtc:
      return ctc(scores, labels);
    default:
      return mean_square(scores, labels);
  }
}

at::Tensor TaskLoss::soft(const at::Tensor& scores, const at::Tensor& target) const {
  if (plan_.kind == LossKind::kMeanSquare) return mean_square(scores, target);
  return soft_cross_entropy(compared(scores), target, temperature_);
}

at::Tensor TaskLoss::operator()(const at::Tensor& output, const std::vector<at::Tensor>& features,
                                const Batch& shard, std::span<const at::Tensor> leaves) const {
  const at::Tensor own = scores(output);
  const bool taught = shard.soft.defined();
  const double hard_weight = taught ? 1 - soft_weight_ : 1;
  at::Tensor loss = at::zeros({}, own.options());
  if (plan_.labels && hard_weight != 0) {
    at::Tensor labelled = hard(own, shard.labels);
    if (shard.mixed_labels.defined()) {
      labelled =
          labelled * shard.mixed_share + hard(own, shard.mixed_labels) * (1 - shard.mixed_share);
    }
    loss = loss + labelled * hard_weight;
  }
  if (taught && soft_weight_ != 0) loss = loss + soft(own, shard.soft) * soft_weight_;
  if (feature_weight_ != 0 && !features.empty() && !shard.features.empty()) {
    loss = loss + features_(features, shard.features, leaves) * feature_weight_;
  }
  return loss;
}

/// Makes the plan from labels and output.
class Planner {
 public:
  Planner(const LossOptions& options, const LossHead& head, const Dataset& data, ClassLayout layout)
      : options_(options), head_(head), data_(data) {
    plan_.layout = std::move(layout);
  }

  Plan without_labels() {
    plan_.kind = options_.kind;
    const bool classes = find_classes(plan_.layout, head_, nullptr);
    if (plan_.kind == LossKind::kAuto) {
      const bool softmax = head_.ending == Ending::kSoftmax || head_.ending == Ending::kLogSoftmax;
      plan_.kind = head_.ending == Ending::kSigmoid ? LossKind::kBinary
                   : classes && (softmax || plan_.layout.squeezed().size() == 1)
                       ? LossKind::kCrossEntropy
                       : LossKind::kMeanSquare;
    }
    const bool needs_classes =
        plan_.kind == LossKind::kCrossEntropy || plan_.kind == LossKind::kCtc;
    if (needs_classes && !classes) {
      throw Error(ErrorCode::kModel,
                  fmt::format("loss {}: output '{}' of shape {} has no classes",
                              kind_name(plan_.kind), head_.output, to_string(plan_.layout.row)));
    }
    return plan_;
  }

  Plan with_labels() {
    scan_ = scan_labels(data_);
    plan_.labels = true;
    plan_.kind = options_.kind == LossKind::kAuto ? natural_kind() : options_.kind;
    switch (plan_.kind) {
      case LossKind::kCrossEntropy:
        plan_cross_entropy();
        break;
      case LossKind::kCtc:
        plan_ctc();
        break;
      case LossKind::kBinary:
        plan_binary();
        break;
      default:
        require_same_size();
    }
    return plan_;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(ErrorCode::kData, fmt::format("labels of {}: loss {}: {}", data_.description(),
                                              kind_name(plan_.kind), why));
  }
  std::string shapes() const {
    return fmt::format("shape {} a sample does not go with output '{}' of shape {}",
                       to_string(scan_.row), head_.output, to_string(plan_.layout.row));
  }
  void require_integers() const {
    if (!scan_.integer) fail("numbers with fractions (float), class numbers (integers) are needed");
  }
  void require_same_size() const {
    if (scan_.row_size() != plan_.layout.row_size()) fail(shapes());
  }
  /// One class for each sample, or for each place of the output.
  bool fits_places() {
    const Shape places = scan_.squeezed();
    return find_classes(plan_.layout, head_, &places);
  }
  LossKind natural_kind();
  LossKind kind_of_integers();
  void plan_cross_entropy();
  void plan_ctc();
  void plan_binary();

  const LossOptions& options_;
  const LossHead& head_;
  const Dataset& data_;
  LabelScan scan_;
  Plan plan_;
};

LossKind Planner::natural_kind() {
  if (scan_.integer) return kind_of_integers();
  if (scan_.row_size() != plan_.layout.row_size())
    return LossKind::kCrossEntropy;  // which says what is wrong
  const bool softmax = head_.ending == Ending::kSoftmax || head_.ending == Ending::kLogSoftmax;
  if (softmax && scan_.distributions) return LossKind::kCrossEntropy;
  return scan_.only_zero_and_one ? LossKind::kBinary : LossKind::kMeanSquare;
}

LossKind Planner::kind_of_integers() {
  const int64_t size = plan_.layout.row_size();
  if (scan_.row_size() == 1 && plan_.layout.squeezed().size() == 1) return LossKind::kCrossEntropy;
  if (scan_.row_size() == size)
    return scan_.only_zero_and_one ? LossKind::kBinary : LossKind::kMeanSquare;
  const bool sequence = plan_.layout.squeezed().size() == 2;
  // As many labels as steps are classes of the steps, unless they can only be a padded sequence.
  if (fits_places() && !(sequence && scan_.padded && !scan_.has_zero))
    return LossKind::kCrossEntropy;
  return sequence ? LossKind::kCtc : LossKind::kCrossEntropy;
}

void Planner::plan_cross_entropy() {
  if (!scan_.integer && scan_.row_size() == plan_.layout.row_size() && scan_.distributions) {
    plan_.distributions = find_classes(plan_.layout, head_, nullptr);
    if (plan_.distributions) return;
  }
  require_integers();
  if (!fits_places()) fail(shapes());
  const bool places = scan_.row_size() > 1;
  check_classes(data_,
                {0, plan_.layout.classes - 1, places, scan_.squeezed().size() >= 2, head_.output});
}

void Planner::plan_ctc() {
  require_integers();
  if (plan_.layout.squeezed().size() != 2 || scan_.squeezed().size() > 1) fail(shapes());
  // Classes of sequences are last, whatever the labels' length is.
  LossHead last = head_;
  last.has_axis = false;
  find_classes(plan_.layout, last, nullptr);
  check_classes(data_, {1, plan_.layout.classes - 1, true, false, head_.output});
  check_sequences(data_, plan_.layout.places(), head_.output);
}

void Planner::plan_binary() {
  require_same_size();
  if (scan_.least < 0 || scan_.largest > 1) {
    if (scan_.integer) check_classes(data_, {0, 1, false, false, head_.output});
    fail(fmt::format("values from {} to {}, 0 to 1 are needed", scan_.least, scan_.largest));
  }
}

void check_options(const LossOptions& options, const DistillOptions& distill, const Plan& plan) {
  const bool smooth = plan.kind == LossKind::kCrossEntropy || plan.kind == LossKind::kBinary;
  if (options.label_smoothing != 0 && plan.labels && !smooth) {
    throw Error(
        ErrorCode::kRecipe,
        fmt::format("label smoothing {}: the loss is {}, only cross-entropy and binary have it",
                    options.label_smoothing, kind_name(plan.kind)));
  }
  double total = 0;
  for (const Teacher& teacher : distill.teachers) total += teacher.weight;
  if (!distill.teachers.empty() && !(total > 0)) {
    throw Error(ErrorCode::kRecipe,
                fmt::format("teachers: weights add up to {}, more than 0 is needed", total));
  }
  if (!distill.features.empty() && distill.teachers.empty()) {
    throw Error(ErrorCode::kRecipe,
                fmt::format("features: {} pairs and no teacher", distill.features.size()));
  }
}

}  // namespace

Batch shard(const Batch& batch, int64_t first, int64_t count) {
  const auto cut = [&](const at::Tensor& value) {
    return value.defined() ? value.narrow(0, first, count) : value;
  };
  Batch part;
  for (const auto& [name, value] : batch.inputs) part.inputs.emplace_back(name, cut(value));
  part.labels = cut(batch.labels);
  part.mixed_labels = cut(batch.mixed_labels);
  part.mixed_share = batch.mixed_share;
  part.soft = cut(batch.soft);
  for (const at::Tensor& value : batch.features) part.features.push_back(cut(value));
  return part;
}

std::unique_ptr<Loss> make_loss(const LossOptions& options, const DistillOptions& distill,
                                const LossHead& head, const Dataset& data, const LossProbe& probe,
                                uint64_t seed) {
  const bool taught = !distill.teachers.empty();
  if (!data.has_labels() && !taught) {
    throw Error(ErrorCode::kData, fmt::format("{} has no labels", data.description()))
        .hint("add labels beside the inputs, or train from a teacher (teacher: input)");
  }
  const bool labels = data.has_labels() && (!taught || distill.weight < 1 || distill.self);
  Planner planner(options, head, data, find_samples(head, probe.output, probe.samples));
  Plan plan = labels ? planner.with_labels() : planner.without_labels();
  check_options(options, distill, plan);
  if (head.ending == Ending::kSoftmax) plan.probabilities = head.applied;
  if (head.ending == Ending::kNone &&
      (plan.kind == LossKind::kCrossEntropy || plan.kind == LossKind::kCtc)) {
    plan.probabilities = are_probabilities(plan.layout.by_class(widened(probe.output)));
  }
  FeatureTerms features;
  if (!distill.features.empty()) {
    const std::vector<at::Tensor>& first = probe.teachers.at(0);
    features = FeatureTerms(distill.features, probe.features, std::span(first).subspan(1),
                            probe.samples, seed);
  }
  auto loss =
      std::make_unique<TaskLoss>(options, distill, head, std::move(plan), std::move(features));
  std::vector<at::Tensor> outputs;
  for (const std::vector<at::Tensor>& teacher : probe.teachers) outputs.push_back(teacher.at(0));
  loss->soft_target(outputs);  // throws for one that does not fit
  return loss;
}

}  // namespace mcompress::train
