// SPDX-License-Identifier: Apache-2.0
// The reports of inspect, compare and evaluate for a person at a terminal.
#include <fmt/format.h>

#include "report/figures.h"
#include "report/terminal_parts.h"
#include "support/text_table.h"
#include "support/units.h"

namespace mcompress {
namespace {

using namespace reporting;

void write_data(TerminalWriter& out, const std::map<std::string, std::string>& data,
                const std::string& metric_reason) {
  for (const auto& [role, description] : data) out.line(role + ": " + description);
  if (!metric_reason.empty()) out.line("metric: " + metric_reason, kFaint);
}

void write_values(TerminalWriter& out, const char* heading,
                  const std::vector<InspectValue>& values) {
  if (values.empty()) return;
  out.section(heading);
  TextTable table({{"name", Align::kLeft, true, 16}, {"type"}, {"shape"}});
  for (const InspectValue& value : values) {
    table.add_row({{value.name},
                   {value.type},
                   {value.known_rank ? shape_text(value.shape) : "unknown rank"}});
  }
  out.raw(table.render(out.width(), out.style().color, 2));
}

void write_model_facts(TerminalWriter& out, const InspectReport& r) {
  std::string opsets;
  for (const auto& [domain, version] : r.opsets) {
    opsets += fmt::format("{}{} {}", opsets.empty() ? "" : ", ",
                          domain.empty() ? "ai.onnx" : domain, version);
  }
  out.line(r.input + "  " + format_bytes(r.size.file_bytes), kStrong);
  std::string text = fmt::format("opset {}, IR {}", opsets, r.ir_version);
  if (!r.producer.empty()) text += ", made by " + r.producer;
  out.line(text);
  text = format_large_count(r.size.parameters) + " parameters";
  if (r.size.parameters > 0 && r.size.nonzeros > 0 && r.size.nonzeros <= r.size.parameters) {
    const double zeros = static_cast<double>(r.size.parameters - r.size.nonzeros) /
                         static_cast<double>(r.size.parameters);
    if (zeros > 0) text += " (" + share_text(zeros) + " zero)";
  }
  text += " in " + format_bytes(r.size.weight_bytes);
  if (r.external_bytes > 0)
    text += ", " + format_bytes(r.external_bytes) + " of the file in external data";
  if (r.size.gzip_bytes > 0) text += ", gzip of the file " + format_bytes(r.size.gzip_bytes);
  text += r.size.macs > 0 ? ", " + format_large_count(r.size.macs) + " MACs a sample" : "";
  out.line(text);
  text = format_count(static_cast<uint64_t>(r.nodes)) + " nodes, " +
         fmt::format("{} layers", r.layers.size());
  if (r.subgraphs > 0) text += fmt::format(", {} subgraphs", r.subgraphs);
  if (r.functions > 0) text += fmt::format(", {} local functions", r.functions);
  out.line(text);
  if (!r.load_error.empty()) out.line("ONNX Runtime does not load it: " + r.load_error, kBad);
}

void write_ops(TerminalWriter& out, const InspectReport& r) {
  if (r.ops.empty()) return;
  out.section("ops");
  std::string text;
  for (const InspectOp& op : r.ops) {
    const std::string domain = op.domain.empty() ? "" : op.domain + ".";
    text +=
        fmt::format("{}{}{}{}{}", text.empty() ? "" : ", ", domain, op.op, kHardSpace, op.count);
  }
  out.line(text, "", 2);
}

void write_precision(TerminalWriter& out, const InspectReport& r) {
  if (r.precision.empty()) return;
  out.section("stored constants");
  TextTable table({{"type"},
                   {"tensors", Align::kRight},
                   {"elements", Align::kRight},
                   {"bytes", Align::kRight}});
  for (const InspectType& type : r.precision) {
    table.add_row({{type.type},
                   {format_count(static_cast<uint64_t>(type.tensors))},
                   {format_count(type.elements)},
                   {format_bytes(type.bytes)}});
  }
  out.raw(table.render(out.width(), out.style().color, 2));
}

void write_layers(TerminalWriter& out, const InspectReport& r) {
  if (r.layers.empty()) return;
  out.section("layers");
  TextTable table({{"layer", Align::kLeft, true, 16},
                   {"op"},
                   {.title = "weight", .give_up = 4},
                   {"type", Align::kLeft, true, 18},
                   {"bytes", Align::kRight},
                   {"zeros", Align::kRight},
                   {.title = "distinct", .align = Align::kRight, .give_up = 2},
                   {"bits", Align::kRight},
                   {.title = "bound", .align = Align::kRight, .give_up = 2},
                   {.title = "MACs", .align = Align::kRight, .give_up = 3},
                   {.title = "", .give_up = 1}});
  for (const InspectLayer& layer : r.layers) {
    table.add_row({{layer_label(layer.name, layer.output)},
                   {layer.op},
                   {shape_text(layer.weight_shape)},
                   {layer.type},
                   {format_bytes(layer.bytes)},
                   {share_text(layer.sparsity)},
                   {layer.distinct > 0 ? format_count(layer.distinct) : "> 65,536"},
                   {fmt::format("{:.2f}", layer.stored_bits)},
                   {layer.distinct > 0 ? fmt::format("{:.2f}", layer.entropy_bits) : ""},
                   {layer.macs > 0 ? format_large_count(layer.macs) : ""},
                   {layer.shared ? "shared" : ""}});
  }
  out.raw(table.render(out.width(), out.style().color, 2));
}

std::string before_after(const std::optional<double>& before, const std::optional<double>& after) {
  if (!before || !after) return "";
  return format_milliseconds(*before / 1e3) + " -> " + format_milliseconds(*after / 1e3);
}

TextTable parity_table(const std::vector<const ParityRecord*>& records, const char* first) {
  TextTable table({{first, Align::kLeft, true, 16},
                   {.title = "op", .give_up = 2},
                   {"SQNR", Align::kRight},
                   {"cosine", Align::kRight},
                   {"max error", Align::kRight},
                   {.title = "bytes", .align = Align::kRight, .give_up = 3},
                   {.title = "time", .align = Align::kRight, .give_up = 1}});
  for (const ParityRecord* record : records) {
    const auto [before, after] = size_pair(record->bytes_before, record->bytes_after);
    const bool sized = record->bytes_before != 0 || record->bytes_after != 0;
    table.add_row({{layer_label(record->name, record->output)},
                   {record->op},
                   {sqnr_text(record->sqnr_db)},
                   {record->cosine ? cosine_text(*record->cosine) : ""},
                   {record->max_abs_error ? format_significant(*record->max_abs_error, 3) : ""},
                   {sized ? before + " -> " + after : ""},
                   {before_after(record->microseconds_before, record->microseconds_after)}});
  }
  return table;
}

void write_parity(TerminalWriter& out, const CompareReport& r) {
  if (!r.outputs.empty()) {
    out.section(fmt::format("outputs of B against A ({} samples)", format_count(r.samples)));
    std::vector<const ParityRecord*> all;
    for (const ParityRecord& record : r.outputs) all.push_back(&record);
    out.raw(parity_table(all, "output").render(out.width(), out.style().color, 2));
  }
  const bool every = out.style().explain;
  const auto worst = worst_records(r.layers, every ? r.layers.size() : out.style().worst_layers);
  if (worst.empty()) return;
  out.section(every ? fmt::format("{} layers, worst first", worst.size())
                    : fmt::format("worst {} of {} layers (--explain lists them)", worst.size(),
                                  worst_records(r.layers, r.layers.size()).size()));
  out.raw(parity_table(worst, "layer").render(out.width(), out.style().color, 2));
}

}  // namespace

std::string render_terminal(const InspectReport& report, const TerminalStyle& style) {
  TerminalWriter out(style);
  write_model_facts(out, report);
  write_values(out, "inputs", report.inputs);
  write_values(out, "outputs", report.outputs);
  write_ops(out, report);
  write_precision(out, report);
  write_layers(out, report);
  std::vector<std::string> metadata;
  for (const auto& [key, value] : report.metadata) metadata.push_back(key + ": " + value);
  write_list(out, "metadata", metadata);
  write_list(out, "warnings", report.warnings, kWarning);
  return out.text();
}

std::string render_terminal(const CompareReport& report, const TerminalStyle& style) {
  TerminalWriter out(style);
  out.line("A  " + report.input_a);
  out.line("B  " + report.input_b);
  write_data(out, report.data, report.metric_reason);
  write_totals(out, comparison_of(report));
  write_parity(out, report);
  write_list(out, "warnings", report.warnings, kWarning);
  if (!environment_text(report.environment).empty()) out.section("");
  write_environment(out, report.environment);
  return out.text();
}

std::string render_terminal(const EvaluateReport& report, const TerminalStyle& style) {
  TerminalWriter out(style);
  out.line(report.input + "  " + format_bytes(report.size.file_bytes), kStrong);
  write_data(out, report.data, report.metric_reason);
  out.section("");
  TextTable table({{""}, {""}});
  for (const MetricFigure& metric : report.metrics) {
    table.add_row({{metric.name}, {metric_with_interval(metric)}});
  }
  if (report.latency) table.add_row({{"latency"}, {latency_text(*report.latency)}});
  if (report.session) {
    table.add_row({{"load time"}, {format_milliseconds(report.session->load_ms)}});
    table.add_row({{"memory"},
                   {format_bytes(report.session->peak_bytes) + " at its peak, " +
                    format_bytes(report.session->steady_bytes) + " steady"}});
  }
  out.raw(table.render(out.width(), style.color));
  write_list(out, "warnings", report.warnings, kWarning);
  if (!environment_text(report.environment).empty()) out.section("");
  write_environment(out, report.environment);
  return out.text();
}

}  // namespace mcompress
