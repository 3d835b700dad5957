// SPDX-License-Identifier: Apache-2.0
#include "train/loss.h"

#include <algorithm>

#include <fmt/format.h>

#include "mcompress/error.h"
#include "train/distillation.h"
#include "train/loss_kinds.h"
#include "train/loss_plan.h"

namespace mcompress::train {
namespace {

using Ending = LossHead::Ending;

/// Half precision overflows in sums.
at::Tensor widened(const at::Tensor& value) {
  const bool wide = value.scalar_type() == at::kFloat || value.scalar_type() == at::kDouble;
  return wide ? value : value.to(at::kFloat);
}

class TaskLoss final : public Loss {
 public:
  TaskLoss(const LossOptions& options, const DistillOptions& distill, LossHead head, LossPlan plan,
           FeatureTerms features)
      : head_(std::move(head)),
        plan_(std::move(plan)),
        features_(std::move(features)),
        smoothing_(options.label_smoothing),
        temperature_(distill.temperature),
        // Without labels the teacher has all of it, unless features are all that is learned.
        soft_weight_(plan_.labels || distill.weight == 0 ? distill.weight : 1),
        feature_weight_(distill.feature_weight) {
    for (const Teacher& teacher : distill.teachers) weights_.push_back(teacher.weight);
  }

  LossKind kind() const override { return plan_.kind; }
  bool uses_labels() const override { return plan_.labels; }
  bool accepts(const Dataset& data) const override;
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
  LossPlan plan_;
  FeatureTerms features_;
  double smoothing_, temperature_, soft_weight_, feature_weight_;
  std::vector<double> weights_;
};

bool TaskLoss::accepts(const Dataset& data) const {
  if (!plan_.labels) return true;
  if (!data.has_labels()) return false;
  try {
    const LossPlan plan =
        plan_with_labels({.kind = plan_.kind}, head_, data,
                         {.time_first = plan_.layout.time_first, .row = plan_.layout.row});
    return plan.distributions == plan_.distributions && plan.layout.axis == plan_.layout.axis;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kData) throw;
    return false;
  }
}

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
    throw Error(ErrorCode::kModel,
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
  const ClassLayout layout = find_samples(head, probe.output, probe.samples);
  LossPlan plan = labels ? plan_with_labels(options, head, data, layout)
                         : plan_without_labels(options, head, layout);
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
