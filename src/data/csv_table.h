// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mcompress::data {

/// Cells of a text file: one row a line, quoted cells ("" for a quote inside), blank lines skipped.
struct CsvTable {
  std::vector<std::vector<std::string>> rows;
  std::vector<size_t> lines;  ///< line of each row in the file, from 1
};

/// `delimiter` 0 takes the one of comma, semicolon and tab that is most frequent in the first line.
/// Throws kData for a file that is no text, a quote left open, or rows of unequal length.
CsvTable read_csv(const std::filesystem::path& path, char delimiter);

/// The whole cell as a number.
bool parse_cell(const std::string& cell, double& value);

}  // namespace mcompress::data
