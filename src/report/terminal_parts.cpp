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
  std::string summary;
  for (std::string part : summary_parts(comparison, " -> ")) {
    std::replace(part.begin(), part.end(), ' ', kHardSpace);
    summary += (summary.empty() ? "" : ", ") + part;
  }
  out.line(summary, kStrong);
  TextTable table({{"", Align::kLeft},
                   {"before", Align::kRight},
                   {"after", Align::kRight},
                   {"change", Align::kLeft}});
  for (const TotalRow& row : rows) {
    table.add_row({{row.what}, {row.before}, {row.after}, {row.change, trend_style(row.trend)}});
  }
  out.raw(table.render(out.width(), out.style().color, 2));
  // Intervals are sentences: below the table they fit into any width.
  for (const TotalRow& row : rows) {
    if (!row.note.empty())
      out.line(row.what + " " + row.change + ": " + row.note, trend_style(row.trend), 2);
  }
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
