// SPDX-License-Identifier: Apache-2.0
#include "report/markdown_parts.h"

#include <algorithm>

namespace mcompress::reporting {
namespace {

// The longest run of one character in the text.
size_t longest_run(std::string_view text, char of) {
  size_t longest = 0, run = 0;
  for (const char c : text) {
    run = c == of ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' || c == '\r') {
      out += ' ';
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (std::string_view("\\`*_[]|~").find(c) != std::string_view::npos) {
      out += '\\';
      out += c;
    } else if (c == '@' || c == '#') {
      // A name must not call a user or an issue.
      out += c == '@' ? "&#64;" : "&#35;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string code(std::string_view text) {
  if (text.empty()) return "";
  std::string body;
  for (const char c : text) {
    if (c == '|') body += '\\';  // a table splits at it even inside code
    body += c == '\n' || c == '\r' ? ' ' : c;
  }
  const std::string ticks(longest_run(text, '`') + 1, '`');
  const bool pad = body.front() == '`' || body.back() == '`';
  return ticks + (pad ? " " : "") + body + (pad ? " " : "") + ticks;
}

std::string fenced(std::string_view text, std::string_view language) {
  if (text.empty()) return "";
  const std::string fence(std::max<size_t>(longest_run(text, '`') + 1, 3), '`');
  std::string out = fence + std::string(language) + "\n" + std::string(text);
  if (out.back() != '\n') out += '\n';
  return out + fence + "\n";
}

std::string file_name(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

MarkdownTable::MarkdownTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

void MarkdownTable::add_row(Row row) {
  row.resize(columns_.size());
  rows_.push_back(std::move(row));
}

std::string MarkdownTable::render() const {
  if (rows_.empty()) return "";
  std::string title = "|", rule = "|";
  std::vector<bool> used(columns_.size(), false);
  for (size_t c = 0; c < columns_.size(); ++c) {
    used[c] =
        std::any_of(rows_.begin(), rows_.end(), [&](const Row& row) { return !row[c].empty(); });
    if (!used[c]) continue;
    title += " " + columns_[c].title + " |";
    rule += columns_[c].right ? " ---: |" : " --- |";
  }
  std::string out = title + "\n" + rule + "\n";
  for (const Row& row : rows_) {
    out += "|";
    for (size_t c = 0; c < row.size(); ++c) {
      if (used[c]) out += row[c].empty() ? "  |" : " " + row[c] + " |";
    }
    out += "\n";
  }
  return out;
}

void MarkdownWriter::paragraph(std::string_view text) {
  if (text.empty()) return;
  if (!out_.empty()) out_ += "\n";
  out_ += text;
  if (out_.back() != '\n') out_ += '\n';
}

void MarkdownWriter::section(std::string_view title, std::string_view text) {
  if (text.empty()) return;
  paragraph("#### " + std::string(title));
  paragraph(text);
}

void MarkdownWriter::details(std::string_view title, std::string_view text) {
  if (text.empty()) return;
  paragraph("<details><summary>" + std::string(title) + "</summary>");
  paragraph(text);
  paragraph("</details>");
}

std::string totals_table(const Comparison& comparison) {
  MarkdownTable table({{""}, {"before", true}, {"after", true}, {"change"}});
  for (const TotalRow& row : total_rows(comparison)) {
    const std::string note = row.note.empty() ? "" : " (" + row.note + ")";
    table.add_row({escape(row.what), row.before, escape(row.after), escape(row.change + note)});
  }
  return table.render();
}

}  // namespace mcompress::reporting
