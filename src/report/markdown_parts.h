// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mcompress/report.h"
#include "report/figures.h"

/// Pieces of a Markdown report (GitHub's and GitLab's dialect).
namespace mcompress::reporting {

/// Text in which no character means markup; newlines become spaces.
std::string escape(std::string_view text);
/// `text` as code, also inside a table; "" stays empty.
std::string code(std::string_view text);
/// A fenced block whose fence does not occur in the text; "" stays empty.
std::string fenced(std::string_view text, std::string_view language);
/// Last part of a path, as a report for others should not show folders of a machine.
std::string file_name(const std::string& path);

class MarkdownTable {
 public:
  struct Column {
    std::string title;
    bool right = false;
  };
  using Row = std::vector<std::string>;  ///< cells as Markdown: `escape` or `code` what is not ours
  explicit MarkdownTable(std::vector<Column> columns);
  void add_row(Row row);
  /// Columns without content are left out; "" without rows.
  std::string render() const;

 private:
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

/// Blocks parted by empty lines; empty ones are left out.
class MarkdownWriter {
 public:
  void paragraph(std::string_view text);
  void section(std::string_view title, std::string_view text);
  void details(std::string_view title, std::string_view text);
  std::string text() { return std::move(out_); }

 private:
  std::string out_;
};

/// Before, after, change; "" when nothing was measured.
std::string totals_table(const Comparison& comparison);

}  // namespace mcompress::reporting
