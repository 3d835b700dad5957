// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "evaluation/scorer_kinds.h"
#include "mcompress/error.h"
#include "support/decibels.h"

namespace mcompress::evaluation {
namespace {

class CosineScorer final : public MeanScorer {
 public:
  using MeanScorer::MeanScorer;

 private:
  double score_one(const Row& row) const override {
    double product = 0, own = 0, other = 0;
    for (size_t i = 0; i < row.output.size(); ++i) {
      const double x = static_cast<double>(row.output[i]),
                   y = static_cast<double>(row.reference[i]);
      product += x * y;
      own += x * x;
      other += y * y;
    }
    if (own == 0 || other == 0) return own == other ? 1 : 0;
    return product / std::sqrt(own * other);
  }
};

/// Mean error over elements, against labels or reference: {sum of errors, elements, sum of sizes}.
class ErrorScorer final : public Scorer {
 public:
  ErrorScorer(const MetricInfo& info, bool squared, bool against_labels)
      : Scorer(info, DecisionKind::kNone), squared_(squared), against_labels_(against_labels) {}
  size_t columns() const override { return 3; }
  void score(const Row& row, std::span<double> statistics) const override {
    const std::span<const float> truth = against_labels_ ? row.targets : row.reference;
    std::ranges::fill(statistics, 0.0);
    for (size_t i = 0; i < row.output.size(); ++i) {
      statistics[0] += size_of(static_cast<double>(row.output[i]) - static_cast<double>(truth[i]));
      statistics[2] += size_of(static_cast<double>(truth[i]));
    }
    statistics[1] = static_cast<double>(row.output.size());
  }
  double value(std::span<const double> sums, std::span<double> gradient) const override {
    gradient[2] = 0;
    return ratio(sums[0], sums[1], gradient[0], gradient[1]);
  }
  double scale(std::span<const double> sums) const override {
    return sums[1] > 0 && sums[2] > 0 ? sums[2] / sums[1] : 1;
  }

 private:
  double size_of(double x) const { return squared_ ? x * x : std::abs(x); }
  bool squared_, against_labels_;
};

/// {power of the reference, power of the difference}, in dB; at most 200, for no difference at all.
class SqnrScorer final : public Scorer {
 public:
  explicit SqnrScorer(const MetricInfo& info) : Scorer(info, DecisionKind::kNone) {}
  size_t columns() const override { return 2; }
  void score(const Row& row, std::span<double> statistics) const override {
    std::ranges::fill(statistics, 0.0);
    for (size_t i = 0; i < row.output.size(); ++i) {
      const double y = static_cast<double>(row.reference[i]);
      const double difference = static_cast<double>(row.output[i]) - y;
      statistics[0] += y * y;
      statistics[1] += difference * difference;
    }
  }
  double value(std::span<const double> sums, std::span<double> gradient) const override {
    constexpr double kLeastShare = 1e-20;
    gradient[0] = gradient[1] = 0;
    if (sums[1] <= kLeastShare * sums[0]) return kMostDecibels;
    if (sums[0] == 0) return -kMostDecibels;
    const double per_decade = 10 / std::log(10.0);
    gradient[0] = per_decade / sums[0];
    gradient[1] = -per_decade / sums[1];
    return 10 * std::log10(sums[0] / sums[1]);
  }
};

/// {negative log likelihood, labels}; negative labels are padding.
class PerplexityScorer final : public Scorer {
 public:
  PerplexityScorer(const MetricInfo& info, size_t classes)
      : Scorer(info, DecisionKind::kNone), classes_(classes) {}
  size_t columns() const override { return 2; }
  void score(const Row& row, std::span<double> statistics) const override {
    std::ranges::fill(statistics, 0.0);
    for (size_t place = 0; place < row.ids.size(); ++place) {
      if (row.ids[place] < 0) continue;
      statistics[0] -= log_likelihood(row.output.subspan(place * classes_, classes_),
                                      static_cast<size_t>(row.ids[place]));
      statistics[1] += 1;
    }
  }
  double value(std::span<const double> sums, std::span<double> gradient) const override {
    const double result = std::exp(ratio(sums[0], sums[1], gradient[0], gradient[1]));
    for (double& derivative : gradient) derivative *= result;
    return result;
  }

 private:
  /// Outputs that are not below 0 and sum to 1 are probabilities; anything else is logits, which
  /// log-probabilities are too.
  static double log_likelihood(std::span<const float> row, size_t label) {
    double sum = 0, largest = static_cast<double>(row[0]), least = largest;
    for (const float x : row) {
      sum += static_cast<double>(x);
      largest = std::max(largest, static_cast<double>(x));
      least = std::min(least, static_cast<double>(x));
    }
    constexpr double kTolerance = 1e-3, kLeastProbability = 1e-30;
    const auto own = static_cast<double>(row[label]);
    if (least >= 0 && std::abs(sum - 1) < kTolerance)
      return std::log(std::max(own, kLeastProbability));
    double exponentials = 0;
    for (const float x : row) exponentials += std::exp(static_cast<double>(x) - largest);
    return own - largest - std::log(exponentials);
  }
  size_t classes_;
};

/// {score, label}; a rank statistic, so it has no gradient of sums. Influence after DeLong, DeLong
/// and Clarke-Pearson (1988): placements among the other class.
class AucScorer final : public Scorer {
 public:
  AucScorer(const MetricInfo& info, size_t at) : Scorer(info, DecisionKind::kNone), at_(at) {}
  size_t columns() const override { return 2; }
  void score(const Row& row, std::span<double> statistics) const override {
    statistics[0] = static_cast<double>(row.output[at_]);
    statistics[1] = row.ids[0] > 0 ? 1 : 0;
  }
  double value(std::span<const double> sums, std::span<double>) const override { return sums[0]; }
  EvaluationResult summarize(std::span<const double> statistics) const override;

 private:
  size_t at_;
};

EvaluationResult AucScorer::summarize(std::span<const double> statistics) const {
  const size_t count = statistics.size() / 2;
  std::vector<double> by_class[2];
  for (size_t i = 0; i < count; ++i)
    by_class[statistics[2 * i + 1] > 0].push_back(statistics[2 * i]);
  for (auto& scores : by_class) std::ranges::sort(scores);
  EvaluationResult result;
  result.value.samples = count;
  if (by_class[0].empty() || by_class[1].empty()) {
    throw Error(ErrorCode::kData, "labels: auc needs samples of both classes");
  }
  double sum = 0;
  std::vector<double> placements;
  for (size_t i = 0; i < count; ++i) {
    const double score = statistics[2 * i];
    const bool positive = statistics[2 * i + 1] > 0;
    const auto& others = by_class[positive ? 0 : 1];
    const auto [low, high] = std::equal_range(others.begin(), others.end(), score);
    const double below = static_cast<double>(low - others.begin());
    const double ties = static_cast<double>(high - low);
    const double share = (below + ties / 2) / static_cast<double>(others.size());
    placements.push_back(positive ? share : 1 - share);
    if (positive) sum += share;
  }
  result.value.value = sum / static_cast<double>(by_class[1].size());
  for (size_t i = 0; i < count; ++i) {
    const double own = static_cast<double>(by_class[statistics[2 * i + 1] > 0].size());
    const double weight = static_cast<double>(count) / own;
    result.influence.push_back(result.value.value + weight * (placements[i] - result.value.value));
    result.per_sample.push_back(static_cast<float>(placements[i]));
  }
  const numerics::Estimate interval = around(result.value.value, result.influence);
  result.value.low = std::max(0.0, interval.low);
  result.value.high = std::min(1.0, interval.high);
  return result;
}

}  // namespace

std::unique_ptr<Scorer> cosine_scorer(const MetricInfo& info) {
  return std::make_unique<CosineScorer>(info, DecisionKind::kNone);
}

std::unique_ptr<Scorer> sqnr_scorer(const MetricInfo& info) {
  return std::make_unique<SqnrScorer>(info);
}

std::unique_ptr<Scorer> error_scorer(const MetricInfo& info, bool squared, bool against_labels) {
  return std::make_unique<ErrorScorer>(info, squared, against_labels);
}

std::unique_ptr<Scorer> perplexity_scorer(const MetricInfo& info, size_t classes) {
  return std::make_unique<PerplexityScorer>(info, classes);
}

std::unique_ptr<Scorer> auc_scorer(const MetricInfo& info, size_t at) {
  return std::make_unique<AucScorer>(info, at);
}

}  // namespace mcompress::evaluation
