// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mcompress {

/// Columns that the text takes on a terminal: code points of UTF-8, wide East Asian ones counted
/// twice, combining marks and colour sequences not at all. Bytes that are not UTF-8 count as one.
size_t display_width(std::string_view text);
/// Shortens to `width` columns with "…" in the middle, where names of layers differ least.
std::string shorten_middle(std::string_view text, size_t width);
/// Prints as a space at which `wrap_text` never breaks.
inline constexpr char kHardSpace = '\x01';
/// Breaks at spaces so that no line is wider than `width`; lines after the first start with
/// `indent` spaces. Words are never cut. No trailing blanks, no newline at the end.
std::string wrap_text(std::string_view text, size_t width, size_t indent = 0);

enum class Align { kLeft, kRight };

/// A table without rules: a heading (where any column has a title), cells separated by two spaces,
/// columns as wide as their widest cell. Lines never end in a blank. Too wide, it shortens cells
/// and then gives up columns, where it may; else it overflows rather than lose figures.
class TextTable {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
    bool may_shrink = false;  ///< cells are shortened in the middle when the table is too wide
    size_t least_width = 12;  ///< of a column that may shrink
    int give_up = 0;  ///< order in which columns are left out when the table is too wide; 0: never
  };
  /// SGR parameters ("31", "1;32"); empty for none. Applied only where colour is on.
  struct Cell {
    std::string text;
    std::string style = "";
  };

  explicit TextTable(std::vector<Column> columns);
  /// Missing cells at the end are empty; more cells than columns are a bug (kBug).
  void add_row(std::vector<Cell> cells);
  size_t rows() const { return rows_.size(); }
  /// Columns in which every cell is empty are left out, their title too.
  std::string render(size_t width, bool color, size_t indent = 0) const;

 private:
  std::vector<size_t> natural_widths() const;
  bool shrink(std::vector<size_t>& widths, size_t width) const;
  bool give_up_column(std::vector<size_t>& widths) const;
  std::vector<size_t> fit(size_t width) const;
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

/// "\x1b[31mtext\x1b[0m" where colour is on and the style is not empty; else the text.
std::string styled(std::string_view text, std::string_view style, bool color);

}  // namespace mcompress
