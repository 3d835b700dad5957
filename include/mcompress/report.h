// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mcompress {

/// A measured metric with its 95 % interval.
struct MetricFigure {
  std::string name;
  double value = 0, low = 0, high = 0;
  size_t samples = 0;
  bool higher_is_better = true;
  bool is_points = false;  ///< value is a share; shown in per cent, differences in points
};

struct LatencyFigure {
  double median_ms = 0, min_ms = 0, spread_ms = 0;
  double ratio = 1, ratio_low = 1, ratio_high = 1;  ///< to the input model, from interleaved pairs
  int pairs = 0;
};

/// Bytes and counts of one state of the model.
struct SizeFigure {
  uint64_t file_bytes = 0;
  uint64_t weight_bytes = 0;   ///< stored constants
  uint64_t gzip_bytes = 0;     ///< of the file; 0 when not measured
  uint64_t parameters = 0;     ///< weights as the runtime sees them after unfolding
  uint64_t nonzeros = 0;
  uint64_t macs = 0;           ///< of one sample; 0 when shapes are unknown
};

/// Load time and memory of a session, measured in a child process (rules.md 8).
struct SessionFigure {
  double load_ms = 0;
  uint64_t peak_bytes = 0, steady_bytes = 0;
};

struct GateVerdict {
  std::string limit;     ///< as written: "metric-drop <= 0.5 pt"
  double measured = 0;
  std::string measured_text;
  bool holds = true;
  bool uncertain = false;
  std::string action;    ///< "", "stopped", "rolled back", "warned"
};

struct SkipRecord {
  std::string layer, output, reason;
};

struct StepReport {
  std::string name;            ///< pass
  std::string label;           ///< "3: quantize-static", rounds of repeat "2.1: prune-magnitude"
  std::string options;         ///< effective, one line
  bool changed = false;
  bool rolled_back = false;
  double seconds = 0;
  uint64_t peak_bytes = 0;     ///< resident memory of the tool so far
  SizeFigure size;
  std::optional<MetricFigure> metric;
  std::optional<LatencyFigure> latency;
  std::vector<GateVerdict> gates;
  std::map<std::string, int64_t> counters;
  std::vector<SkipRecord> skips;
  std::vector<std::string> warnings;
};

struct LayerReport {
  std::string name, op, output;
  std::vector<int64_t> weight_shape;
  uint64_t bytes_before = 0, bytes_after = 0;
  double bits_before = 0, bits_after = 0;      ///< stored bits per weight
  double sparsity = 0;
  double rank = 0;                             ///< 0: not factorized
  uint64_t distinct = 0;                       ///< distinct values; 0 when over 65,536
  uint64_t macs = 0;
  std::optional<double> microseconds_before, microseconds_after;
  std::optional<double> sqnr_db;               ///< of its output against the input model, on the written file
  std::string method;                          ///< "int8 per-channel + codes"
  std::string reason;                          ///< why it was left alone
};

struct EnvironmentReport {
  std::string tool_version, runtime_version, cpu, instruction_sets, os, compiler;
  int threads = 1;
};

/// Everything known of a run; plain, so that printing needs no computing.
struct RunReport {
  std::string command;          ///< run, evaluate, compare, inspect
  std::string input, output;
  std::string input_hash, output_hash, recipe_hash;
  std::string recipe_name;
  std::string effective_recipe; ///< YAML
  std::map<std::string, std::string> data;  ///< role -> description
  std::string metric_reason;    ///< why this metric, when it was not asked for
  uint64_t seed = 0;
  EnvironmentReport environment;
  SizeFigure size_before, size_after;
  std::optional<MetricFigure> metric_before, metric_after;
  std::optional<double> metric_drop, metric_drop_low, metric_drop_high;  ///< paired, in the metric's unit
  std::optional<LatencyFigure> latency_before, latency_after;
  std::optional<SessionFigure> session_before, session_after;
  uint64_t peak_bytes = 0;
  double seconds = 0;
  std::vector<StepReport> steps;
  std::vector<LayerReport> layers;
  std::vector<GateVerdict> constraints;
  std::vector<std::string> warnings;
  std::vector<std::string> advice;          ///< what to try next
  bool failed = false;                      ///< a gate or constraint failed: exit code 1
  std::string validation;                   ///< what the final validation did, and found
};

/// Version of the JSON report's schema (src/report/report.schema.json).
constexpr int kReportSchemaVersion = 1;

struct TerminalStyle {
  bool color = false;
  bool explain = false;   ///< list every skipped layer with its reason
  int width = 100;
  size_t worst_layers = 5;
};

std::string render_terminal(const RunReport& report, const TerminalStyle& style = {});
std::string render_markdown(const RunReport& report);
/// Stable key order, two-space indent, ends with a newline.
std::string render_json(const RunReport& report);
/// The text of the JSON schema that `render_json` obeys.
std::string report_json_schema();
/// Writes by extension: .json, .md; throws kUsage for another one, kRuntime when it cannot write.
void write_report(const RunReport& report, const std::string& path);

}  // namespace mcompress
