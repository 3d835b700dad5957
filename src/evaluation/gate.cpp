// SPDX-License-Identifier: Apache-2.0
#include "evaluation/gate.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mcompress/error.h"
#include "support/decibels.h"
#include "support/units.h"

namespace mcompress::evaluation {
namespace {

std::string format_value(std::string_view quantity, const Limit& limit, double value) {
  switch (limit.unit) {
    case Limit::Unit::kPoints:
      return format_fixed(value * 100, digits_that_differ(value * 100, limit.value * 100, 2)) +
             " pt";
    case Limit::Unit::kPercent:
      return format_percent(value, digits_that_differ(value * 100, limit.value * 100, 1));
    case Limit::Unit::kDecibels:
      return format_fixed(value, digits_that_differ(value, limit.value, 1)) + " dB";
    case Limit::Unit::kBytes:
      return format_bytes(static_cast<uint64_t>(std::max(0.0, value)));
    case Limit::Unit::kMilliseconds:
      return format_milliseconds(value);
    case Limit::Unit::kNone:
      break;
  }
  return quantity == "metric" ? format_significant(value, 4) : format_significant(value);
}

void require_decibels(std::string_view quantity, const MetricInfo& info, const Limit& limit) {
  if (limit.unit != Limit::Unit::kDecibels || info.unit == "dB") return;
  throw Error(ErrorCode::kRecipe, fmt::format("{}: {} is not in dB", quantity, info.name))
      .hint(info.is_points ? "write the limit in points or per cent: <= 0.5 pt"
                           : "write the limit in per cent: <= 1 %");
}

}  // namespace

GateVerdict judge(std::string_view quantity, std::string_view text, const Limit& limit,
                  const Measured& measured, bool strict) {
  double value = measured.value;
  double low = measured.low.value_or(value), high = measured.high.value_or(value);
  const bool of_base = limit.unit == Limit::Unit::kPercent &&
                       (quantity == "size" || quantity == "latency" || quantity == "memory");
  if (of_base) {
    if (!measured.base) {
      throw Error(ErrorCode::kBug, fmt::format("{} {}: nothing to compare with", quantity, text));
    }
    value /= *measured.base;
    low /= *measured.base;
    high /= *measured.base;
  }
  GateVerdict verdict;
  verdict.limit = fmt::format("{} {}", quantity, text);
  verdict.measured = value;
  verdict.measured_text = format_value(quantity, limit, value);
  const double decisive = !strict ? value : limit.at_most ? high : low;
  // Comparisons with NaN are false: what could not be measured does not hold.
  // 98.6 % less 98.3 % is a hair above 0.3 points in binary; the limit as written is meant to hold.
  const double slack = 1e-9 * std::abs(limit.value);
  verdict.holds = std::isfinite(value) && (limit.at_most ? decisive <= limit.value + slack
                                                         : decisive >= limit.value - slack);
  verdict.uncertain = low < high && low <= limit.value && limit.value <= high;
  return verdict;
}

Measured measured_drop(const MetricInfo& info, const Limit& limit, const Comparison& comparison,
                       const EvaluationResult& base) {
  if (!info.is_points && limit.unit == Limit::Unit::kPoints) {
    throw Error(ErrorCode::kRecipe,
                fmt::format("metric-drop: {} has no points, its drop is relative", info.name))
        .hint("write the limit in per cent: metric-drop: \"<= 1 %\"");
  }
  require_decibels("metric-drop", info, limit);
  if (limit.unit == Limit::Unit::kDecibels) {
    const double before = base.value.value, error = relative_error(before);
    const auto lost = [&](double drop) { return before - decibels(error + drop); };
    return {lost(comparison.drop), lost(comparison.low), lost(comparison.high), std::nullopt};
  }
  double scale = 1;
  if (info.is_points && limit.unit == Limit::Unit::kPercent && base.value.value > 0)
    scale = base.value.value;
  return {comparison.drop / scale, comparison.low / scale, comparison.high / scale, std::nullopt};
}

Measured measured_metric(const MetricInfo& info, const Limit& limit,
                         const EvaluationResult& result) {
  require_decibels("metric", info, limit);
  return {result.value.value, result.value.low, result.value.high, std::nullopt};
}

std::string not_finite_warning(const EvaluationResult& base, const EvaluationResult& result) {
  if (result.not_finite == 0) return "";
  return fmt::format("{} of {} samples have NaN or infinity in the output, {} before",
                     result.not_finite, result.value.samples, base.not_finite);
}

Measured measured_latency(const Latency& latency, const Limit& limit) {
  if (limit.unit == Limit::Unit::kPercent)
    return {latency.ratio, latency.ratio_low, latency.ratio_high, 1.0};
  return {latency.median_ms, std::nullopt, std::nullopt, std::nullopt};
}

}  // namespace mcompress::evaluation
