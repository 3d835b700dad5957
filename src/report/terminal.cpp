// SPDX-License-Identifier: Apache-2.0
// The report of a run for a person at a terminal.
#include <fmt/format.h>

#include <algorithm>

#include "report/epochs.h"
#include "report/figures.h"
#include "report/terminal_parts.h"
#include "support/text_table.h"
#include "support/units.h"

namespace mcompress {
namespace {

using namespace reporting;

constexpr size_t kMostSkipReasons = 4;  // of a step, without --explain
constexpr size_t kMostEpochs = 6;       // of a step, without --explain

void write_heading(TerminalWriter& out, const RunReport& r) {
  std::string text = r.input;
  if (!r.output.empty()) text += " -> " + r.output;
  if (!r.recipe_name.empty()) text += fmt::format("  (recipe {}, seed {})", r.recipe_name, r.seed);
  out.line(text);
  if (r.dry_run) out.line("plan only: nothing was computed or written", kWarning);
}

// The figure that the steps' metrics are compared with: same data where the run says so.
const std::optional<MetricFigure>& baseline(const RunReport& r) {
  return r.metric_baseline ? r.metric_baseline : r.metric_before;
}

int step_digits(const RunReport& r) {
  if (!baseline(r)) return 1;
  std::vector<const MetricFigure*> figures;
  for (const StepReport& step : r.steps) {
    if (step.metric) figures.push_back(&*step.metric);
  }
  return metric_digits(*baseline(r), figures);
}

std::string metric_title(const RunReport& r) {
  std::string name;
  if (baseline(r)) name = baseline(r)->name;
  for (const StepReport& step : r.steps) {
    if (name.empty() && step.metric) name = step.metric->name;
  }
  return name.empty() ? "metric" : name;
}

std::string step_size(const StepReport& step, const RunReport& r) {
  if (step.size.file_bytes == 0) return "";
  return size_mark(step, r.dry_run) +
         size_pair(r.size_before.file_bytes, step.size.file_bytes).second;
}

std::string step_latency(const StepReport& step) {
  return step.latency ? format_ratio(step.latency->ratio) : "";
}

void write_steps(TerminalWriter& out, const RunReport& r) {
  if (r.steps.empty()) return;
  out.section("");
  const int digits = step_digits(r);
  TextTable table({{"step", Align::kLeft, true, 24},
                   {metric_title(r), Align::kRight},
                   {"size", Align::kRight},
                   {"latency", Align::kRight},
                   {.title = "time", .align = Align::kRight, .give_up = 1},
                   {"gate", Align::kLeft}});
  const auto& base = baseline(r);
  table.add_row({{"input"},
                 {base ? metric_text(*base, digits) : ""},
                 {format_bytes(r.size_before.file_bytes)},
                 {r.latency_before ? format_milliseconds(r.latency_before->median_ms) : ""}});
  for (const StepReport& step : r.steps) {
    const StepStatus status = r.dry_run ? StepStatus{} : step_status(step);
    const std::string faint = step.rolled_back ? std::string(kFaint) : "";
    table.add_row({{step_label(step), faint},
                   {step.metric ? metric_text(*step.metric, digits) : "", faint},
                   {step_size(step, r), faint},
                   {step_latency(step), faint},
                   {step.seconds > 0 ? format_seconds(step.seconds) : "", faint},
                   {status.text, trend_style(status.trend)}});
  }
  out.raw(table.render(out.width(), out.style().color));
}

void write_limits(TerminalWriter& out, const RunReport& r) {
  const std::vector<PlacedLimit> limits = all_limits(r);
  if (limits.empty()) return;
  TextTable table(
      {{"limit"}, {"of", Align::kLeft, true, 16}, {"measured", Align::kRight}, {"verdict"}});
  bool uncertain = false;
  for (const auto& [where, gate] : limits) {
    const std::string_view style = !gate.holds ? kBad : gate.uncertain ? kWarning : kGood;
    uncertain = uncertain || gate.uncertain;
    table.add_row({{gate.limit},
                   {where.empty() ? "the whole run" : where},
                   {measured_text(gate)},
                   {verdict_text(gate), std::string(style)}});
  }
  out.raw(table.render(out.width(), out.style().color, 2));
  if (uncertain)
    out.line("uncertain: the interval of what was measured straddles the limit", kFaint, 2);
}

void write_verdict(TerminalWriter& out, const RunReport& r) {
  if (all_limits(r).empty() && !r.failed && r.validation.empty()) return;
  out.section("");
  if (r.failed && r.interrupted) {
    out.line("a limit was not met, and the run was interrupted (exit code 130)", kBad);
  } else if (r.failed) {
    out.line("a limit was not met (exit code 1)", kBad);
  }
  write_limits(out, r);
  if (!r.validation.empty()) out.line("validation: " + r.validation);
}

void write_measurement_notes(TerminalWriter& out, const RunReport& r) {
  if (!r.metric_reason.empty()) out.line("metric: " + r.metric_reason, kFaint);
  if (r.metric_baseline && r.metric_after && !r.selected_on_evaluation) {
    out.line(r.data.contains("evaluation")
                 ? "steps are judged on the validation data, the totals on the evaluation data"
                 : "no evaluation data: the totals are of the data that decided, which flatters them",
             kFaint);
  }
  if (r.selected_on_evaluation) {
    out.line("selected on the evaluation data: the metric flatters the result", kWarning);
  }
  if (!r.dry_run && !r.metric_after) {
    out.line("accuracy was not measured: no data to measure it on (--data evaluation=PATH)",
             kWarning);
  }
}

void write_worst_layers(TerminalWriter& out, const RunReport& r) {
  const auto worst = worst_layers(r.layers, out.style().worst_layers);
  if (worst.empty()) return;
  out.section(fmt::format("worst {} of {} changed layers (signal to noise of the output)",
                          worst.size(), worst_layers(r.layers, r.layers.size()).size()));
  TextTable table({{"layer", Align::kLeft, true, 20},
                   {.title = "op", .give_up = 2},
                   {.title = "weight", .give_up = 3},
                   {"SQNR", Align::kRight},
                   {"bytes", Align::kRight},
                   {.title = "bits", .align = Align::kRight, .give_up = 1},
                   {"method", Align::kLeft, true, 30}});
  for (const LayerReport* layer : worst) {
    const auto [before, after] = size_pair(layer->bytes_before, layer->bytes_after);
    table.add_row({{layer_label(layer->name, layer->output)},
                   {layer->op},
                   {shape_text(layer->weight_shape)},
                   {sqnr_text(layer->sqnr_db)},
                   {before + " -> " + after},
                   {bits_text(*layer, " -> ")},
                   {layer->method}});
  }
  out.raw(table.render(out.width(), out.style().color, 2));
}

void write_skip_counts(TerminalWriter& out, const StepReport& step) {
  const std::vector<SkipGroup> groups = group_skips(step.skips);
  const bool all = groups.size() <= kMostSkipReasons + 1;
  const size_t shown = all ? groups.size() : kMostSkipReasons;
  for (size_t i = 0; i < shown; ++i) {
    out.line(fmt::format("{:>5} x {}", groups[i].count, groups[i].reason), "", 2);
  }
  if (all) return;
  size_t rest = 0;
  for (size_t i = shown; i < groups.size(); ++i) rest += groups[i].count;
  out.line(fmt::format("{:>5} x for {} other reasons", rest, groups.size() - shown), "", 2);
}

void write_every_skip(TerminalWriter& out, const StepReport& step) {
  size_t widest = 0;
  for (const SkipRecord& skip : step.skips) {
    widest = std::max(widest, display_width(layer_label(skip.layer, skip.output)));
  }
  widest = std::min(widest, out.width() / 2);
  for (const SkipRecord& skip : step.skips) {
    std::string name = shorten_middle(layer_label(skip.layer, skip.output), widest);
    name.append(widest - display_width(name), ' ');
    const std::string text = "    " + name + "  " + skip.reason;
    out.raw(wrap_text(text, out.width(), widest + 6) + "\n");
  }
}

void write_skips(TerminalWriter& out, const RunReport& r) {
  size_t count = 0;
  for (const StepReport& step : r.steps) count += step.skips.size();
  if (count == 0) return;
  out.section(out.style().explain ? fmt::format("left alone: {}", count)
                                  : fmt::format("left alone: {} (--explain lists them)", count));
  for (const StepReport& step : r.steps) {
    if (step.skips.empty()) continue;
    out.line(step_label(step), "", 2);
    out.style().explain ? write_every_skip(out, step) : write_skip_counts(out, step);
  }
}

void write_step_details(TerminalWriter& out, const RunReport& r) {
  if (!out.style().explain) return;
  bool first = true;
  for (const StepReport& step : r.steps) {
    std::string counters;
    for (const auto& [name, value] : step.counters) {
      counters += fmt::format("{}{} {}", counters.empty() ? "" : ", ", name, value);
    }
    if (step.options.empty() && counters.empty()) continue;
    if (first) out.section("options and counts");
    first = false;
    out.line(step_label(step), "", 2);
    if (!step.options.empty()) out.line(step.options, "", 4);
    if (!counters.empty()) out.line(counters, "", 4);
  }
}

void write_epochs(TerminalWriter& out, const RunReport& r) {
  const MetricFigure* const metric = judging_metric(r);
  for (const StepReport& step : r.steps) {
    if (step.epochs.empty()) continue;
    const std::vector<EpochRow> all = epoch_rows(step, metric);
    const auto shown = out.style().explain ? all : some_of(all, kMostEpochs);
    const bool some = shown.size() < all.size();
    out.section(fmt::format("training of {}: {} {}{}", step_label(step), all.size(),
                            all.size() == 1 ? "epoch" : "epochs",
                            some ? " (--explain lists them)" : ""));
    TextTable table({{"epoch"},
                     {"loss", Align::kRight},
                     {"validation loss", Align::kRight},
                     {metric != nullptr ? metric->name : "metric", Align::kRight},
                     {.title = "learning rate", .align = Align::kRight, .give_up = 2},
                     {.title = "time", .align = Align::kRight, .give_up = 1}});
    for (const EpochRow& row : shown) {
      const std::string style(row.best ? kStrong : "");
      table.add_row({{row.epoch, style},
                     {row.loss, style},
                     {row.validation_loss, style},
                     {row.metric, style},
                     {row.learning_rate, style},
                     {row.time, style}});
    }
    out.raw(table.render(out.width(), out.style().color, 2));
  }
}

using Texts = std::vector<std::string> StepReport::*;
/// Lines of the run, then of its steps, which are named.
std::vector<std::string> gathered(std::vector<std::string> lines, const RunReport& r, Texts texts) {
  for (const StepReport& step : r.steps) {
    for (const std::string& text : step.*texts) lines.push_back(step_label(step) + ": " + text);
  }
  return lines;
}

void write_closing(TerminalWriter& out, const RunReport& r) {
  std::string text;
  if (r.seconds > 0) text = "took " + format_seconds(r.seconds);
  if (r.peak_bytes > 0) {
    text += (text.empty() ? "" : ", ") + ("peak memory " + format_bytes(r.peak_bytes));
  }
  if (text.empty() && environment_text(r.environment).empty()) return;
  out.section("");
  if (!text.empty()) out.line(text, kFaint);
  if (!r.costs.hash.empty()) out.line(costs_text(r.costs), kFaint);
  write_environment(out, r.environment);
}

}  // namespace

std::string render_terminal(const RunReport& report, const TerminalStyle& style) {
  TerminalWriter out(style);
  write_heading(out, report);
  write_steps(out, report);
  write_totals(out, comparison_of(report));
  write_measurement_notes(out, report);
  write_verdict(out, report);
  write_worst_layers(out, report);
  write_skips(out, report);
  write_step_details(out, report);
  write_epochs(out, report);
  write_list(out, "notes", gathered({}, report, &StepReport::notes));
  write_list(out, "warnings", gathered(report.warnings, report, &StepReport::warnings), kWarning);
  write_list(out, "what to try next", report.advice);
  write_closing(out, report);
  return out.text();
}

}  // namespace mcompress
