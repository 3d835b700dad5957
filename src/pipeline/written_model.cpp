// SPDX-License-Identifier: Apache-2.0
#include "pipeline/written_model.h"

#include <algorithm>
#include <cmath>

#include "evaluation/gate.h"
#include "pipeline/layer_table.h"
#include "pipeline/limits.h"
#include "pipeline/measure.h"
#include "pipeline/session_child.h"

namespace mcompress {
namespace {

constexpr int kLatencyPairs = 100;
constexpr double kLatencySeconds = 5;

void measure_metric(const WrittenModel& run, RunReport& report, GateFigures& figures) {
  if (run.evaluator == nullptr) return;
  figures.metric = judged_metric(*run.evaluator, *run.written);
  report.metric_after = to_figure(run.evaluator->metric(), figures.metric->result.value);
  report.metric_drop = figures.metric->drop.drop;
  report.metric_drop_low = figures.metric->drop.low;
  report.metric_drop_high = figures.metric->drop.high;
  std::string lost = evaluation::not_finite_warning(figures.metric->base, figures.metric->result);
  if (!lost.empty()) report.warnings.push_back(std::move(lost));
}

/// Numbers that became NaN or infinite are no matter of more or less damage.
void warn_of_lost_numbers(RunReport& report) {
  const auto is_lost = [](const LayerReport& layer) {
    return layer.sqnr_db && std::isinf(*layer.sqnr_db) && *layer.sqnr_db < 0;
  };
  const auto first = std::find_if(report.layers.begin(), report.layers.end(), is_lost);
  if (first == report.layers.end()) return;
  const bool alone = std::none_of(std::next(first), report.layers.end(), is_lost);
  report.warnings.push_back(
      "NaN or infinity comes out of " + (first->name.empty() ? first->output : first->name) +
      (alone ? "" : " and other layers") + ", where it did not before: the model is not usable");
}

/// Takes the sample away where the model does not run on it.
void measure_latency(WrittenModel& run, RunReport& report, GateFigures& figures) {
  try {
    figures.latency = latency_pair(*run.runtime, *run.baseline, *run.written, *run.sample,
                                   kLatencyPairs, kLatencySeconds);
    report.latency_before = figures.latency->baseline;
    report.latency_after = figures.latency->candidate;
  } catch (const Error& error) {
    if (run.is_sample_real || error.code() == ErrorCode::kInterrupted) throw;
    run.sample.reset();
    report.warnings.push_back(
        "no latency: the model does not run on zeros; give --data evaluation=FILE");
  }
}

void measure_running(WrittenModel& run, const RunOptions& options, RunReport& report,
                     GateFigures& figures) {
  measure_metric(run, report, figures);
  if (!run.opens_sessions) {
    report.warnings.push_back(
        "latency, memory and layers were not measured, as the model is large: --validate full "
        "does");
    return;
  }
  if (options.measure_latency && run.sample) measure_latency(run, report, figures);
  report.session_before = session_figure_of_child(options.self_program, run.input_path);
  report.session_after = session_figure_of_child(options.self_program, run.output_path);
}

std::vector<LayerReport> layers_of(const WrittenModel& run, const RunOptions& options,
                                   const RunReport& report) {
  const bool times = options.measure_layers && run.opens_sessions;
  return layer_table({.before = run.baseline,
                      .after = run.written,
                      .types = run.baseline_types,
                      .decisions = run.decisions,
                      .steps = &report.steps,
                      .runtime = times ? run.runtime.get() : nullptr,
                      .data = run.data,
                      .sample = run.sample,
                      .read_weights = run.opens_sessions});
}

void judge_constraints(const WrittenModel& run, RunReport& report, GateFigures& figures) {
  figures.size_bytes = report.size_after.file_bytes;
  figures.input_size_bytes = report.size_before.file_bytes;
  figures.session_before = report.session_before;
  figures.session_after = report.session_after;
  for (const auto& limit : run.constraints) {
    report.constraints.push_back(judge_limit(limit, false, figures));
    report.failed |= !report.constraints.back().holds;
  }
}

}  // namespace

void measure_written(WrittenModel run, const RunOptions& options, RunReport& report) {
  report.size_after = size_figure(*run.written, run.types, run.nonzeros);
  add_gzip_bytes(report.size_after, run.output_path);
  GateFigures figures;
  if (run.runtime) measure_running(run, options, report, figures);
  report.layers = layers_of(run, options, report);
  warn_of_lost_numbers(report);
  judge_constraints(run, report, figures);
}

}  // namespace mcompress
