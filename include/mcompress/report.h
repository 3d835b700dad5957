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

/// An epoch of a step that trains.
struct EpochFigure {
  double loss = 0;
  std::optional<double> validation_loss;
  std::optional<double> metric;  ///< on the data that decides
  double learning_rate = 0;
  double seconds = 0;
  bool best = false;             ///< its weights are the step's result
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
  bool size_is_bound = false;  ///< dry run: at most this; else about this
  std::optional<MetricFigure> metric;
  std::optional<LatencyFigure> latency;
  std::vector<GateVerdict> gates;
  std::map<std::string, int64_t> counters;
  std::vector<EpochFigure> epochs;  ///< of a step that trains
  std::vector<SkipRecord> skips;
  std::vector<std::string> notes;   ///< worth knowing, and nothing to worry about
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

/// What decisions about time were read from.
struct CostFigure {
  std::string name;            ///< path of the cost table, or "built-in cpu"
  std::string hash;            ///< of the table's file; "" for built-in costs
  uint64_t entries = 0;
  uint64_t measured = 0;       ///< units of the model that this run measured
  /// With units measured: what the table says of the model against the model itself. Units in float, and
  /// what INT8 saves where the table says that it pays.
  std::optional<double> float_predicted_ms, float_measured_ms;
  std::optional<double> saving_predicted_ms, saving_measured_ms;
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
  bool selected_on_evaluation = false;  ///< `validation: evaluation`: the figures flatter the result
  bool dry_run = false;         ///< a plan: nothing was computed or written
  uint64_t seed = 0;
  EnvironmentReport environment;
  CostFigure costs;
  SizeFigure size_before, size_after;
  std::optional<MetricFigure> metric_baseline;  ///< input model on the data that the steps are judged by
  std::optional<MetricFigure> metric_before, metric_after;  ///< on the evaluation data
  /// Paired, as Comparison in metric.h has it (0.003 of a share is 0.3 points, else relative);
  /// positive is worse, whichever way the metric counts.
  std::optional<double> metric_drop, metric_drop_low, metric_drop_high;
  std::optional<LatencyFigure> latency_before, latency_after;
  std::optional<SessionFigure> session_before, session_after;
  uint64_t peak_bytes = 0;
  double seconds = 0;
  std::vector<StepReport> steps;
  std::vector<LayerReport> layers;
  std::vector<GateVerdict> constraints;
  std::vector<std::string> warnings;
  std::vector<std::string> advice;          ///< what to try next
  bool interrupted = false;                 ///< in training: the best so far was written; exit code 130
  bool failed = false;                      ///< a gate or constraint failed: exit code 1
  std::string validation;                   ///< what the final validation did, and found
};

/// What `inspect` says of one layer.
struct InspectLayer {
  std::string name, op, output;
  std::string weight;                 ///< name of the stored constant
  std::vector<int64_t> weight_shape;
  std::string type;                   ///< as stored: "float", "int8", "codebook 16 x float"
  uint64_t bytes = 0;
  double sparsity = 0;                ///< share of zeros
  uint64_t distinct = 0;              ///< distinct values; 0 when over 65,536
  uint64_t macs = 0;                  ///< of one sample; 0 when shapes are unknown
  bool shared = false;                ///< another layer reads the weight too
  double stored_bits = 0;             ///< per weight, all that it is stored as
  /// Per weight, of its values (zero is one): no code of single weights needs less; 0 when over 65,536.
  double entropy_bits = 0;
};

struct InspectValue {
  std::string name, type;
  std::vector<int64_t> shape;         ///< -1: not static
  bool known_rank = true;
};

struct InspectOp {
  std::string op;
  std::string domain;                 ///< "" is ai.onnx
  int64_t count = 0;
};

struct InspectType {
  std::string type;
  int64_t tensors = 0;
  uint64_t elements = 0, bytes = 0;
};

/// What is in a model: `mcompress inspect`.
struct InspectReport {
  std::string input, hash;
  int64_t ir_version = 0;
  std::string producer;
  std::map<std::string, int64_t> opsets;         ///< domain ("ai.onnx" for the default) -> version
  std::map<std::string, std::string> metadata;
  SizeFigure size;
  uint64_t external_bytes = 0;                   ///< part of file_bytes that lies in other files
  int64_t nodes = 0, subgraphs = 0, functions = 0;
  std::vector<InspectValue> inputs, outputs;
  std::vector<InspectOp> ops;                    ///< most frequent first
  std::vector<InspectType> precision;            ///< stored constants by element type, most bytes first
  std::vector<InspectLayer> layers;              ///< in graph order
  std::string load_error;                        ///< the runtime's words when it does not load the model
  EnvironmentReport environment;
  std::vector<std::string> warnings;
};

/// How near a value of model B is to that of model A over the data.
struct ParityRecord {
  std::string name;                              ///< layer, or graph output
  std::string op;                                ///< "" for a graph output
  std::string output;
  std::optional<double> sqnr_db, cosine, max_abs_error;
  uint64_t bytes_before = 0, bytes_after = 0;    ///< of the weight
  std::optional<double> microseconds_before, microseconds_after;
};

/// Model B against model A: `mcompress compare A B`. "before" is A, "after" is B.
struct CompareReport {
  std::string input_a, input_b, hash_a, hash_b;
  std::map<std::string, std::string> data;       ///< role -> description
  std::string metric_reason;
  SizeFigure size_before, size_after;
  std::optional<MetricFigure> metric_before, metric_after;
  std::optional<double> metric_drop, metric_drop_low, metric_drop_high;  ///< as in RunReport
  std::optional<LatencyFigure> latency_before, latency_after;
  std::optional<SessionFigure> session_before, session_after;
  uint64_t samples = 0;                          ///< that parity was measured on
  std::vector<ParityRecord> outputs;
  std::vector<ParityRecord> layers;              ///< in graph order of A; those found in both
  EnvironmentReport environment;
  std::vector<std::string> warnings;
};

/// One model on one set of data: `mcompress evaluate`.
struct EvaluateReport {
  std::string input, hash;
  std::map<std::string, std::string> data;
  std::string metric_reason;
  SizeFigure size;
  std::vector<MetricFigure> metrics;             ///< the one asked for first
  std::optional<LatencyFigure> latency;
  std::optional<SessionFigure> session;
  EnvironmentReport environment;
  std::vector<std::string> warnings;
};

/// One layer (or block) changed in one way, everything else as it was.
struct SensitivityChange {
  std::string choice;                            ///< "int8", "int4", or a pass
  bool applied = false;
  std::string reason;                            ///< why not
  /// At the model's outputs: divergence of probabilities in nats, or noise over signal.
  std::optional<double> damage;
  std::optional<double> sqnr_db;                 ///< of the worst output
  std::optional<double> metric_drop, metric_drop_low, metric_drop_high;  ///< as in RunReport
  std::optional<int64_t> bytes_saved;            ///< of the file
  std::optional<double> microseconds_saved;      ///< by the cost table
};

struct SensitivityLayer {
  std::string name, op, output;
  std::vector<std::string> members;              ///< names of the layers of a block; of a layer, itself
  std::vector<SensitivityChange> changes;        ///< in the order of the choices
  std::string chosen;                            ///< what the plan says: a choice, or "float"
};

struct SensitivityChoice {
  std::string name, pass, options;               ///< options on one line
};

/// Which layer hurts, for which option: `mcompress sensitivity`.
struct SensitivityReport {
  std::string input, hash, recipe_name;
  std::map<std::string, std::string> data;       ///< role -> description
  std::string metric_reason;
  std::optional<MetricFigure> metric;            ///< of the model before any change
  uint64_t samples = 0;                          ///< that damage was measured on
  uint64_t file_bytes = 0;                       ///< of the model after the recipe's exact steps
  double tolerance = 0;                          ///< most damage that the plan may add up to
  double planned_damage = 0;                     ///< sum over the layers of the plan
  int64_t planned_bytes_saved = 0;
  std::vector<SensitivityChoice> choices;
  std::vector<SensitivityLayer> layers;          ///< the greatest damage first
  std::string plan;                              ///< file that the plan was written to
  CostFigure costs;
  EnvironmentReport environment;
  double seconds = 0;
  std::vector<std::string> warnings;
};

/// Version of the JSON report's schema (src/report/report.schema.json).
constexpr int kReportSchemaVersion = 1;

struct TerminalStyle {
  bool color = false;
  bool explain = false;   ///< list every skipped layer with its reason, and every layer of `compare`
  int width = 100;
  size_t worst_layers = 5;
};

/// For a person at a terminal. A difference is never rounded away: it gets the digits that show it.
std::string render_terminal(const RunReport& report, const TerminalStyle& style = {});
std::string render_terminal(const InspectReport& report, const TerminalStyle& style = {});
std::string render_terminal(const CompareReport& report, const TerminalStyle& style = {});
std::string render_terminal(const EvaluateReport& report, const TerminalStyle& style = {});
std::string render_terminal(const SensitivityReport& report, const TerminalStyle& style = {});
/// For a pull request: the verdict first, details folded.
std::string render_markdown(const RunReport& report);
std::string render_markdown(const InspectReport& report);
std::string render_markdown(const CompareReport& report);
std::string render_markdown(const EvaluateReport& report);
std::string render_markdown(const SensitivityReport& report);
/// Stable key order, two-space indent, ends with a newline. Every key is always there; a figure that
/// was not measured, or is not finite, is null.
std::string render_json(const RunReport& report);
std::string render_json(const InspectReport& report);
std::string render_json(const CompareReport& report);
std::string render_json(const EvaluateReport& report);
std::string render_json(const SensitivityReport& report);
/// The text of the JSON schema (draft 2020-12) that every `render_json` obeys.
std::string report_json_schema();
/// Writes by extension: .json, .md; throws kUsage for another one, kRuntime when it cannot write.
/// An existing report is replaced.
void write_report(const RunReport& report, const std::string& path);
void write_report(const InspectReport& report, const std::string& path);
void write_report(const CompareReport& report, const std::string& path);
void write_report(const EvaluateReport& report, const std::string& path);
void write_report(const SensitivityReport& report, const std::string& path);
/// Complaint about an extension that write_report would refuse, or ""; for failing before the work.
std::string check_report_path(const std::string& path);

}  // namespace mcompress
