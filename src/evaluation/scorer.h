// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "evaluation/output_profile.h"
#include "mcompress/metric.h"
#include "numerics/statistics.h"

namespace mcompress::evaluation {

/// One sample as a metric sees it. Spans are empty where there is nothing. Outputs hold no NaN and
/// no infinity (they are 0); decisions were made before that.
struct Row {
  std::span<const float> output;
  std::span<const int32_t> decision;
  std::span<const int64_t> ids;    ///< integer labels
  std::span<const float> targets;  ///< labels as numbers, integer ones too
  std::span<const float> reference;
  std::span<const int32_t> reference_decision;
};

/// `value` with the interval of the mean of `values`, whose spread is the value's.
numerics::Estimate around(double value, std::span<const double> values);

/// A metric: a few statistics per sample, and a value that is a function of their sums. Everything
/// else (scores of single samples, influence, interval) follows from that function and its
/// gradient.
class Scorer {
 public:
  Scorer(const MetricInfo& info, DecisionKind decision) : info_(info), decision_(decision) {}
  virtual ~Scorer() = default;
  virtual size_t columns() const = 0;
  /// Adds nothing: overwrites `statistics` (columns() of them) with those of one sample.
  virtual void score(const Row& row, std::span<double> statistics) const = 0;
  /// Value from sums over any number of samples, not changed when all sums are multiplied alike.
  /// `gradient` gets its derivatives.
  virtual double value(std::span<const double> sums, std::span<double> gradient) const = 0;
  /// What a drop is relative to when the base's value is 0.
  virtual double scale(std::span<const double> /*sums*/) const { return 1; }
  /// The value is the mean of the first statistic; then a sample's influence is its score, exactly.
  virtual bool is_mean() const { return false; }
  /// From the statistics of all samples, row by row.
  virtual EvaluationResult summarize(std::span<const double> statistics) const;

  const MetricInfo& info() const { return info_; }
  DecisionKind decision() const { return decision_; }

 private:
  const MetricInfo& info_;
  DecisionKind decision_;
};

/// `labels` says what the data has. Throws kData where metric, labels and output do not go
/// together; `data` names the data set in the message.
std::unique_ptr<Scorer> make_scorer(const MetricInfo& info, const OutputProfile& output,
                                    const LabelProfile& labels, const std::string& data);

/// Lets the labels say where the classes of an output are: [C, H, W] or [H, W, C] for labels [H,
/// W].
void place_classes(OutputProfile& output, const LabelProfile& labels);

/// Paired difference as Evaluator::compare describes it.
Comparison compare_results(const MetricInfo& info, const EvaluationResult& base,
                           const EvaluationResult& candidate);

/// Name of the metric for this output and these labels, and why (rules.md 3).
struct Choice {
  std::string_view metric;
  std::string reason;
};
Choice choose_metric(const OutputProfile& output, const LabelProfile& labels);

}  // namespace mcompress::evaluation
