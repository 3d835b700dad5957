// SPDX-License-Identifier: Apache-2.0
#include "train/loss_plan.h"

#include <utility>

#include <fmt/format.h>

#include "mcompress/error.h"
#include "train/labels.h"

namespace mcompress::train {
namespace {

using Ending = LossHead::Ending;

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

/// Makes the plan from labels and output.
class Planner {
 public:
  /// `data` may be null where labels are not asked for.
  Planner(const LossOptions& options, const LossHead& head, const Dataset* data, ClassLayout layout)
      : options_(options), head_(head), data_(data) {
    plan_.layout = std::move(layout);
  }

  LossPlan without_labels() {
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

  LossPlan with_labels() {
    scan_ = scan_labels(*data_);
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
    throw Error(ErrorCode::kData, fmt::format("labels of {}: loss {}: {}", data_->description(),
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
  const Dataset* data_;
  LabelScan scan_;
  LossPlan plan_;
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
  check_classes(*data_,
                {.least = 0,
                 .most = plan_.layout.classes - 1,
                 .padding = places,
                 .void_255 = scan_.squeezed().size() >= 2,
                 .counted_from_one =
                     scan_.least == 1 && scan_.largest == static_cast<double>(plan_.layout.classes),
                 .output = head_.output});
}

void Planner::plan_ctc() {
  require_integers();
  if (plan_.layout.squeezed().size() != 2 || scan_.squeezed().size() > 1) fail(shapes());
  // Classes of sequences are last, whatever the labels' length is.
  LossHead last = head_;
  last.has_axis = false;
  find_classes(plan_.layout, last, nullptr);
  check_classes(
      *data_,
      {.least = 1, .most = plan_.layout.classes - 1, .padding = true, .output = head_.output});
  check_sequences(*data_, plan_.layout.places(), head_.output);
}

void Planner::plan_binary() {
  require_same_size();
  if (scan_.least < 0 || scan_.largest > 1) {
    if (scan_.integer) check_classes(*data_, {.least = 0, .most = 1, .output = head_.output});
    fail(fmt::format("values from {} to {}, 0 to 1 are needed", scan_.least, scan_.largest));
  }
}

}  // namespace

LossPlan plan_with_labels(const LossOptions& options, const LossHead& head, const Dataset& data,
                          ClassLayout layout) {
  return Planner(options, head, &data, std::move(layout)).with_labels();
}

LossPlan plan_without_labels(const LossOptions& options, const LossHead& head, ClassLayout layout) {
  return Planner(options, head, nullptr, std::move(layout)).without_labels();
}

void check_options(const LossOptions& options, const DistillOptions& distill,
                   const LossPlan& plan) {
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

}  // namespace mcompress::train
