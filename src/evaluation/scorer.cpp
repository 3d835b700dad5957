// SPDX-License-Identifier: Apache-2.0
#include "evaluation/scorer.h"

#include <algorithm>
#include <cmath>

#include "evaluation/interval.h"
#include "mcompress/error.h"
#include "support/decibels.h"

namespace mcompress {

bool Comparison::not_below() const {
  constexpr double kAlwaysAllowed = 0.002;
  const double half = (high - low) / 2;
  return drop <= std::max(kAlwaysAllowed, half);
}

namespace evaluation {
namespace {

bool is_zero_or_one(std::span<const double> values) {
  return std::ranges::all_of(values, [](double v) { return v == 0 || v == 1; });
}

/// Per-sample contributions in the unit of the drop, larger is worse. sqnr compares as relative
/// error: a drop from 200 to 40 dB is one of 1 %.
std::vector<double> harm(const MetricInfo& info, const EvaluationResult& result, double scale) {
  std::vector<double> harms;
  harms.reserve(result.influence.size());
  if (info.unit == "dB") {
    const double value = result.value.value, error = relative_error(value);
    const double slope = -error * std::log(10.0) / 20;
    for (const double influence : result.influence) {
      harms.push_back(error + slope * (influence - value));
    }
    return harms;
  }
  const double slope = (info.higher_is_better ? -1 : 1) / scale;
  for (const double influence : result.influence) harms.push_back(slope * influence);
  return harms;
}

}  // namespace

numerics::Estimate around(double value, std::span<const double> values) {
  const double half = numerics::mean(values).half_width();
  return {value, value - half, value + half};
}

EvaluationResult Scorer::summarize(std::span<const double> statistics) const {
  const size_t width = columns();
  const size_t count = width == 0 ? 0 : statistics.size() / width;
  std::vector<double> sums(width, 0.0), gradient(width), ignored(width);
  for (size_t i = 0; i < count; ++i) {
    for (size_t k = 0; k < width; ++k) sums[k] += statistics[i * width + k];
  }
  EvaluationResult result;
  result.value.samples = count;
  result.value.value = value(sums, gradient);
  result.scale = scale(sums);
  for (size_t i = 0; i < count; ++i) {
    const std::span<const double> row = statistics.subspan(i * width, width);
    double step = 0;
    // The value does not change when all sums grow alike, so gradient . sums is 0 and needs no
    // centring.
    for (size_t k = 0; k < width; ++k) step += gradient[k] * row[k];
    result.influence.push_back(is_mean() ? row[0]
                                         : result.value.value + static_cast<double>(count) * step);
    result.per_sample.push_back(static_cast<float>(value(row, ignored)));
  }
  numerics::Estimate interval;
  if (info_.is_points && is_zero_or_one(result.influence)) {
    interval = numerics::proportion(std::ranges::count(result.influence, 1.0),
                                    static_cast<int64_t>(count));
  } else {
    interval = around(result.value.value, result.influence);
    if (info_.is_points) {
      interval.low = std::max(0.0, interval.low);
      interval.high = info_.higher_is_better ? std::min(1.0, interval.high) : interval.high;
    }
    if (info_.name == "mse" || info_.name == "mae") interval.low = std::max(0.0, interval.low);
    if (info_.name == "perplexity") interval.low = std::max(1.0, interval.low);
    if (info_.name == "cosine") interval.high = std::min(1.0, interval.high);
  }
  result.value.low = interval.low;
  result.value.high = interval.high;
  return result;
}

Comparison compare_results(const MetricInfo& info, const EvaluationResult& base,
                           const EvaluationResult& candidate) {
  if (base.influence.size() != candidate.influence.size()) {
    throw Error(ErrorCode::kBug, "results of different data are compared");
  }
  double scale = 1;
  if (!info.is_points && info.unit.empty()) {
    scale = std::abs(base.value.value) > 0 ? std::abs(base.value.value)
                                           : std::max(base.scale, candidate.scale);
  }
  const std::vector<double> before = harm(info, base, scale), after = harm(info, candidate, scale);
  std::vector<double> difference(before.size());
  std::ranges::transform(after, before, difference.begin(), std::minus<>());
  Comparison comparison;
  const auto value = [&](const EvaluationResult& result) {
    const double v = result.value.value;
    return info.unit == "dB" ? relative_error(v) : (info.higher_is_better ? -v : v) / scale;
  };
  comparison.drop = value(candidate) - value(base);
  numerics::Estimate interval;
  if (info.is_points && is_zero_or_one(base.influence) && is_zero_or_one(candidate.influence)) {
    const auto worse = static_cast<double>(std::ranges::count(difference, 1.0));
    const auto better = static_cast<double>(std::ranges::count(difference, -1.0));
    interval = paired_proportions(worse, better, static_cast<double>(difference.size()));
  } else {
    interval = around(comparison.drop, difference);
  }
  comparison.low = interval.low;
  comparison.high = interval.high;
  return comparison;
}

}  // namespace evaluation
}  // namespace mcompress
