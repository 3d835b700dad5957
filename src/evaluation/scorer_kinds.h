// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "evaluation/scorer.h"

namespace mcompress::evaluation {

/// a / b with its gradient; 0 without a denominator.
inline double ratio(double a, double b, double& by_a, double& by_b) {
  by_a = by_b = 0;
  if (b == 0) return 0;
  by_a = 1 / b;
  by_b = -a / (b * b);
  return a / b;
}

/// Value is the mean of one score per sample.
class MeanScorer : public Scorer {
 public:
  using Scorer::Scorer;
  size_t columns() const final { return 2; }
  void score(const Row& row, std::span<double> statistics) const final {
    statistics[0] = score_one(row);
    statistics[1] = 1;
  }
  double value(std::span<const double> sums, std::span<double> gradient) const final {
    return ratio(sums[0], sums[1], gradient[0], gradient[1]);
  }
  bool is_mean() const final { return true; }

 protected:
  virtual double score_one(const Row& row) const = 0;
};

/// The label is among the `most` largest outputs, or is the decision itself.
std::unique_ptr<Scorer> top_scorer(const MetricInfo& info, DecisionKind decision, size_t most);
/// Share of yes-no elements that are right.
std::unique_ptr<Scorer> accuracy_scorer(const MetricInfo& info);
std::unique_ptr<Scorer> agreement_scorer(const MetricInfo& info, DecisionKind decision);
std::unique_ptr<Scorer> ctc_exact_scorer(const MetricInfo& info);
std::unique_ptr<Scorer> ctc_error_scorer(const MetricInfo& info);
enum class Overlap { kF1, kIou };
/// With `elements` there is one class, "yes", and every element of the output decides for itself.
std::unique_ptr<Scorer> overlap_scorer(const MetricInfo& info, DecisionKind decision, Overlap kind,
                                       size_t classes, bool elements);

std::unique_ptr<Scorer> cosine_scorer(const MetricInfo& info);
std::unique_ptr<Scorer> sqnr_scorer(const MetricInfo& info);
std::unique_ptr<Scorer> error_scorer(const MetricInfo& info, bool squared, bool against_labels);
std::unique_ptr<Scorer> perplexity_scorer(const MetricInfo& info, size_t classes);
/// Scores are element `at` of the output.
std::unique_ptr<Scorer> auc_scorer(const MetricInfo& info, size_t at);

}  // namespace mcompress::evaluation
