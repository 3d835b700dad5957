// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "mcompress/metric.h"
#include "mcompress/pass_context.h"
#include "quantization/damage.h"
#include "quantization/prepare.h"

namespace mcompress::quantization {

/// What a candidate loses against the model that the step found.
struct Verdict {
  double drop = 0;    ///< of the metric, in points or per cent; 0 where it is not judged by one
  double damage = 0;  ///< of the outputs (damage.h)
  bool inside = false;
};

/// Judges candidates by the metric on the validation data where there is some, else by the damage
/// to the outputs on calibration data. A drop that so few samples cannot tell from none (paired 95
/// % interval) is inside only while the damage is small, too.
class CandidateJudge {
 public:
  /// `tolerance`: points of the metric; per cent for metrics without points; without a metric a
  /// tenth of it is the damage that is allowed.
  CandidateJudge(const Model& before, PassContext& context, double tolerance);

  Verdict judge(const Model& candidate);
  double damage(const Model& candidate, size_t samples) {
    return probe_.damage(candidate, samples);
  }
  /// "top1", or "" where the damage to the outputs decides.
  std::string metric() const;
  std::string describe(const Verdict& verdict) const;
  /// Samples that one judgement runs.
  size_t samples() const;

 private:
  Evaluator* evaluator_ = nullptr;
  EvaluationResult before_;
  DamageProbe probe_;
  double tolerance_;
};

/// Passes over the calibration data that recovery may spend (rules.md 28).
struct RecoveryOptions {
  int passes = 10;
  PrepareOptions prepare;
};

struct Recovered {
  Plan plan;
  /// Units by measured damage, the worst first, where it had to be measured: of the output with
  /// this unit alone in 8 bits.
  std::vector<std::pair<size_t, double>> ranking;
  size_t returned = 0;  ///< of the ranking, units that went back to float
  bool finer = false;   ///< the weights were rounded by error compensation
  Verdict first, last;  ///< all that pays in 8 bits; what is left
  int judged = 0;       ///< candidates
  int64_t rounded = 0;  ///< layers whose weights were rounded once more
  std::string story;    ///< both verdicts in words
};

/// The plan with as many of the units that do most damage in float as it takes to be inside the
/// tolerance; before that the weights are rounded by a finer method, if it is not in use.
/// `plan_with` plans with the units of these outputs in float.
Recovered recover(const Model& model, PassContext& context, const std::vector<Unit>& units,
                  const std::function<Plan(const std::set<std::string>&)>& plan_with,
                  Prepared& prepared, CandidateJudge& judge, const RecoveryOptions& options);

}  // namespace mcompress::quantization
