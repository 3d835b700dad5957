// SPDX-License-Identifier: Apache-2.0
#include "quantization/recovery.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace mcompress::quantization {
namespace {

constexpr size_t kProbeSamples = 32;
constexpr size_t kFewestSamples = 4;    // that a unit alone is measured on
constexpr double kDamageOfPoint = 0.1;  // allowed where no metric judges, for a tolerance of 1
/// Above it few samples prove nothing. Recognition of text bore 0.03 without a loss.
constexpr double kSmallDamage = 0.05;
constexpr int kFewestCandidates = 4, kMostCandidates = 25;

/// A metric whose drop a person can state a tolerance for.
bool is_judged(Evaluator* evaluator) {
  if (evaluator == nullptr) return false;
  const MetricInfo& metric = evaluator->metric();
  return metric.is_points || (metric.name != "sqnr" && evaluator->data().has_labels());
}

/// Units that round values or weights; what moves values adds nothing.
bool adds_noise(const Unit& unit) { return !moves_values(unit); }

class Recovery {
 public:
  Recovery(const Model& model, PassContext& context, const std::vector<Unit>& units,
           const std::function<Plan(const std::set<std::string>&)>& plan_with, Prepared& prepared,
           CandidateJudge& judge, const RecoveryOptions& options)
      : model_(model),
        context_(context),
        units_(units),
        plan_with_(plan_with),
        prepared_(prepared),
        judge_(judge),
        options_(options) {}

  Recovered run() {
    result_.plan = plan_with_(prepared_.unobserved);
    result_.first = result_.last = verdict_of(result_.plan.in_int8);
    if (result_.first.inside) return std::move(result_);
    round_finer();
    if (result_.last.inside) return std::move(result_);
    rank();
    give_back();
    return std::move(result_);
  }

 private:
  Model candidate(const std::vector<bool>& in_int8) const {
    Model copy = model_.clone();
    emit_plan(copy, rebind(copy, units_), in_int8, prepared_.params, prepared_.weights);
    return copy;
  }

  Verdict verdict_of(const std::vector<bool>& in_int8) {
    ++result_.judged;
    return judge_.judge(candidate(in_int8));
  }

  double runs() const {
    return static_cast<double>(options_.passes) *
           static_cast<double>(context_.calibration().data().size());
  }

  void round_finer() {
    if (needs_moments(options_.prepare.rounding)) return;
    PrepareOptions finer = options_.prepare;
    finer.rounding = Rounding::kGptq;
    auto kept = prepared_.weights;
    round_again(model_, context_, units_, result_.plan.in_int8, finer, prepared_);
    const Verdict verdict = verdict_of(result_.plan.in_int8);
    for (size_t i = 0; i < units_.size(); ++i) {
      result_.rounded += result_.plan.in_int8[i] && is_layer(units_[i]) ? 1 : 0;
    }
    result_.finer = verdict.inside ||
                    (verdict.drop <= result_.last.drop && verdict.damage < result_.last.damage);
    if (result_.finer) {
      result_.last = verdict;
    } else {
      prepared_.weights = std::move(kept);
    }
  }

  /// Each unit alone in 8 bits, on as many samples as half of the budget allows.
  void rank() {
    std::vector<size_t> candidates;
    for (size_t i = 0; i < units_.size(); ++i) {
      if (result_.plan.in_int8[i] && adds_noise(units_[i])) candidates.push_back(i);
    }
    if (candidates.empty()) return;
    const auto affordable =
        static_cast<size_t>(runs() / 2 / static_cast<double>(candidates.size()));
    const size_t samples = std::clamp(affordable, kFewestSamples, kProbeSamples);
    context_.progress().begin("damage of layers", candidates.size());
    for (const size_t i : candidates) {
      std::vector<bool> alone(units_.size(), false);
      alone[i] = true;
      result_.ranking.emplace_back(i, judge_.damage(candidate(alone), samples));
      context_.progress().advance();
    }
    context_.progress().end();
    std::stable_sort(result_.ranking.begin(), result_.ranking.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
  }

  /// The least number of units in float, worst first, that is inside.
  void give_back() {
    const auto affordable = runs() / 2 / static_cast<double>(judge_.samples());
    const int budget = static_cast<int>(
        std::clamp(affordable, double{kFewestCandidates}, double{kMostCandidates}));
    std::map<size_t, Verdict> verdicts;
    const auto loss = [&](size_t count) {
      if (count == 0) return 1.0;  // known to be outside
      const Verdict verdict = verdict_of(plan_without(count).in_int8);
      verdicts[count] = verdict;
      return verdict.inside ? 0.0 : 1.0;
    };
    result_.returned = least_count(result_.ranking.size(), 0.5, budget + 1, loss);
    result_.plan = plan_without(result_.returned);
    const auto known = verdicts.find(result_.returned);
    result_.last = known != verdicts.end() ? known->second : verdict_of(result_.plan.in_int8);
  }

  Plan plan_without(size_t count) const {
    std::set<std::string> in_float = prepared_.unobserved;
    for (size_t i = 0; i < count; ++i) in_float.insert(units_[result_.ranking[i].first].output);
    return plan_with_(in_float);
  }

  const Model& model_;
  PassContext& context_;
  const std::vector<Unit>& units_;
  const std::function<Plan(const std::set<std::string>&)>& plan_with_;
  Prepared& prepared_;
  CandidateJudge& judge_;
  const RecoveryOptions& options_;
  Recovered result_;
};

}  // namespace

CandidateJudge::CandidateJudge(const Model& before, PassContext& context, double tolerance)
    : evaluator_(is_judged(context.evaluator()) ? context.evaluator() : nullptr),
      probe_(before, context.runtime(), context.calibration().data(), kProbeSamples,
             context.threads()),
      tolerance_(tolerance) {
  if (evaluator_ != nullptr) before_ = evaluator_->evaluate(before);
}

Verdict CandidateJudge::judge(const Model& candidate) {
  Verdict verdict;
  verdict.damage = probe_.damage(candidate);
  if (evaluator_ == nullptr) {
    verdict.inside = verdict.damage <= kDamageOfPoint * tolerance_;
    return verdict;
  }
  const Comparison comparison = evaluator_->compare(before_, evaluator_->evaluate(candidate));
  verdict.drop = 100 * comparison.drop;
  // Slack for a drop that is the tolerance but for rounding.
  const double allowed = tolerance_ * (1 + 1e-9);
  const bool cannot_tell = comparison.low <= 0;
  verdict.inside =
      verdict.drop <= allowed || (tolerance_ > 0 && cannot_tell && verdict.damage <= kSmallDamage);
  return verdict;
}

std::string CandidateJudge::metric() const {
  return evaluator_ == nullptr ? "" : std::string(evaluator_->metric().name);
}

std::string CandidateJudge::describe(const Verdict& verdict) const {
  const std::string damage = fmt::format("damage {:.4f} at the output", verdict.damage);
  if (evaluator_ == nullptr) return damage;
  return fmt::format("{} {:+.2f} {}, {}", evaluator_->metric().name, -verdict.drop,
                     evaluator_->metric().is_points ? "pt" : "%", damage);
}

size_t CandidateJudge::samples() const {
  return kProbeSamples + (evaluator_ == nullptr ? 0 : evaluator_->data().size());
}

Recovered recover(const Model& model, PassContext& context, const std::vector<Unit>& units,
                  const std::function<Plan(const std::set<std::string>&)>& plan_with,
                  Prepared& prepared, CandidateJudge& judge, const RecoveryOptions& options) {
  return Recovery(model, context, units, plan_with, prepared, judge, options).run();
}

}  // namespace mcompress::quantization
