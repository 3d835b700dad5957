// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/class_layout.h"
#include "train/loss.h"

namespace mcompress::train {

/// What the loss does, decided from options, labels and one run.
struct LossPlan {
  LossKind kind = LossKind::kMeanSquare;
  bool labels = false;
  bool distributions = false;  ///< labels of cross-entropy are probabilities of all classes
  bool probabilities = false;  ///< the student puts them out, not scores
  ClassLayout layout;
};

/// Throws kData naming data, sample and value for labels of a wrong type, shape or range.
LossPlan plan_with_labels(const LossOptions& options, const LossHead& head, const Dataset& data,
                          ClassLayout layout);
/// Where teachers alone are learned from. Throws kModel for an output without the classes that the
/// loss asked for needs.
LossPlan plan_without_labels(const LossOptions& options, const LossHead& head, ClassLayout layout);

/// Throws kRecipe for options that do not go together.
void check_options(const LossOptions& options, const DistillOptions& distill, const LossPlan& plan);

}  // namespace mcompress::train
