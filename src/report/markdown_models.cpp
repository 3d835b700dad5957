// SPDX-License-Identifier: Apache-2.0
// The reports of inspect, compare and evaluate for a pull request.
#include <fmt/format.h>

#include <algorithm>

#include "report/figures.h"
#include "report/markdown_parts.h"
#include "support/units.h"

namespace mcompress {
namespace {

using namespace reporting;

constexpr size_t kWorstLayers = 5;
constexpr size_t kMostRows = 200;

std::string warning_lines(const std::vector<std::string>& warnings) {
  std::string text;
  for (const std::string& warning : warnings) {
    text += (text.empty() ? "> ⚠️ " : ">\n> ⚠️ ") + escape(warning) + "\n";
  }
  return text;
}

std::string facts(const std::map<std::string, std::string>& data, const std::string& metric_reason,
                  const EnvironmentReport& environment) {
  std::string text;
  for (const auto& [role, description] : data)
    text += "- " + role + " data: " + escape(description) + "\n";
  if (!metric_reason.empty()) text += "- metric: " + escape(metric_reason) + "\n";
  const std::string where = environment_text(environment);
  if (!where.empty()) text += "- measured with: " + escape(where) + "\n";
  return text;
}

std::string rest_of(size_t total) {
  return total <= kMostRows ? ""
                            : fmt::format("\n{} more in the JSON report.\n", total - kMostRows);
}

std::string model_facts(const InspectReport& r) {
  MarkdownTable table({{""}, {""}});
  std::string opsets;
  for (const auto& [domain, version] : r.opsets) {
    opsets += fmt::format("{}{} {}", opsets.empty() ? "" : ", ",
                          domain.empty() ? "ai.onnx" : domain, version);
  }
  table.add_row(
      {"file", format_bytes(r.size.file_bytes) +
                   (r.external_bytes > 0 ? ", " + format_bytes(r.external_bytes) + " of it external"
                                         : "")});
  table.add_row({"weights", format_bytes(r.size.weight_bytes)});
  table.add_row({"parameters", format_count(r.size.parameters)});
  if (r.size.nonzeros > 0) table.add_row({"non-zeros", format_count(r.size.nonzeros)});
  if (r.size.macs > 0) table.add_row({"MACs", format_large_count(r.size.macs)});
  table.add_row({"opset", escape(opsets) + fmt::format(", IR {}", r.ir_version)});
  if (!r.producer.empty()) table.add_row({"made by", escape(r.producer)});
  table.add_row({"nodes", fmt::format("{}, {} layers", r.nodes, r.layers.size())});
  return table.render();
}

std::string values_table(const InspectReport& r) {
  MarkdownTable table({{""}, {"name"}, {"type"}, {"shape"}});
  const auto add = [&](const char* role, const std::vector<InspectValue>& values) {
    for (const InspectValue& value : values) {
      table.add_row({role, code(value.name), escape(value.type),
                     value.known_rank ? shape_text(value.shape) : "unknown rank"});
    }
  };
  add("input", r.inputs);
  add("output", r.outputs);
  return table.render();
}

std::string ops_table(const InspectReport& r) {
  MarkdownTable table({{"op"}, {"count", true}});
  for (const InspectOp& op : r.ops) {
    table.add_row(
        {escape(op.domain.empty() ? op.op : op.domain + "." + op.op), std::to_string(op.count)});
  }
  return table.render();
}

std::string precision_table(const InspectReport& r) {
  MarkdownTable table({{"type"}, {"tensors", true}, {"elements", true}, {"bytes", true}});
  for (const InspectType& type : r.precision) {
    table.add_row({escape(type.type), std::to_string(type.tensors), format_count(type.elements),
                   format_bytes(type.bytes)});
  }
  return table.render();
}

std::string inspected_layers(const InspectReport& r) {
  MarkdownTable table({{"layer"},
                       {"op"},
                       {"weight"},
                       {"type"},
                       {"bytes", true},
                       {"zeros", true},
                       {"distinct", true},
                       {"bits", true},
                       {"bound", true},
                       {"MACs", true}});
  const size_t shown = std::min(r.layers.size(), kMostRows);
  for (size_t i = 0; i < shown; ++i) {
    const InspectLayer& layer = r.layers[i];
    table.add_row({code(layer_label(layer.name, layer.output)), escape(layer.op),
                   shape_text(layer.weight_shape), escape(layer.type), format_bytes(layer.bytes),
                   share_text(layer.sparsity),
                   layer.distinct > 0 ? format_count(layer.distinct) : escape("> 65,536"),
                   fmt::format("{:.2f}", layer.stored_bits),
                   layer.distinct > 0 ? fmt::format("{:.2f}", layer.entropy_bits) : "",
                   layer.macs > 0 ? format_large_count(layer.macs) : ""});
  }
  return table.render() + rest_of(r.layers.size());
}

MarkdownTable::Row parity_row(const ParityRecord& record) {
  const auto [before, after] = size_pair(record.bytes_before, record.bytes_after);
  const bool sized = record.bytes_before != 0 || record.bytes_after != 0;
  return {code(layer_label(record.name, record.output)),
          escape(record.op),
          sqnr_text(record.sqnr_db),
          record.cosine ? cosine_text(*record.cosine) : "",
          record.max_abs_error ? format_significant(*record.max_abs_error, 3) : "",
          sized ? before + " → " + after : ""};
}

std::string parity_table(const std::vector<const ParityRecord*>& records, const char* first) {
  MarkdownTable table(
      {{first}, {"op"}, {"SQNR", true}, {"cosine", true}, {"max error", true}, {"bytes", true}});
  const size_t shown = std::min(records.size(), kMostRows);
  for (size_t i = 0; i < shown; ++i) table.add_row(parity_row(*records[i]));
  return table.render() + rest_of(records.size());
}

}  // namespace

std::string render_markdown(const InspectReport& report) {
  MarkdownWriter out;
  out.paragraph("**" + escape(file_name(report.input)) +
                "**: " + format_bytes(report.size.file_bytes) + ", " +
                format_large_count(report.size.parameters) + " parameters");
  if (!report.load_error.empty()) {
    out.paragraph("❌ ONNX Runtime does not load it: " + escape(report.load_error));
  }
  out.paragraph(model_facts(report));
  out.paragraph(warning_lines(report.warnings));
  out.section("Inputs and outputs", values_table(report));
  out.section("Stored constants", precision_table(report));
  out.details("Ops", ops_table(report));
  out.details(fmt::format("All {} layers", report.layers.size()),
              report.layers.empty() ? "" : inspected_layers(report));
  return out.text();
}

std::string render_markdown(const CompareReport& report) {
  const Comparison comparison = comparison_of(report);
  const std::string summary = fmt::format("{}", fmt::join(summary_parts(comparison, " → "), ", "));
  MarkdownWriter out;
  out.paragraph("**" + escape(file_name(report.input_a)) + " → " +
                escape(file_name(report.input_b)) +
                (summary.empty() ? "" : ": " + escape(summary)) + "**");
  out.paragraph(totals_table(comparison));
  out.paragraph(warning_lines(report.warnings));
  std::vector<const ParityRecord*> outputs;
  for (const ParityRecord& record : report.outputs) outputs.push_back(&record);
  if (!outputs.empty()) {
    out.section(fmt::format("Outputs over {} samples", format_count(report.samples)),
                parity_table(outputs, "output"));
  }
  const auto layers = worst_records(report.layers, report.layers.size());
  if (!layers.empty()) {
    std::vector<const ParityRecord*> worst(
        layers.begin(),
        layers.begin() + static_cast<std::ptrdiff_t>(std::min(layers.size(), kWorstLayers)));
    out.section("Worst layers", parity_table(worst, "layer"));
    out.details(fmt::format("All {} layers, worst first", layers.size()),
                parity_table(layers, "layer"));
  }
  out.details("Data and environment", facts(report.data, report.metric_reason, report.environment));
  return out.text();
}

std::string render_markdown(const EvaluateReport& report) {
  MarkdownWriter out;
  out.paragraph("**" + escape(file_name(report.input)) +
                "**: " + format_bytes(report.size.file_bytes));
  MarkdownTable table({{""}, {""}});
  for (const MetricFigure& metric : report.metrics) {
    table.add_row({escape(metric.name), metric_with_interval(metric)});
  }
  if (report.latency) table.add_row({"latency", latency_text(*report.latency)});
  if (report.session) {
    table.add_row({"load time", format_milliseconds(report.session->load_ms)});
    table.add_row({"peak memory", format_bytes(report.session->peak_bytes)});
  }
  out.paragraph(table.render());
  out.paragraph(warning_lines(report.warnings));
  out.details("Data and environment", facts(report.data, report.metric_reason, report.environment));
  return out.text();
}

}  // namespace mcompress
