// SPDX-License-Identifier: Apache-2.0
#include "support/text_table.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "mcompress/error.h"

namespace mcompress {
namespace {

constexpr std::string_view kEllipsis = "…";
constexpr size_t kGap = 2;

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 1;
};

CodePoint decode_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(at);
  const size_t bytes = first < 0x80    ? 1
                       : first >= 0xF0 ? 4
                       : first >= 0xE0 ? 3
                       : first >= 0xC0 ? 2
                                       : 1;
  if (bytes == 1 || at + bytes > text.size()) return {first, 1};
  uint32_t value = first & (0xFFu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {first, 1};
    value = (value << 6) | (byte(at + i) & 0x3Fu);
  }
  return {value, bytes};
}

bool within(uint32_t value, uint32_t low, uint32_t high) { return value >= low && value <= high; }

size_t columns_of(uint32_t value) {
  const bool combining = within(value, 0x300, 0x36F) || within(value, 0x1AB0, 0x1AFF) ||
                         within(value, 0x20D0, 0x20FF) || within(value, 0xFE00, 0xFE0F) ||
                         within(value, 0x200B, 0x200F);
  if (combining || (value < 0x20 && value != static_cast<uint32_t>(kHardSpace))) return 0;
  const bool wide = within(value, 0x1100, 0x115F) || within(value, 0x2E80, 0xA4CF) ||
                    within(value, 0xAC00, 0xD7A3) || within(value, 0xF900, 0xFAFF) ||
                    within(value, 0xFE30, 0xFE6F) || within(value, 0xFF00, 0xFF60) ||
                    within(value, 0xFFE0, 0xFFE6) || within(value, 0x1F300, 0x1FAFF) ||
                    within(value, 0x20000, 0x3FFFD);
  return wide ? 2 : 1;
}

// Bytes of the colour sequence that starts here, 0 where none does.
size_t escape_length(std::string_view text, size_t at) {
  if (text[at] != '\x1b' || at + 1 >= text.size() || text[at + 1] != '[') return 0;
  const size_t end = text.find('m', at);
  return end == std::string_view::npos ? 0 : end - at + 1;
}

// The longest run of code points from the front that fits into `width` columns.
std::string_view head(std::string_view text, size_t width) {
  size_t at = 0, used = 0;
  while (at < text.size()) {
    const CodePoint point = decode_at(text, at);
    if (used + columns_of(point.value) > width) break;
    used += columns_of(point.value);
    at += point.bytes;
  }
  return text.substr(0, at);
}

std::string_view tail(std::string_view text, size_t width) {
  size_t at = 0, left = display_width(text);
  while (left > width) {
    const CodePoint point = decode_at(text, at);
    left -= columns_of(point.value);
    at += point.bytes;
  }
  return text.substr(at);
}

void trim_right(std::string& line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t columns = 0;
  for (size_t at = 0; at < text.size();) {
    if (const size_t escape = escape_length(text, at)) {
      at += escape;
      continue;
    }
    const CodePoint point = decode_at(text, at);
    columns += columns_of(point.value);
    at += point.bytes;
  }
  return columns;
}

std::string shorten_middle(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return "";
  // The end of a layer's name tells more than its beginning.
  const size_t front = (width - 1) / 3;
  return std::string(head(text, front)) + std::string(kEllipsis) +
         std::string(tail(text, width - 1 - front));
}

std::string wrap_text(std::string_view text, size_t width, size_t indent) {
  std::string out, line;
  const auto flush = [&] {
    trim_right(line);
    out += line;
  };
  bool fresh = true;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find_first_of(" \n", at), text.size());
    const std::string_view word = text.substr(at, end - at);
    if (!fresh && display_width(line) + 1 + display_width(word) > width) {
      flush();
      out += '\n';
      line.assign(indent, ' ');
      fresh = true;
    }
    if (!fresh) line += ' ';
    line += word;
    fresh = false;
    if (end < text.size() && text[end] == '\n') {
      flush();
      out += '\n';
      line.assign(indent, ' ');
      fresh = true;
    }
    at = end + 1;
  }
  flush();
  std::replace(out.begin(), out.end(), kHardSpace, ' ');
  return out;
}

std::string styled(std::string_view text, std::string_view style, bool color) {
  if (!color || style.empty() || text.empty()) return std::string(text);
  return "\x1b[" + std::string(style) + "m" + std::string(text) + "\x1b[0m";
}

TextTable::TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

void TextTable::add_row(std::vector<Cell> cells) {
  if (cells.size() > columns_.size()) {
    throw Error(ErrorCode::kBug, "table: " + std::to_string(cells.size()) + " cells for " +
                                     std::to_string(columns_.size()) + " columns");
  }
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

// Width of each column, 0 for one without content.
std::vector<size_t> TextTable::natural_widths() const {
  std::vector<size_t> widths(columns_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::max(widths[c], display_width(row[c].text));
    }
  }
  for (size_t c = 0; c < widths.size(); ++c) {
    if (widths[c] > 0) widths[c] = std::max(widths[c], display_width(columns_[c].title));
  }
  return widths;
}

// Narrows the columns that may shrink, the widest first; false where that is not enough.
bool TextTable::shrink(std::vector<size_t>& widths, size_t width) const {
  size_t total = 0;
  for (const size_t column : widths) {
    if (column > 0) total += column + (total == 0 ? 0 : kGap);
  }
  for (; total > width; --total) {
    size_t widest = widths.size();
    for (size_t c = 0; c < widths.size(); ++c) {
      const size_t least = std::max(columns_[c].least_width, display_width(columns_[c].title));
      const bool can = columns_[c].may_shrink && widths[c] > least;
      if (can && (widest == widths.size() || widths[c] > widths[widest])) widest = c;
    }
    if (widest == widths.size()) return false;
    --widths[widest];
  }
  return true;
}

bool TextTable::give_up_column(std::vector<size_t>& widths) const {
  size_t next = widths.size();
  for (size_t c = 0; c < widths.size(); ++c) {
    const bool can = columns_[c].give_up > 0 && widths[c] > 0;
    if (can && (next == widths.size() || columns_[c].give_up < columns_[next].give_up)) next = c;
  }
  if (next == widths.size()) return false;
  widths[next] = 0;
  return true;
}

std::vector<size_t> TextTable::fit(size_t width) const {
  std::vector<size_t> widths = natural_widths();
  for (;;) {
    std::vector<size_t> shrunk = widths;
    if (shrink(shrunk, width) || !give_up_column(widths)) return shrunk;
  }
}

std::string TextTable::render(size_t width, bool color, size_t indent) const {
  if (rows_.empty()) return "";
  const std::vector<size_t> widths = fit(width > indent ? width - indent : 0);
  std::string out;
  const auto add_line = [&](const auto& cell_of) {
    std::string line(indent, ' ');
    bool first = true;
    for (size_t c = 0; c < columns_.size(); ++c) {
      if (widths[c] == 0) continue;
      if (!first) line.append(kGap, ' ');
      first = false;
      const Cell cell = cell_of(c);
      const std::string text = shorten_middle(cell.text, widths[c]);
      const size_t pad = widths[c] - display_width(text);
      if (columns_[c].align == Align::kRight) line.append(pad, ' ');
      line += styled(text, cell.style, color);
      if (columns_[c].align == Align::kLeft) line.append(pad, ' ');
    }
    trim_right(line);
    out += line + "\n";
  };
  const bool titled = std::any_of(columns_.begin(), columns_.end(),
                                  [](const Column& column) { return !column.title.empty(); });
  if (titled) add_line([&](size_t c) { return Cell{columns_[c].title, "2"}; });
  for (const auto& row : rows_) {
    add_line([&](size_t c) { return row[c]; });
  }
  return out;
}

}  // namespace mcompress
