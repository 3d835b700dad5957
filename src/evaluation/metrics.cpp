// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "mcompress/error.h"
#include "mcompress/metric.h"
#include "support/did_you_mean.h"

namespace mcompress {
namespace {

constexpr MetricInfo kMetrics[] = {
    {.name = "top1",
     .summary = "share of samples whose largest output is the label",
     .needs_labels = true,
     .is_points = true},
    {.name = "top5",
     .summary = "share of samples whose label is among the five largest outputs",
     .needs_labels = true,
     .is_points = true},
    {.name = "accuracy",
     .summary = "share of right yes-no decisions (0.5, or 0 for logits)",
     .needs_labels = true,
     .is_points = true},
    {.name = "auc",
     .summary = "area under the ROC curve of a yes-no score",
     .needs_labels = true,
     .is_points = true},
    {.name = "f1",
     .summary = "F1 of yes-no elements together, or the mean F1 over classes",
     .needs_labels = true,
     .is_points = true},
    {.name = "mse",
     .summary = "mean squared difference to the labels, else to the input model",
     .higher_is_better = false},
    {.name = "mae",
     .summary = "mean absolute difference to the labels, else to the input model",
     .higher_is_better = false},
    {.name = "cosine",
     .summary = "mean cosine between the outputs and the input model's",
     .needs_reference = true},
    {.name = "sqnr",
     .summary = "power of the input model's outputs over that of the difference",
     .needs_reference = true,
     .unit = "dB"},
    {.name = "agreement",
     .summary = "share of decisions that are the input model's",
     .needs_reference = true,
     .is_points = true},
    {.name = "ctc-exact",
     .summary = "share of sequences read without any error (CTC, blank 0)",
     .needs_labels = true,
     .is_points = true},
    {.name = "ctc-cer",
     .summary = "edits per symbol of the labels (CTC, blank 0)",
     .higher_is_better = false,
     .needs_labels = true,
     .is_points = true},
    {.name = "iou",
     .summary = "intersection over union of classes, mean over those that occur",
     .needs_labels = true,
     .is_points = true},
    {.name = "perplexity",
     .summary = "exponential of the mean negative log likelihood of the labels",
     .higher_is_better = false,
     .needs_labels = true},
};

}  // namespace

std::span<const MetricInfo> metrics() { return kMetrics; }

const MetricInfo& find_metric(std::string_view name) {
  std::vector<std::string> known;
  for (const MetricInfo& metric : kMetrics) {
    if (metric.name == name) return metric;
    known.emplace_back(metric.name);
  }
  throw Error(ErrorCode::kRecipe, fmt::format("'{}' is no metric", name))
      .hint(did_you_mean(name, known));
}

}  // namespace mcompress
