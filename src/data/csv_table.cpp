// SPDX-License-Identifier: Apache-2.0
#include "data/csv_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "data/byte_source.h"
#include "mcompress/error.h"

namespace mcompress::data {
namespace {

constexpr uint64_t kLargestFile = uint64_t{2} << 30;

char guess_delimiter(std::string_view text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  char best = ',';
  std::ptrdiff_t most = 0;
  for (const char c : {',', ';', '\t'}) {
    const auto count = std::ranges::count(line, c);
    if (count > most) {
      most = count;
      best = c;
    }
  }
  return best;
}

std::string trimmed(std::string cell) {
  const size_t first = cell.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return cell.substr(first, cell.find_last_not_of(" \t") - first + 1);
}

}  // namespace

CsvTable read_csv(const std::filesystem::path& path, char delimiter) {
  std::string text = read_whole_file(path, kLargestFile);
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);  // byte order mark of spreadsheets
  const size_t zero = text.find('\0');
  if (zero != std::string::npos) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: not text: a zero byte at {}", path.string(), zero));
  }
  if (delimiter == 0) delimiter = guess_delimiter(text);
  CsvTable table;
  std::vector<std::string> row;
  std::string cell;
  size_t line = 1, row_line = 1;
  bool quoted = false, was_quoted = false;
  const auto end_cell = [&] {
    row.push_back(was_quoted ? cell : trimmed(cell));
    cell.clear();
    was_quoted = false;
  };
  const auto end_row = [&] {
    end_cell();
    const bool blank = row.size() == 1 && row[0].empty();
    if (!blank) {
      if (!table.rows.empty() && table.rows[0].size() != row.size()) {
        throw Error(ErrorCode::kData,
                    fmt::format("{}:{}: {} columns, the first row has {}", path.string(), row_line,
                                row.size(), table.rows[0].size()));
      }
      table.rows.push_back(row);
      table.lines.push_back(row_line);
    }
    row.clear();
  };
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\n') ++line;
    if (quoted) {
      if (c != '"') {
        cell += c;
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        cell += text[++at];
      } else {
        quoted = false;
      }
    } else if (c == '"' && trimmed(cell).empty()) {
      cell.clear();
      quoted = was_quoted = true;
    } else if (c == delimiter) {
      end_cell();
    } else if (c == '\n') {
      end_row();
      row_line = line;
    } else if (c != '\r') {
      cell += c;
    }
  }
  if (quoted)
    throw Error(ErrorCode::kData,
                fmt::format("{}:{}: a quote is left open", path.string(), row_line));
  if (!cell.empty() || !row.empty()) end_row();
  return table;
}

bool parse_cell(const std::string& cell, double& value) {
  const char* begin = cell.data();
  const char* const end = begin + cell.size();
  if (begin != end && *begin == '+') ++begin;
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error == std::errc::result_out_of_range && stop == end) {
    value = std::numeric_limits<double>::infinity();
    return true;
  }
  return error == std::errc() && stop == end;
}

}  // namespace mcompress::data
