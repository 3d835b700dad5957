// SPDX-License-Identifier: Apache-2.0
#include "pipeline/advice.h"

#include <algorithm>
#include <cmath>

#include "report/figures.h"

namespace mcompress {
namespace {

constexpr double kPoorSqnr = 15;  // dB: such an output carries visible damage
constexpr double kNoticeableDrop = 0.005;

const LayerReport* worst_layer(const RunReport& report) {
  const LayerReport* worst = nullptr;
  for (const auto& layer : report.layers) {
    if (!layer.sqnr_db || std::isnan(*layer.sqnr_db) || layer.method.empty()) continue;
    if (worst == nullptr || *layer.sqnr_db < *worst->sqnr_db) worst = &layer;
  }
  return worst;
}

/// A step has chosen integers of few bits without looking at data, and could have.
bool rounds_without_data(const RunReport& report) {
  return std::any_of(report.steps.begin(), report.steps.end(), [](const StepReport& step) {
    const auto has = [&](const char* text) { return step.options.find(text) != std::string::npos; };
    return step.name == "quantize-weights" && step.changed && !step.rolled_back &&
           !has("method: gptq") && !has("bits: binary") && !has("granularity: tensor");
  });
}

}  // namespace

std::vector<std::string> advice_for(const RunReport& report) {
  std::vector<std::string> advice;
  const LayerReport* const worst = worst_layer(report);
  const bool lost = report.metric_drop && *report.metric_drop > kNoticeableDrop;
  if (worst != nullptr && (lost || *worst->sqnr_db < kPoorSqnr)) {
    advice.push_back("leave the layer with the most damage alone: skip: [\"" +
                     (worst->name.empty() ? worst->output : worst->name) + "\"]");
  }
  if (lost && report.data.find("training") == report.data.end() &&
      report.data.find("calibration") == report.data.end()) {
    advice.push_back("give calibration data: --data calibration=FILE");
  }
  if (lost && rounds_without_data(report)) {
    advice.push_back("let calibration data choose the integers: quantize-weights: {method: gptq}");
  }
  if (!report.metric_after && report.data.empty()) {
    advice.push_back("give data to see what it costs: --data evaluation=FILE");
  }
  if (reporting::latency_trend(report) < 0) {
    advice.push_back("the model got slower: look at the layers' times in --report FILE.json");
  }
  const bool rolled_back = std::any_of(
      report.steps.begin(), report.steps.end(),
      [](const StepReport& step) { return step.rolled_back && (step.metric || step.latency); });
  if (rolled_back) advice.push_back("a step was rolled back: ask less of it, or loosen its gate");
  return advice;
}

}  // namespace mcompress
