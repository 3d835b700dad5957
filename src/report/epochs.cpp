// SPDX-License-Identifier: Apache-2.0
#include "report/epochs.h"

#include <fmt/format.h>

#include <set>

#include "report/figures.h"
#include "support/units.h"

namespace mcompress::reporting {
namespace {

constexpr int kDigits = 4;  // of a loss, and of a metric that is no share
constexpr int kPercentDigits = 2;

std::string metric_of(const EpochFigure& epoch, const MetricFigure* metric) {
  if (!epoch.metric) return "";
  if (metric == nullptr) return fmt::format("{:.4g}", *epoch.metric);
  MetricFigure figure = *metric;
  figure.value = *epoch.metric;
  return metric_text(figure, figure.is_points ? kPercentDigits : kDigits);
}

}  // namespace

std::vector<EpochRow> epoch_rows(const StepReport& step, const MetricFigure* metric) {
  std::vector<EpochRow> rows;
  for (const EpochFigure& epoch : step.epochs) {
    rows.push_back({.epoch = std::to_string(rows.size() + 1) + (epoch.best ? " (kept)" : ""),
                    .loss = fmt::format("{:.4g}", epoch.loss),
                    .validation_loss =
                        epoch.validation_loss ? fmt::format("{:.4g}", *epoch.validation_loss) : "",
                    .metric = metric_of(epoch, metric),
                    .learning_rate = fmt::format("{:.3g}", epoch.learning_rate),
                    .time = epoch.seconds > 0 ? format_seconds(epoch.seconds) : "",
                    .best = epoch.best});
  }
  return rows;
}

std::vector<EpochRow> some_of(const std::vector<EpochRow>& rows, size_t most) {
  if (rows.size() <= most) return rows;
  std::set<size_t> chosen = {0, rows.size() - 1};
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].best) chosen.insert(i);
  }
  // The kept one may lie between two that the others are spread over.
  const size_t parts = most - chosen.size() + 1;
  for (size_t part = 1; part < parts; ++part) chosen.insert(part * (rows.size() - 1) / parts);
  std::vector<EpochRow> result;
  for (const size_t i : chosen) result.push_back(rows[i]);
  return result;
}

const MetricFigure* judging_metric(const RunReport& report) {
  if (report.metric_baseline) return &*report.metric_baseline;
  if (report.metric_before) return &*report.metric_before;
  for (const StepReport& step : report.steps) {
    if (step.metric) return &*step.metric;
  }
  return nullptr;
}

}  // namespace mcompress::reporting
