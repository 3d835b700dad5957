// SPDX-License-Identifier: Apache-2.0
// The report of sensitivity: layers by damage, a line for each way in which they were changed.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/figures.h"
#include "report/markdown_parts.h"
#include "report/terminal_parts.h"
#include "support/text_table.h"
#include "support/units.h"

namespace mcompress {
namespace {

using namespace reporting;

constexpr size_t kMostRows = 200;

std::string signed_bytes(int64_t bytes) {
  return (bytes < 0 ? "-" : "") + format_bytes(static_cast<uint64_t>(std::abs(bytes)));
}

std::string drop_text(const SensitivityReport& r, const SensitivityChange& change) {
  if (!change.metric_drop || !r.metric) return "";
  // As the metric moves: a drop of 0.4 points is -0.4 pt. Other drops are relative.
  const double moved = -*change.metric_drop;
  return format_signed(moved * 100, 2) + (r.metric->is_points ? " pt" : " %");
}

/// What one change does, in the columns of either table.
std::vector<std::string> cells(const SensitivityReport& r, const SensitivityLayer& layer,
                               const SensitivityChange& change) {
  if (!change.applied) return {change.choice, "", "", "", "", "", change.reason};
  return {change.choice,
          change.damage ? format_significant(*change.damage, 3) : "",
          sqnr_text(change.sqnr_db),
          drop_text(r, change),
          change.bytes_saved ? signed_bytes(*change.bytes_saved) : "",
          change.microseconds_saved ? format_milliseconds(*change.microseconds_saved / 1e3) : "",
          change.choice == layer.chosen ? "planned" : ""};
}

std::string plan_text(const SensitivityReport& r) {
  const auto planned = std::count_if(r.layers.begin(), r.layers.end(),
                                     [](const auto& layer) { return layer.chosen != "float"; });
  return fmt::format("plan: {} of {} changed, {} of {} saved, damage {} of at most {}{}", planned,
                     r.layers.size(), signed_bytes(r.planned_bytes_saved),
                     format_bytes(r.file_bytes), format_significant(r.planned_damage, 2),
                     format_significant(r.tolerance, 2),
                     r.plan.empty() ? "; -o PLAN writes it" : "; written to " + r.plan);
}

}  // namespace

std::string render_terminal(const SensitivityReport& r, const TerminalStyle& style) {
  TerminalWriter out(style);
  out.line(r.input + "  " + format_bytes(r.file_bytes), kStrong);
  for (const auto& [role, description] : r.data) out.line(role + ": " + description);
  if (r.metric) out.line(r.metric->name + ": " + metric_with_interval(*r.metric));
  out.section(
      fmt::format("layers, the greatest damage first ({} samples)", format_count(r.samples)));
  TextTable table({{"layer", Align::kLeft, true, 14},
                   {"change"},
                   {"damage", Align::kRight},
                   {"SQNR", Align::kRight},
                   {.title = r.metric ? r.metric->name : "", .align = Align::kRight, .give_up = 3},
                   {.title = "bytes saved", .align = Align::kRight, .give_up = 1},
                   {.title = "time saved", .align = Align::kRight, .give_up = 2},
                   {"", Align::kLeft, true, 10}});
  for (const SensitivityLayer& layer : r.layers) {
    std::string label = layer_label(layer.name, layer.output);
    for (const SensitivityChange& change : layer.changes) {
      const auto text = cells(r, layer, change);
      std::vector<TextTable::Cell> row{{label}};
      for (const std::string& cell : text) row.push_back({cell});
      row.back().style = change.applied ? kStrong : kFaint;
      table.add_row(std::move(row));
      label.clear();
    }
  }
  out.raw(table.render(out.width(), style.color, 2));
  out.section("");
  out.line(plan_text(r));
  write_list(out, "warnings", r.warnings, kWarning);
  out.section("");
  if (r.seconds > 0) out.line("took " + format_seconds(r.seconds), kFaint);
  if (!r.costs.name.empty()) out.line(costs_text(r.costs), kFaint);
  write_environment(out, r.environment);
  return out.text();
}

std::string render_markdown(const SensitivityReport& r) {
  MarkdownWriter out;
  out.paragraph("**" + escape(file_name(r.input)) + "**: " + escape(plan_text(r)));
  MarkdownTable table({{"layer"},
                       {"change"},
                       {"damage", true},
                       {"SQNR", true},
                       {r.metric ? escape(r.metric->name) : "metric", true},
                       {"bytes saved", true},
                       {"time saved", true},
                       {"note"}});
  size_t rows = 0;
  for (const SensitivityLayer& layer : r.layers) {
    for (const SensitivityChange& change : layer.changes) {
      if (++rows > kMostRows) continue;
      MarkdownTable::Row row{code(layer_label(layer.name, layer.output))};
      for (const std::string& cell : cells(r, layer, change)) row.push_back(escape(cell));
      table.add_row(std::move(row));
    }
  }
  out.section("Layers, the greatest damage first", table.render());
  if (rows > kMostRows) out.paragraph(fmt::format("{} more in the JSON report.", rows - kMostRows));
  std::string warnings;
  for (const std::string& warning : r.warnings) warnings += "- " + escape(warning) + "\n";
  out.section("Warnings", warnings);
  std::string facts;
  for (const auto& [role, description] : r.data)
    facts += "- " + role + " data: " + escape(description) + "\n";
  for (const std::string& fact : {costs_text(r.costs), environment_text(r.environment)}) {
    if (!fact.empty()) facts += "- " + escape(fact) + "\n";
  }
  out.details("Data and environment", facts);
  return out.text();
}

}  // namespace mcompress
