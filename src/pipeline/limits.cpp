// SPDX-License-Identifier: Apache-2.0
#include "pipeline/limits.h"

#include <limits>

#include "evaluation/gate.h"

namespace mcompress {
namespace {

using evaluation::Measured;

GateVerdict not_measured(const LimitSpec& limit, const std::string& why) {
  GateVerdict verdict;
  verdict.limit = limit.quantity + " " + limit.text;
  verdict.measured = std::numeric_limits<double>::quiet_NaN();
  verdict.measured_text = why;
  verdict.holds = false;
  return verdict;
}

Latency to_latency(const LatencyFigure& figure) {
  Latency latency;
  latency.median_ms = figure.median_ms;
  latency.min_ms = figure.min_ms;
  latency.spread_ms = figure.spread_ms;
  latency.ratio = figure.ratio;
  latency.ratio_low = figure.ratio_low;
  latency.ratio_high = figure.ratio_high;
  latency.pairs = figure.pairs;
  return latency;
}

Measured bytes(uint64_t value, uint64_t base) {
  return {.value = static_cast<double>(value),
          .low = {},
          .high = {},
          .base = static_cast<double>(base)};
}

}  // namespace

std::string why_not_measured(const LimitSpec& limit, const GateFigures& figures) {
  if (limit.quantity == "size") return "";
  if (limit.quantity == "memory") {
    const bool known = figures.session_after && figures.session_before;
    return known ? "" : "a session could not be opened in a child process";
  }
  if (limit.quantity == "latency") {
    return figures.latency ? "" : "there is no data that the model runs on";
  }
  return figures.metric ? "" : "no data to judge by";
}

GateVerdict judge_limit(const LimitSpec& limit, bool strict, const GateFigures& figures) {
  std::string problem;
  const auto parsed = parse_limit(limit.quantity, limit.text, &problem);
  if (!parsed) throw Error(ErrorCode::kRecipe, limit.where.str() + ": " + problem);
  if (std::string why = why_not_measured(limit, figures); !why.empty()) {
    return not_measured(limit, why);
  }
  const auto judged = [&](const Measured& measured) {
    return evaluation::judge(limit.quantity, limit.text, *parsed, measured, strict);
  };
  if (limit.quantity == "size") return judged(bytes(figures.size_bytes, figures.input_size_bytes));
  if (limit.quantity == "memory") {
    return judged(bytes(figures.session_after->peak_bytes, figures.session_before->peak_bytes));
  }
  if (limit.quantity == "latency") {
    return judged(evaluation::measured_latency(to_latency(figures.latency->candidate), *parsed));
  }
  const auto& metric = *figures.metric;
  if (limit.quantity == "metric") {
    return judged(evaluation::measured_metric(metric.info, *parsed, metric.result));
  }
  return judged(evaluation::measured_drop(metric.info, *parsed, metric.drop, metric.base));
}

}  // namespace mcompress
