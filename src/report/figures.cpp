// SPDX-License-Identifier: Apache-2.0
#include "report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "support/decibels.h"
#include "support/units.h"

namespace mcompress::reporting {
namespace {

// Two sessions of one model differ by that much, by where their memory lies, whatever the interval of
// the pairs is.
constexpr double kSessionNoise = 0.02;
constexpr double kShortRunMs = 0.1, kShortRunNoise = 0.1;

constexpr int kMostDigits = 6;

int least_digits(const MetricFigure& figure) { return figure.is_points ? 1 : 3; }

bool is_decibels(const MetricFigure& figure) { return figure.name == "sqnr"; }

// How the value of a metric moves with a drop. A drop is positive when things get worse, and a
// share or relative; what is printed is the change of the value itself, in points, decibels or per
// cent of the value before. Of a value of 0 there are no per cent.
class MetricChange {
 public:
  MetricChange(const MetricFigure& before, const MetricFigure& after, double drop)
      : before_(before), factor_((before.higher_is_better ? -1 : 1) * 100.0) {
    if (before.is_points || is_decibels(before) || before.value != 0) return;
    factor_ = drop == 0 ? 0 : (after.value - before.value) / drop;
  }
  double of(double drop) const {
    if (!is_decibels(before_)) return drop * factor_;
    return decibels(relative_error(before_.value) + drop) - before_.value;
  }
  const char* unit() const {
    if (before_.is_points) return " pt";
    if (is_decibels(before_)) return " dB";
    return before_.value != 0 ? " %" : "";
  }
  int digits(double change) const {
    constexpr int kMoreOfValues = 2;  // they have no size of their own, as shares have
    const int least = digits_that_differ(change, 0, 1, kMostDigits);
    return *unit() == 0 ? std::min(least + kMoreOfValues, kMostDigits) : least;
  }

 private:
  const MetricFigure& before_;
  double factor_;
};

std::string change_text(const MetricChange& metric, double drop) {
  const double change = metric.of(drop);
  return format_signed(change, metric.digits(change)) + metric.unit();
}

// "95 % interval -0.9 to +0.3 pt".
std::string interval_text(const MetricChange& metric, double drop_low, double drop_high) {
  const double ends[] = {metric.of(drop_low), metric.of(drop_high)};
  const double low = std::min(ends[0], ends[1]), high = std::max(ends[0], ends[1]);
  const int digits = std::max(metric.digits(low), metric.digits(high));
  return "95 % interval " + format_signed(low, digits) + " to " + format_signed(high, digits) +
         metric.unit();
}

std::pair<std::string, std::string> metric_pair(const MetricFigure& before,
                                                const MetricFigure& after) {
  const int digits = metric_digits(before, {&after});
  return {metric_text(before, digits), metric_text(after, digits)};
}

TotalRow metric_row(const Comparison& c) {
  const auto [before, after] = metric_pair(*c.metric_before, *c.metric_after);
  TotalRow row{c.metric_before->name, before, after, "", "", 0};
  if (!c.drop || !std::isfinite(*c.drop)) return row;
  const MetricChange change(*c.metric_before, *c.metric_after, *c.drop);
  row.change = change_text(change, *c.drop);
  if (!c.drop_low || !c.drop_high) return row;
  row.trend = *c.drop_low > 0 ? -1 : *c.drop_high < 0 ? 1 : 0;
  row.note = interval_text(change, *c.drop_low, *c.drop_high) + ", " +
             format_count(c.metric_after->samples) + " paired samples: " +
             (row.trend < 0   ? "worse"
              : row.trend > 0 ? "better"
                              : "no difference seen");
  return row;
}

std::pair<std::string, std::string> latency_pair(double before, double after) {
  std::string a = format_milliseconds(before), b = format_milliseconds(after);
  if (a == b && before != after) {
    a = format_significant(before, 5) + " ms";
    b = format_significant(after, 5) + " ms";
  }
  return {a, b};
}

int latency_trend_of(const LatencyFigure& before, const LatencyFigure& after) {
  const double floor = before.median_ms < kShortRunMs ? kShortRunNoise : kSessionNoise;
  return after.ratio_high < 1 - floor ? 1 : after.ratio_low > 1 + floor ? -1 : 0;
}

TotalRow latency_row(const LatencyFigure& before, const LatencyFigure& after) {
  const auto [a, b] = latency_pair(before.median_ms, after.median_ms);
  TotalRow row{"latency", a, b, format_ratio(after.ratio), "", 0};
  if (after.pairs == 0) return row;
  row.trend = latency_trend_of(before, after);
  const int digits = std::max(digits_that_differ(after.ratio_low, 1, 2, 4),
                              digits_that_differ(after.ratio_high, 1, 2, 4));
  row.note = fmt::format(
      "95 % interval {} to {}, {} interleaved pairs: {}", format_fixed(after.ratio_low, digits),
      format_fixed(after.ratio_high, digits), format_count(static_cast<uint64_t>(after.pairs)),
      row.trend > 0   ? "faster"
      : row.trend < 0 ? "slower"
                      : "no difference seen");
  return row;
}

std::string ratio_of(uint64_t before, uint64_t after) {
  if (before == 0) return "";
  return format_ratio(static_cast<double>(after) / static_cast<double>(before));
}

// As ratio_of, and never "x 1.0000" for what differs.
std::string change_of(uint64_t before, uint64_t after, const char* unit) {
  if (before == after) return "same";
  const std::string ratio = ratio_of(before, after);
  if (ratio != "x 1.0000") return ratio;
  const uint64_t difference = after > before ? after - before : before - after;
  return (after > before ? "+" : "-") + format_count(difference) + unit;
}

void add_bytes(std::vector<TotalRow>& rows, const char* what, uint64_t before, uint64_t after) {
  if (before == 0 || after == 0) return;
  const auto [a, b] = size_pair(before, after);
  rows.push_back({what, a, b, change_of(before, after, " B"), "", 0});
}

void add_count(std::vector<TotalRow>& rows, const char* what, uint64_t before, uint64_t after) {
  if (before == 0 || after == 0) return;
  std::string a = format_large_count(before), b = format_large_count(after);
  if (a == b && before != after) {
    a = format_count(before);
    b = format_count(after);
  }
  rows.push_back({what, a, b, change_of(before, after, ""), "", 0});
}

// Runs of digits, with the points and commas inside them, become one mark.
std::string without_numbers(const std::string& text, const char* mark) {
  const auto digit = [&](size_t i) {
    return i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool in_word = i > 0 && std::isalpha(static_cast<unsigned char>(text[i - 1])) != 0;
    if (!digit(i) || in_word) {
      out += text[i];
      continue;
    }
    const auto goes_on = [&] {
      const bool separator = i + 1 < text.size() && (text[i + 1] == '.' || text[i + 1] == ',');
      return digit(i + 1) || (separator && digit(i + 2));
    };
    while (goes_on()) ++i;
    out += mark;
  }
  return out;
}

}  // namespace

int latency_trend(const RunReport& report) {
  if (!report.latency_before || !report.latency_after) return 0;
  return latency_trend_of(*report.latency_before, *report.latency_after);
}

Comparison comparison_of(const RunReport& report) {
  const std::string mark =
      report.steps.empty() ? "" : size_mark(report.steps.back(), report.dry_run);
  return {report.size_before,      report.size_after,     report.metric_before,
          report.metric_after,     report.metric_drop,    report.metric_drop_low,
          report.metric_drop_high, report.latency_before, report.latency_after,
          report.session_before,   report.session_after,  mark};
}

Comparison comparison_of(const CompareReport& report) {
  return {report.size_before,      report.size_after,     report.metric_before,
          report.metric_after,     report.metric_drop,    report.metric_drop_low,
          report.metric_drop_high, report.latency_before, report.latency_after,
          report.session_before,   report.session_after,  ""};
}

std::vector<TotalRow> total_rows(const Comparison& c) {
  std::vector<TotalRow> rows;
  const SizeFigure &a = c.size_before, &b = c.size_after;
  add_bytes(rows, "file", a.file_bytes, b.file_bytes);
  if (!rows.empty()) rows.back().after.insert(0, c.size_mark);
  add_bytes(rows, "weights", a.weight_bytes, b.weight_bytes);
  add_bytes(rows, "file, gzipped", a.gzip_bytes, b.gzip_bytes);
  add_count(rows, "parameters", a.parameters, b.parameters);
  add_count(rows, "non-zeros", a.nonzeros, b.nonzeros);
  add_count(rows, "MACs", a.macs, b.macs);
  if (c.metric_before && c.metric_after) rows.push_back(metric_row(c));
  if (c.latency_before && c.latency_after) {
    rows.push_back(latency_row(*c.latency_before, *c.latency_after));
  }
  if (c.session_before && c.session_after) {
    const auto [load_a, load_b] = latency_pair(c.session_before->load_ms, c.session_after->load_ms);
    const double ratio = c.session_after->load_ms / c.session_before->load_ms;
    rows.push_back(
        {"load time", load_a, load_b, std::isfinite(ratio) ? format_ratio(ratio) : "", "", 0});
    add_bytes(rows, "memory, peak", c.session_before->peak_bytes, c.session_after->peak_bytes);
    add_bytes(rows, "memory, steady", c.session_before->steady_bytes,
              c.session_after->steady_bytes);
  }
  return rows;
}

std::vector<std::string> summary_parts(const Comparison& c, const std::string& arrow) {
  std::vector<std::string> parts;
  if (c.size_before.file_bytes != 0 && c.size_after.file_bytes != 0) {
    const auto [a, b] = size_pair(c.size_before.file_bytes, c.size_after.file_bytes);
    parts.push_back(a + arrow + c.size_mark + b + " (" +
                    change_of(c.size_before.file_bytes, c.size_after.file_bytes, " B") + ")");
  }
  if (c.metric_before && c.metric_after) {
    const auto [a, b] = metric_pair(*c.metric_before, *c.metric_after);
    std::string text = c.metric_before->name + " " + a + arrow + b;
    if (c.drop && std::isfinite(*c.drop)) {
      const MetricChange change(*c.metric_before, *c.metric_after, *c.drop);
      text += " (" + change_text(change, *c.drop) + ")";
    }
    parts.push_back(std::move(text));
  }
  if (c.latency_before && c.latency_after) {
    const auto [a, b] = latency_pair(c.latency_before->median_ms, c.latency_after->median_ms);
    parts.push_back(a + arrow + b + " (" + format_ratio(c.latency_after->ratio) + ")");
  }
  return parts;
}

std::string metric_text(const MetricFigure& figure, int digits) {
  if (figure.is_points) return format_percent(figure.value, digits);
  return format_significant(figure.value, digits) + (is_decibels(figure) ? " dB" : "");
}

int metric_digits(const MetricFigure& base, const std::vector<const MetricFigure*>& others) {
  int digits = least_digits(base);
  for (const MetricFigure* other : others) {
    if (other->value == base.value) continue;
    while (digits < kMostDigits && metric_text(base, digits) == metric_text(*other, digits))
      ++digits;
  }
  return digits;
}

std::string metric_with_interval(const MetricFigure& figure) {
  const int digits = least_digits(figure);
  std::string text = metric_text(figure, digits);
  MetricFigure low = figure, high = figure;
  low.value = figure.low;
  high.value = figure.high;
  if (figure.low == figure.high) return text + " (" + format_count(figure.samples) + " samples)";
  return text + " (95 % interval " + metric_text(low, digits) + " to " + metric_text(high, digits) +
         ", " + format_count(figure.samples) + " samples)";
}

std::string latency_text(const LatencyFigure& figure) {
  return format_milliseconds(figure.median_ms) + " (min " + format_milliseconds(figure.min_ms) +
         ", spread " + format_milliseconds(figure.spread_ms) + ")";
}

std::pair<std::string, std::string> size_pair(uint64_t before, uint64_t after) {
  std::string a = format_bytes(before), b = format_bytes(after);
  if (a == b && before != after) return {format_count(before) + " B", format_count(after) + " B"};
  return {std::move(a), std::move(b)};
}

bool is_left_out(const GateVerdict& gate) { return gate.action == "left out"; }

std::string measured_text(const GateVerdict& gate) {
  return gate.measured_text.empty() ? format_significant(gate.measured, 4) : gate.measured_text;
}

std::string verdict_text(const GateVerdict& gate) {
  if (is_left_out(gate)) return gate.action;
  std::string text = gate.holds ? "holds" : "fails";
  if (!gate.action.empty()) text += ", " + gate.action;
  if (gate.uncertain) text += ", uncertain";
  return text;
}

StepStatus step_status(const StepReport& step) {
  auto failed = std::find_if(step.gates.begin(), step.gates.end(), [](const GateVerdict& gate) {
    return !gate.holds && !is_left_out(gate);
  });
  if (failed == step.gates.end())
    failed = std::find_if(step.gates.begin(), step.gates.end(), is_left_out);
  if (failed != step.gates.end()) {
    if (is_left_out(*failed)) return {failed->action + ": " + measured_text(*failed), 0};
    const std::string action =
        failed->action.empty() && step.rolled_back ? "rolled back" : failed->action;
    return {action.empty() ? "fails" : "fails, " + action, -1};
  }
  if (step.rolled_back) return {"rolled back", -1};
  if (!step.changed) return {"no change", 0};
  if (step.gates.empty()) return {"", 0};
  const bool uncertain = std::any_of(step.gates.begin(), step.gates.end(),
                                     [](const GateVerdict& gate) { return gate.uncertain; });
  return {uncertain ? "holds, uncertain" : "holds", 1};
}

std::string size_mark(const StepReport& step, bool dry_run) {
  if (step.size_is_bound) return "<= ";
  return dry_run ? "about " : "";
}

std::string step_label(const StepReport& step) {
  return step.label.empty() ? step.name : step.label;
}

std::vector<PlacedLimit> all_limits(const RunReport& report) {
  std::vector<PlacedLimit> limits;
  for (const GateVerdict& gate : report.constraints) limits.push_back({"", gate});
  for (const StepReport& step : report.steps) {
    for (const GateVerdict& gate : step.gates) limits.push_back({step_label(step), gate});
  }
  std::stable_sort(limits.begin(), limits.end(), [](const PlacedLimit& a, const PlacedLimit& b) {
    return !a.gate.holds && b.gate.holds;
  });
  return limits;
}

template <class Record>
static std::vector<const Record*> lowest_sqnr(std::vector<const Record*> found, size_t count) {
  std::stable_sort(found.begin(), found.end(),
                   [](const Record* a, const Record* b) { return *a->sqnr_db < *b->sqnr_db; });
  found.resize(std::min(found.size(), count));
  return found;
}

std::vector<const LayerReport*> worst_layers(const std::vector<LayerReport>& layers, size_t count) {
  std::vector<const LayerReport*> found;
  for (const LayerReport& layer : layers) {
    const bool measured = layer.sqnr_db && !std::isnan(*layer.sqnr_db);
    if (!layer.method.empty() && measured) found.push_back(&layer);
  }
  return lowest_sqnr(std::move(found), count);
}

std::vector<const ParityRecord*> worst_records(const std::vector<ParityRecord>& records,
                                               size_t count) {
  std::vector<const ParityRecord*> found;
  for (const ParityRecord& record : records) {
    if (record.sqnr_db && !std::isnan(*record.sqnr_db)) found.push_back(&record);
  }
  return lowest_sqnr(std::move(found), count);
}

std::string sqnr_text(const std::optional<double>& sqnr_db) {
  if (!sqnr_db || std::isnan(*sqnr_db)) return "";
  if (std::isinf(*sqnr_db)) return *sqnr_db > 0 ? "exact" : "nothing left";
  return format_fixed(*sqnr_db, 1) + " dB";
}

std::string cosine_text(double cosine) {
  return format_fixed(cosine, digits_that_differ(cosine, 1, 4, 9));
}

std::string bits_text(const LayerReport& layer, const std::string& arrow) {
  const auto short_form = [](double bits) {
    std::string text = format_fixed(bits, 2);
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
    return text;
  };
  const std::string before = short_form(layer.bits_before), after = short_form(layer.bits_after);
  return before == after ? after : before + arrow + after;
}

std::vector<SkipGroup> group_skips(const std::vector<SkipRecord>& skips) {
  struct Entry {
    SkipGroup group;
    std::string first;
    size_t order = 0;
  };
  std::map<std::string, Entry> found;
  for (const SkipRecord& skip : skips) {
    const std::string key = without_numbers(skip.reason, "…");
    Entry& entry =
        found.try_emplace(key, Entry{{skip.reason, 0}, skip.reason, found.size()}).first->second;
    if (entry.first != skip.reason) entry.group.reason = key;
    ++entry.group.count;
  }
  std::vector<Entry> entries;
  for (auto& [key, entry] : found) entries.push_back(std::move(entry));
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.group.count != b.group.count ? a.group.count > b.group.count : a.order < b.order;
  });
  std::vector<SkipGroup> groups;
  for (Entry& entry : entries) groups.push_back(std::move(entry.group));
  return groups;
}

std::string costs_text(const CostFigure& costs) {
  if (costs.name.empty()) return "";
  std::string text = "costs: " + costs.name;
  if (!costs.hash.empty()) {
    text += fmt::format(" ({}, {} lines", costs.hash, costs.entries);
    if (costs.measured > 0) text += fmt::format(", {} units measured now", costs.measured);
    text += ")";
  }
  if (costs.float_predicted_ms && costs.float_measured_ms) {
    text += "; in float " + format_milliseconds(*costs.float_predicted_ms) + " predicted of " +
            format_milliseconds(*costs.float_measured_ms) + " in the model";
  }
  if (costs.saving_predicted_ms && costs.saving_measured_ms) {
    text += ", INT8 where it pays saves " + format_milliseconds(*costs.saving_predicted_ms) +
            " predicted, " + format_milliseconds(*costs.saving_measured_ms) + " measured";
  }
  return text;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  if (shape.empty()) return "scalar";
  std::string text;
  for (const int64_t size : shape) {
    if (!text.empty()) text += 'x';
    text += size < 0 ? "?" : std::to_string(size);
  }
  return text;
}

std::string layer_label(const std::string& name, const std::string& output) {
  return name.empty() ? output : name;
}

std::string environment_text(const EnvironmentReport& e) {
  std::vector<std::string> parts;
  if (!e.tool_version.empty()) parts.push_back("mcompress " + e.tool_version);
  if (!e.runtime_version.empty()) parts.push_back("ONNX Runtime " + e.runtime_version);
  if (!e.cpu.empty()) {
    parts.push_back(e.cpu + (e.instruction_sets.empty() ? "" : " (" + e.instruction_sets + ")"));
  }
  if (!e.os.empty()) parts.push_back(e.os);
  if (parts.empty()) return "";
  parts.push_back(e.threads == 1 ? "1 thread" : fmt::format("{} threads", e.threads));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string share_text(double share) {
  if (share == 0) return "";
  return format_percent(share, digits_that_differ(share * 100, share < 0.5 ? 0 : 100, 1, 4));
}

}  // namespace mcompress::reporting
