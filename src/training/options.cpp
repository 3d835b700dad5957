// SPDX-License-Identifier: Apache-2.0
#include "training/options.h"

#include <fmt/format.h>

#include <algorithm>

namespace mcompress::training {

void TrainingOptions::describe(OptionSet& o) {
  describe_learning(o);
  describe_data(o);
  describe_teachers(o);
  o.add("freeze", freeze, "Constants that keep their values: names, * and ? allowed");
  o.add("batch-norm", update_batch_norm, {{"frozen", false}, {"update", true}},
        "Batch normalization by the statistics of the file, or by those of the batches, which "
        "update the file's");
  o.add("patience", patience,
        "Epochs without a better metric after which training ends; 0: all are run")
      .at_least(0);
  o.add(
      "checkpoint", checkpoint,
      "File, from the current folder, to which each epoch is saved, and from which a training that "
      "was stopped goes on; a second step or round that names it gets NAME-2.EXT");
  o.add("missing-data", skip_without, {{"fail", false}, {"skip", true}},
        "Without training data or without the trainer: an error, or leave the step out and say so");
}

void TrainingOptions::describe_learning(OptionSet& o) {
  o.add("epochs", epochs, "Times that the training data is gone through").greater_than(0);
  o.add("steps", steps, "Batches to train on, instead of epochs; auto: as many as the epochs have",
        {"auto"})
      .at_least(1);
  o.add("batch", batch, "Samples of a step").at_least(1);
  o.add("optimizer", optimizer.kind,
        {{"adam", OptimizerKind::kAdam},
         {"adamw", OptimizerKind::kAdamW},
         {"sgd", OptimizerKind::kSgd}},
        "How gradients move the weights");
  o.add("learning-rate", optimizer.learning_rate, "Highest learning rate").greater_than(0);
  o.add("momentum", optimizer.momentum, "Of sgd; of adam and adamw the first beta")
      .range(0, 0.9999);
  o.add("beta2", optimizer.beta2, "Of adam and adamw the second beta").range(0, 0.999999);
  o.add("weight-decay", optimizer.weight_decay,
        "Pull of weights towards zero; apart from the gradient with adamw. Not for biases, norms "
        "and centroids")
      .at_least(0);
  o.add("clip", optimizer.clip_norm, "Largest norm of all gradients together; 0: any").at_least(0);
  o.add("schedule", rate.schedule,
        {{"cosine", RateSchedule::kCosine},
         {"linear", RateSchedule::kLinear},
         {"step", RateSchedule::kStep},
         {"constant", RateSchedule::kConstant}},
        "How the learning rate falls over the steps");
  o.add("warmup", rate.warmup, "Share of the steps in which the learning rate rises from 0")
      .range(0, 1);
  o.add("rate-end", rate.last,
        "Of cosine and linear: share of the learning rate that is left at the end")
      .range(0, 1);
  o.add("rate-every", rate.step_every,
        "Of step: share of the steps after which the learning rate falls")
      .range(0.001, 1);
  o.add("rate-factor", rate.step_factor, "Of step: what the learning rate is multiplied with then")
      .range(0, 1);
  o.add("loss", loss.kind,
        {{"auto", LossKind::kAuto},
         {"cross-entropy", LossKind::kCrossEntropy},
         {"binary", LossKind::kBinary},
         {"mse", LossKind::kMeanSquare},
         {"ctc", LossKind::kCtc}},
        "Of the output against the labels; auto: from their types and shapes");
  o.add("output", loss.output, "Output of the model that is trained; the first by default");
  o.add("label-smoothing", loss.label_smoothing, "Share of a label's weight that all classes get")
      .range(0, 0.999);
}

void TrainingOptions::describe_data(OptionSet& o) {
  o.add("shift", augment.shift, "Images: most pixels that one is moved to each side")
      .range(0, 1000);
  o.add("flip", augment.flip, "Images: every other one mirrored left to right");
  o.add("crop", augment.crop, "Images: padded by so many pixels, and the old size cut out of that")
      .range(0, 1000);
  o.add("noise", augment.noise,
        "Noise added to the input, as a share of its own standard deviation")
      .at_least(0);
  o.add("augment-share", augment.share, "Share of the samples that shift, crop and noise act on")
      .range(0, 1);
  o.add("mixup", augment.mixup,
        "Pairs of samples and their labels are mixed by a share drawn from Beta(mixup, mixup); 0: "
        "none")
      .at_least(0);
}

void TrainingOptions::describe_teachers(OptionSet& o) {
  o.add_file("teacher", teacher,
             "Model whose outputs are learned beside the labels: none, input (the model as the run "
             "got it), self (the best so far), or a file",
             {"none", "input", "self"});
  o.add_files("teachers", teachers, "Several models, whose mean is learned");
  o.add("teacher-weights", teacher_weights,
        "Weight of each of teachers in the mean; alike by default")
      .at_least(0);
  o.add("temperature", temperature,
        "Divides the scores of teacher and student before they are compared")
      .greater_than(0);
  o.add("soft-weight", soft_weight,
        "Share of the teacher in the loss, the labels have the rest; auto: 0.5, without labels 1",
        {"auto"})
      .range(0, 1);
  o.add("self-every", self_every,
        "With teacher self: epochs after which the best so far becomes the teacher")
      .at_least(1);
  o.add("features", features,
        "Inner values that shall be like the first teacher's: STUDENT=TEACHER, by name");
  o.add("feature-weight", feature_weight, "Weight of their squared difference in the loss")
      .at_least(0);
}

std::string TrainingOptions::check() const {
  if (teacher != "none" && !teachers.empty())
    return "teacher and teachers are both given; write one of them";
  if (!teacher_weights.empty() && teacher_weights.size() != teachers.size()) {
    return fmt::format("teacher-weights has {} entries, teachers {}", teacher_weights.size(),
                       teachers.size());
  }
  const auto positive = [](double weight) { return weight > 0; };
  if (!teacher_weights.empty() &&
      std::none_of(teacher_weights.begin(), teacher_weights.end(), positive)) {
    return "teacher-weights are all 0";
  }
  if (soft_weight && !has_teacher()) {
    return fmt::format("soft-weight {} needs a teacher: input, self, or a file", *soft_weight);
  }
  for (const std::string& pair : features) {
    const size_t at = pair.find('=');
    if (at == 0 || at == pair.npos || at + 1 == pair.size()) {
      return "features: '" + pair + "' is not of the form STUDENT=TEACHER";
    }
  }
  if (!features.empty() && (!has_teacher() || teacher == "self")) {
    return "features need a teacher of their own: input, or a file";
  }
  for (const std::string& pattern : freeze) {
    if (pattern.empty() || pattern.starts_with("op:")) {
      return "freeze: '" + pattern + "' names no constant; leave layers out with skip";
    }
  }
  return "";
}

}  // namespace mcompress::training
