// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/report.h"

/// What the terminal and the Markdown report say in the same words.
namespace mcompress::reporting {

/// Two states of a model side by side: the part that a run and `compare` share.
struct Comparison {
  SizeFigure size_before, size_after;
  std::optional<MetricFigure> metric_before, metric_after;
  std::optional<double> drop, drop_low, drop_high;
  std::optional<LatencyFigure> latency_before, latency_after;
  std::optional<SessionFigure> session_before, session_after;
  std::string size_mark = "";  ///< before a size that was not measured: "<= ", "about "
};
Comparison comparison_of(const RunReport& report);
/// 1: faster than the input by more than two sessions of one model differ, -1: slower; else 0.
int latency_trend(const RunReport& report);
Comparison comparison_of(const CompareReport& report);

/// One line of the table of totals.
struct TotalRow {
  std::string what, before, after, change;
  std::string note;  ///< the interval of the change and what it means; "" where none was measured
  int trend = 0;     ///< -1 worse beyond the interval, +1 better, 0 neither or not judged
};
/// Only of figures that are there.
std::vector<TotalRow> total_rows(const Comparison& comparison);
/// "10.82 MB -> 3.10 MB (x 0.29)", "top1 86.5 % -> 86.2 % (-0.3 pt)", "41.3 ms -> 25.2 ms (x
/// 0.61)".
std::vector<std::string> summary_parts(const Comparison& comparison, const std::string& arrow);

/// "86.5 %", "34.2 dB", "0.00123"; `digits` after the point of a percentage, leading ones of
/// others.
std::string metric_text(const MetricFigure& figure, int digits);
/// Digits with which every figure that differs from `base` reads differently.
int metric_digits(const MetricFigure& base, const std::vector<const MetricFigure*>& others);
/// "86.5 % (95 % interval 84.3 % to 88.5 %, 1,000 samples)".
std::string metric_with_interval(const MetricFigure& figure);
/// "41.3 ms (min 40.9 ms, spread 0.4 ms)".
std::string latency_text(const LatencyFigure& figure);
/// Both sizes in bytes where the short form would hide the difference.
std::pair<std::string, std::string> size_pair(uint64_t before, uint64_t after);
/// Its step was left out, as there was nothing to judge it by.
bool is_left_out(const GateVerdict& gate);
/// What was measured against a limit: "0.3 pt".
std::string measured_text(const GateVerdict& gate);
/// "holds", "fails, rolled back", "holds, uncertain".
std::string verdict_text(const GateVerdict& gate);

/// What became of a step, in a word or two, and whether that is good (1), bad (-1) or neither (0).
struct StepStatus {
  std::string text;
  int trend = 0;
};
StepStatus step_status(const StepReport& step);
/// What stands before the size of a step: a plan knows a bound, or about how large it will be.
std::string size_mark(const StepReport& step, bool dry_run);
/// "3: quantize-static".
std::string step_label(const StepReport& step);
/// Constraints of the run and gates of the steps, those that fail first. `where` is "" for a
/// constraint, else the step.
struct PlacedLimit {
  std::string where;
  GateVerdict gate;
};
std::vector<PlacedLimit> all_limits(const RunReport& report);

/// Changed layers whose output was measured, lowest signal-to-noise first.
std::vector<const LayerReport*> worst_layers(const std::vector<LayerReport>& layers, size_t count);
/// The same over parity records.
std::vector<const ParityRecord*> worst_records(const std::vector<ParityRecord>& records,
                                               size_t count);
/// "31.2 dB"; "exact" when nothing differs; "" when not measured.
std::string sqnr_text(const std::optional<double>& sqnr_db);
/// Never "1.0000" for what is not 1.
std::string cosine_text(double cosine);
/// "32 -> 4.1", one figure when both are alike.
std::string bits_text(const LayerReport& layer, const std::string& arrow);

/// Skips with the same reason but for its numbers, the most frequent first.
struct SkipGroup {
  std::string reason;  ///< with "…" for numbers that vary
  size_t count = 0;
};
std::vector<SkipGroup> group_skips(const std::vector<SkipRecord>& skips);

/// "costs: table.json (xxh3-128:..., 45 lines, 12 units measured now); in float 3.21 ms predicted
/// of 4.02 ms in the model, INT8 saves 1.91 ms predicted, 1.75 ms measured"; "" when nothing is
/// known.
std::string costs_text(const CostFigure& costs);

/// "64x3x7x7"; unknown dimensions as "?"; "scalar" for rank 0.
std::string shape_text(const std::vector<int64_t>& shape);
/// The name of a layer, or of its output where it has none.
std::string layer_label(const std::string& name, const std::string& output);
/// "mcompress 0.1.0, ONNX Runtime 1.30.0, Xeon ... (avx2 vnni), 1 thread"; "" when nothing is
/// known.
std::string environment_text(const EnvironmentReport& environment);
std::string share_text(double share);  ///< "90.0 %", "" for 0

}  // namespace mcompress::reporting
