// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "evaluation/ctc.h"
#include "evaluation/scorer_kinds.h"

namespace mcompress::evaluation {
namespace {

class TopScorer final : public MeanScorer {
 public:
  TopScorer(const MetricInfo& info, DecisionKind decision, size_t most)
      : MeanScorer(info, decision), most_(most) {}

 private:
  double score_one(const Row& row) const override {
    const int64_t label = row.ids[0];
    if (most_ == 1) return row.decision[0] == label ? 1 : 0;
    if (row.decision[0] < 0) return 0;
    const float own = row.output[static_cast<size_t>(label)];
    size_t before = 0;
    for (size_t i = 0; i < row.output.size(); ++i) {
      const bool first_of_equals = row.output[i] == own && static_cast<int64_t>(i) < label;
      if (row.output[i] > own || first_of_equals) ++before;
    }
    return before < most_ ? 1 : 0;
  }
  size_t most_;
};

/// Share of equal decisions between labels and output, element by element.
class AccuracyScorer final : public MeanScorer {
 public:
  using MeanScorer::MeanScorer;

 private:
  double score_one(const Row& row) const override {
    double equal = 0;
    for (size_t i = 0; i < row.decision.size(); ++i)
      equal += row.decision[i] == (row.ids[i] > 0 ? 1 : 0);
    return equal / static_cast<double>(row.decision.size());
  }
};

class AgreementScorer final : public MeanScorer {
 public:
  using MeanScorer::MeanScorer;

 private:
  double score_one(const Row& row) const override {
    if (decision() == DecisionKind::kSequence) {
      return std::ranges::equal(decode_ctc(row.decision), decode_ctc(row.reference_decision)) ? 1
                                                                                              : 0;
    }
    if (row.decision.size() != row.reference_decision.size()) return 0;
    if (row.decision.empty()) return 1;
    double equal = 0;
    for (size_t i = 0; i < row.decision.size(); ++i)
      equal += row.decision[i] == row.reference_decision[i];
    return equal / static_cast<double>(row.decision.size());
  }
};

std::vector<int32_t> without_padding(std::span<const int64_t> ids) {
  std::vector<int32_t> sequence;
  for (const int64_t id : ids) {
    if (id >= 0) sequence.push_back(static_cast<int32_t>(id));
  }
  return sequence;
}

class CtcExactScorer final : public MeanScorer {
 public:
  using MeanScorer::MeanScorer;

 private:
  double score_one(const Row& row) const override {
    return decode_ctc(row.decision) == without_padding(row.ids) ? 1 : 0;
  }
};

class CtcErrorScorer final : public Scorer {
 public:
  using Scorer::Scorer;
  size_t columns() const override { return 2; }
  void score(const Row& row, std::span<double> statistics) const override {
    const std::vector<int32_t> truth = without_padding(row.ids);
    statistics[0] = static_cast<double>(edit_distance(decode_ctc(row.decision), truth));
    statistics[1] = static_cast<double>(truth.size());
  }
  double value(std::span<const double> sums, std::span<double> gradient) const override {
    return ratio(sums[0], sums[1], gradient[0], gradient[1]);
  }
};

/// Mean over classes that occur of weight * a_c / b_c: F1 (2 TP over predicted + true) and IoU
/// (intersection over union). {a_0, b_0, a_1, b_1, ...}.
class OverlapScorer final : public Scorer {
 public:
  OverlapScorer(const MetricInfo& info, DecisionKind decision, Overlap kind, size_t classes,
                bool elements)
      : Scorer(info, decision), kind_(kind), classes_(classes), elements_(elements) {}

  size_t columns() const override { return 2 * classes_; }
  void score(const Row& row, std::span<double> statistics) const override {
    std::ranges::fill(statistics, 0.0);
    for (size_t i = 0; i < row.decision.size(); ++i) {
      if (elements_) {
        count(row.decision[i] > 0 ? 0 : -1, row.ids[i] > 0 ? 0 : -1, statistics);
      } else if (row.ids[i] >= 0 && row.ids[i] < static_cast<int64_t>(classes_)) {
        count(row.decision[i], row.ids[i], statistics);  // other labels mean "ignore this place"
      }
    }
  }
  double value(std::span<const double> sums, std::span<double> gradient) const override {
    std::ranges::fill(gradient, 0.0);
    double total = 0, present = 0;
    for (size_t c = 0; c < classes_; ++c) {
      if (sums[2 * c + 1] == 0) continue;
      total += ratio(sums[2 * c], sums[2 * c + 1], gradient[2 * c], gradient[2 * c + 1]);
      ++present;
    }
    if (present == 0) return 0;
    for (double& derivative : gradient) derivative /= present;
    return total / present;
  }

 private:
  void count(int64_t decided, int64_t truth, std::span<double> statistics) const {
    const auto add = [&](int64_t c, size_t which, double by) {
      if (c >= 0) statistics[2 * static_cast<size_t>(c) + which] += by;
    };
    if (decided == truth) {
      add(truth, 0, kind_ == Overlap::kF1 ? 2 : 1);
      add(truth, 1, kind_ == Overlap::kF1 ? 2 : 1);
    } else {
      add(truth, 1, 1);
      add(decided, 1, 1);
    }
  }
  Overlap kind_;
  size_t classes_;
  bool elements_;
};

}  // namespace

std::unique_ptr<Scorer> top_scorer(const MetricInfo& info, DecisionKind decision, size_t most) {
  return std::make_unique<TopScorer>(info, decision, most);
}

std::unique_ptr<Scorer> accuracy_scorer(const MetricInfo& info) {
  return std::make_unique<AccuracyScorer>(info, DecisionKind::kThreshold);
}

std::unique_ptr<Scorer> agreement_scorer(const MetricInfo& info, DecisionKind decision) {
  return std::make_unique<AgreementScorer>(info, decision);
}

std::unique_ptr<Scorer> ctc_exact_scorer(const MetricInfo& info) {
  return std::make_unique<CtcExactScorer>(info, DecisionKind::kSequence);
}

std::unique_ptr<Scorer> ctc_error_scorer(const MetricInfo& info) {
  return std::make_unique<CtcErrorScorer>(info, DecisionKind::kSequence);
}

std::unique_ptr<Scorer> overlap_scorer(const MetricInfo& info, DecisionKind decision, Overlap kind,
                                       size_t classes, bool elements) {
  return std::make_unique<OverlapScorer>(info, decision, kind, classes, elements);
}

}  // namespace mcompress::evaluation
