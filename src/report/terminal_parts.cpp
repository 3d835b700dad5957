// SPDX-License-Identifier: Apache-2.0
#include "report/terminal_parts.h"

#include <algorithm>

#include "support/text_table.h"

namespace mcompress::reporting {

std::string trend_style(int trend) {
  return std::string(trend < 0 ? kBad : trend > 0 ? kGood : std::string_view());
}

TerminalWriter::TerminalWriter(const TerminalStyle& style)
    : style_(style), width_(static_cast<size_t>(std::max(style.width, 40))) {}

void TerminalWriter::section(std::string_view heading) {
  if (!out_.empty()) out_ += "\n";
  if (!heading.empty()) line(heading, kStrong);
}

void TerminalWriter::line(std::string_view text, std::string_view style, size_t indent) {
  const std::string wrapped =
      wrap_text(std::string(indent, ' ') + std::string(text), width_, indent + 2);
  // Each line of its own: a pager that starts in the middle still shows the colour.
  for (size_t at = 0; at <= wrapped.size();) {
    const size_t end = std::min(wrapped.find('\n', at), wrapped.size());
    out_ += styled(std::string_view(wrapped).substr(at, end - at), style, style_.color) + "\n";
    at = end + 1;
  }
}

void TerminalWriter::item(std::string_view label, std::string_view text, std::string_view style) {
  line(std::string(label) + "  " + std::string(text), style, 2);
}

void write_totals(TerminalWriter& out, const Comparison& comparison) {
  const std::vector<TotalRow> rows = total_rows(comparison);
  if (rows.empty()) return;
  out.section("");
  out.line(summary_line(comparison, " -> "), kStrong);
  // The longest cells are sentences: they go below the table where it is too narrow for them.
  size_t least = 0;
  for (const TotalRow& row : rows) {
    least = std::max(
        least, 2 + 14 + 2 * (2 + std::max(display_width(row.before), display_width(row.after))) +
                   display_width(row.change) + 2);
  }
  const bool wide = least <= out.width();
  TextTable table({{"", Align::kLeft},
                   {"before", Align::kRight},
                   {"after", Align::kRight},
                   {"change", Align::kLeft}});
  std::vector<std::pair<std::string, std::string>> below;
  for (const TotalRow& row : rows) {
    std::string change = row.change;
    if (const size_t note = change.find(" ("); !wide && note != std::string::npos) {
      below.emplace_back(row.what, change.substr(note + 2, change.size() - note - 3));
      change.resize(note);
    }
    table.add_row({{row.what}, {row.before}, {row.after}, {change, trend_style(row.trend)}});
  }
  out.raw(table.render(out.width(), out.style().color, 2));
  for (const auto& [what, note] : below) out.line(what + ": " + note, "", 2);
}

void write_environment(TerminalWriter& out, const EnvironmentReport& environment) {
  const std::string text = environment_text(environment);
  if (!text.empty()) out.line(text, kFaint);
}

void write_list(TerminalWriter& out, std::string_view heading,
                const std::vector<std::string>& items, std::string_view style) {
  if (items.empty()) return;
  out.section(heading);
  for (const std::string& item : items) out.line(item, style, 2);
}

}  // namespace mcompress::reporting
