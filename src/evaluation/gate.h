// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "mcompress/metric.h"
#include "mcompress/report.h"
#include "support/limit.h"

namespace mcompress::evaluation {

/// A measured quantity with its interval (equal to the value where there is no doubt), and the same
/// quantity of the input model.
struct Measured {
  double value = 0;
  std::optional<double> low, high;
  std::optional<double> base;
};

/// Judges one limit. A drop is a share for points metrics and relative for others (Comparison);
/// `metric` is the value itself; size and memory are bytes, latency milliseconds, and a limit in
/// per cent is of `base`. The estimate decides; `strict` lets the unfavourable end of the interval
/// decide. `uncertain`: the interval holds the limit. A quantity or base that is not finite fails.
/// `text` is the limit as written. Throws kBug for a limit in per cent without a base.
GateVerdict judge(std::string_view quantity, std::string_view text, const Limit& limit,
                  const Measured& measured, bool strict);

/// Drops of a metric whose value is a share are judged in points, of others relative to the base; a
/// limit in points is an error for the latter (kRecipe). For points metrics "%" is read as relative
/// to the base's value. "dB" is for metrics that are in it: what the value lost (kRecipe for others).
Measured measured_drop(const MetricInfo& info, const Limit& limit, const Comparison& comparison,
                       const EvaluationResult& base);
Measured measured_metric(const MetricInfo& info, const Limit& limit,
                         const EvaluationResult& result);

/// Of samples with NaN or infinity in the output, which count as 0; "" without any.
std::string not_finite_warning(const EvaluationResult& base, const EvaluationResult& result);

/// Latency from interleaved runs: judged by the ratio when the limit is in per cent.
Measured measured_latency(const Latency& latency, const Limit& limit);

}  // namespace mcompress::evaluation
