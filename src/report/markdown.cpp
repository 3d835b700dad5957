// SPDX-License-Identifier: Apache-2.0
// The report of a run for a pull request: verdict, figures, and the details folded.
#include <fmt/format.h>

#include <algorithm>

#include "report/epochs.h"
#include "report/figures.h"
#include "report/markdown_parts.h"
#include "support/units.h"

namespace mcompress {
namespace {

using namespace reporting;

constexpr size_t kWorstLayers = 5;
constexpr size_t kMostRows = 200;  // a comment on GitHub ends at 65,536 characters

std::string limit_text(const PlacedLimit& limit) {
  std::string text = code(limit.gate.limit) + " measured " + escape(measured_text(limit.gate));
  if (limit.gate.uncertain) text += " (uncertain)";
  return limit.where.empty() ? text : text + " in " + escape(limit.where);
}

// A gate that rolls its step back, or only warns, does not fail the run.
bool fails_run(const GateVerdict& gate) {
  return !gate.holds && gate.action != "rolled back" && gate.action != "warned" &&
         !is_left_out(gate);
}

std::string verdict(const RunReport& r) {
  const std::vector<PlacedLimit> limits = all_limits(r);
  std::vector<std::string> failing, holding;
  bool uncertain = false;
  for (const PlacedLimit& limit : limits) {
    if (fails_run(limit.gate)) failing.push_back(limit_text(limit));
    if (limit.gate.holds) holding.push_back(limit_text(limit));
    uncertain |= limit.gate.holds && limit.gate.uncertain;
  }
  if (r.failed) {
    return failing.empty() ? "❌ a limit was not met"
                           : fmt::format("❌ not met: {}", fmt::join(failing, "; "));
  }
  if (r.interrupted) return "⚠️ interrupted: later steps were left out";
  if (r.dry_run) return "✅ plan only, nothing was computed";
  if (holding.empty()) return limits.empty() ? "✅ done, no limit was set" : "✅ done";
  return fmt::format("{} met: {}", uncertain ? "⚠️" : "✅", fmt::join(holding, "; "));
}

std::string limits_table(const RunReport& r) {
  MarkdownTable table({{"limit"}, {"of"}, {"measured", true}, {"verdict"}});
  for (const PlacedLimit& limit : all_limits(r)) {
    table.add_row({code(limit.gate.limit),
                   limit.where.empty() ? "the whole run" : escape(limit.where),
                   escape(measured_text(limit.gate)), escape(verdict_text(limit.gate))});
  }
  return table.render();
}

std::string steps_table(const RunReport& r) {
  const auto& base = r.metric_baseline ? r.metric_baseline : r.metric_before;
  std::vector<const MetricFigure*> figures;
  for (const StepReport& step : r.steps) {
    if (step.metric) figures.push_back(&*step.metric);
  }
  const int digits = base ? metric_digits(*base, figures) : 1;
  const std::string metric = base ? base->name : figures.empty() ? "metric" : figures.front()->name;
  MarkdownTable table(
      {{"step"}, {metric, true}, {"size", true}, {"latency", true}, {"time", true}, {"gate"}});
  table.add_row({"input", base ? metric_text(*base, digits) : "",
                 format_bytes(r.size_before.file_bytes),
                 r.latency_before ? format_milliseconds(r.latency_before->median_ms) : "", "", ""});
  for (const StepReport& step : r.steps) {
    std::string size;
    if (step.size.file_bytes > 0) {
      size = size_mark(step, r.dry_run) +
             size_pair(r.size_before.file_bytes, step.size.file_bytes).second;
    }
    table.add_row({escape(step_label(step)), step.metric ? metric_text(*step.metric, digits) : "",
                   escape(size), step.latency ? format_ratio(step.latency->ratio) : "",
                   step.seconds > 0 ? format_seconds(step.seconds) : "",
                   r.dry_run ? "" : escape(step_status(step).text)});
  }
  return table.render();
}

MarkdownTable::Row layer_row(const LayerReport& layer) {
  const auto [before, after] = size_pair(layer.bytes_before, layer.bytes_after);
  return {code(layer_label(layer.name, layer.output)),
          escape(layer.op),
          shape_text(layer.weight_shape),
          sqnr_text(layer.sqnr_db),
          before + " → " + after,
          bits_text(layer, " → "),
          share_text(layer.sparsity),
          escape(layer.method.empty() ? layer.reason : layer.method)};
}

MarkdownTable layer_table(const char* last) {
  return MarkdownTable({{"layer"},
                        {"op"},
                        {"weight"},
                        {"SQNR", true},
                        {"bytes", true},
                        {"bits", true},
                        {"zeros", true},
                        {last}});
}

std::string worst_table(const RunReport& r) {
  MarkdownTable table = layer_table("method");
  for (const LayerReport* layer : worst_layers(r.layers, kWorstLayers))
    table.add_row(layer_row(*layer));
  return table.render();
}

std::string every_layer_table(const RunReport& r) {
  MarkdownTable table = layer_table("method, or why left alone");
  const size_t shown = std::min(r.layers.size(), kMostRows);
  for (size_t i = 0; i < shown; ++i) table.add_row(layer_row(r.layers[i]));
  std::string text = table.render();
  if (shown < r.layers.size()) {
    text += fmt::format("\n{} more in the JSON report.\n", r.layers.size() - shown);
  }
  return text;
}

std::string skips_list(const RunReport& r) {
  std::string text;
  for (const StepReport& step : r.steps) {
    if (step.skips.empty()) continue;
    text += "- " + escape(step_label(step)) + "\n";
    for (const SkipGroup& group : group_skips(step.skips)) {
      text += fmt::format("  - {} × {}\n", group.count, escape(group.reason));
    }
  }
  return text;
}

std::string epochs_list(const RunReport& r) {
  std::string text;
  const MetricFigure* const metric = judging_metric(r);
  for (const StepReport& step : r.steps) {
    if (step.epochs.empty()) continue;
    MarkdownTable table({{"epoch", true},
                         {"loss", true},
                         {"validation loss", true},
                         {metric != nullptr ? metric->name : "metric", true},
                         {"learning rate", true},
                         {"time", true}});
    for (const EpochRow& row : epoch_rows(step, metric)) {
      table.add_row(
          {row.epoch, row.loss, row.validation_loss, row.metric, row.learning_rate, row.time});
    }
    text += escape(step_label(step)) + "\n\n" + table.render() + "\n";
  }
  return text;
}

std::string options_list(const RunReport& r) {
  std::string text;
  for (const StepReport& step : r.steps) {
    std::string line;
    if (!step.options.empty()) line = code(step.options);
    for (const auto& [name, value] : step.counters) {
      line += fmt::format("{}{} {}", line.empty() ? "" : ", ", escape(name), value);
    }
    if (!line.empty()) text += "- " + escape(step_label(step)) + ": " + line + "\n";
  }
  return text;
}

std::string run_facts(const RunReport& r) {
  std::string text;
  const auto fact = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += std::string("- ") + name + ": " + value + "\n";
  };
  fact("input", code(r.input) + (r.input_hash.empty() ? "" : " " + code(r.input_hash)));
  if (!r.output.empty())
    fact("output", code(r.output) + (r.output_hash.empty() ? "" : " " + code(r.output_hash)));
  for (const auto& [role, description] : r.data)
    fact((role + " data").c_str(), escape(description));
  fact("metric", escape(r.metric_reason));
  fact("validation", escape(r.validation));
  fact("seed", std::to_string(r.seed));
  if (r.seconds > 0) fact("time", format_seconds(r.seconds));
  if (r.peak_bytes > 0) fact("peak memory", format_bytes(r.peak_bytes));
  fact("measured with", escape(environment_text(r.environment)));
  if (const std::string costs = costs_text(r.costs); !costs.empty()) {
    text += "- " + escape(costs) + "\n";
  }
  return text;
}

std::string notes(const RunReport& r) {
  std::string text;
  const auto note = [&](const std::string& line, const char* sign = "⚠️") {
    text += std::string("> ") + sign + " " + escape(line) + "\n";
  };
  if (r.dry_run) note("plan only: nothing was computed or written");
  if (r.selected_on_evaluation)
    note("selected on the evaluation data: the metric flatters the result");
  if (!r.dry_run && !r.metric_after) note("accuracy was not measured: no data to measure it on");
  for (const std::string& warning : r.warnings) note(warning);
  for (const StepReport& step : r.steps) {
    for (const std::string& warning : step.warnings) note(step_label(step) + ": " + warning);
    for (const std::string& line : step.notes) note(step_label(step) + ": " + line, "ℹ️");
  }
  // Without an empty quoted line GitHub runs the warnings together.
  for (size_t at = text.find("\n> "); at != std::string::npos; at = text.find("\n> ", at + 4)) {
    text.insert(at, "\n>");
  }
  return text;
}

}  // namespace

std::string render_markdown(const RunReport& report) {
  const Comparison comparison = comparison_of(report);
  MarkdownWriter out;
  out.paragraph(verdict(report));
  const std::string summary = fmt::format("{}", fmt::join(summary_parts(comparison, " → "), ", "));
  out.paragraph("**" + escape(file_name(report.input)) +
                (summary.empty() ? "" : ": " + escape(summary)) + "**");
  out.paragraph(totals_table(comparison));
  out.paragraph(notes(report));
  out.section("Limits", limits_table(report));
  if (!report.steps.empty()) out.section("Steps", steps_table(report));
  if (!worst_layers(report.layers, 1).empty()) {
    out.section("Worst layers", worst_table(report));
  }
  if (!report.advice.empty()) {
    std::string list;
    for (const std::string& advice : report.advice) list += "- " + escape(advice) + "\n";
    out.section("What to try next", list);
  }
  if (!report.layers.empty()) {
    out.details(fmt::format("All {} layers", report.layers.size()), every_layer_table(report));
  }
  out.details("Training", epochs_list(report));
  out.details("Left alone", skips_list(report));
  out.details("Options and counts", options_list(report));
  out.details("Effective recipe", fenced(report.effective_recipe, "yaml"));
  out.details("Files, data and environment", run_facts(report));
  return out.text();
}

}  // namespace mcompress
