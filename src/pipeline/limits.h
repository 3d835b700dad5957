// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "mcompress/metric.h"
#include "mcompress/recipe.h"
#include "mcompress/report.h"

namespace mcompress {

/// A metric measured against the input model's on the same samples.
struct JudgedMetric {
  MetricInfo info;
  EvaluationResult base, result;
  Comparison drop;
};

/// Latency of the input model and of a state of the run, from the same interleaved pairs.
struct LatencyPair {
  LatencyFigure baseline, candidate;
};

/// What limits are judged by.
struct GateFigures {
  uint64_t size_bytes = 0, input_size_bytes = 0;
  std::optional<JudgedMetric> metric = {};
  std::optional<LatencyPair> latency = {};
  std::optional<SessionFigure> session_before = {}, session_after = {};
};

/// Judges one limit by the point estimate, `uncertain` where the interval straddles it; with
/// `strict` by the bound of the interval (rules.md 1). A limit on something that was not measured
/// fails and says so.
GateVerdict judge_limit(const LimitSpec& limit, bool strict, const GateFigures& figures);
/// Why the limit cannot be judged ("no data to judge by"), or "".
std::string why_not_measured(const LimitSpec& limit, const GateFigures& figures);

}  // namespace mcompress
