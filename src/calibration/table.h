// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "calibration/statistics.h"
#include "mcompress/pass_context.h"

namespace mcompress::calibration {

/// What a table says of one value. Its range is what passes get.
struct TableValue {
  ChosenRange range;
  bool edited = false;         ///< a person wrote the range: it stays
  ValueStatistics statistics;  ///< empty for a value that a person added
};

/// A calibration table: ranges of the values of one model with all it takes to choose them anew.
/// Kept as JSON that people can read, edit and merge (write() says what is in it).
struct Table {
  std::string fingerprint;         ///< of the model as the steps before the calibrated one leave it
  std::string model;               ///< for people: the file
  std::vector<std::string> steps;  ///< for people: passes that ran before
  std::vector<std::string> data;   ///< for people: what it was calibrated on
  RangeOptions options;            ///< that the ranges were chosen with
  std::map<std::string, TableValue> values;
};

std::string write_table(const Table& table);
/// Throws kData, naming the file and the place, for what is no table, of a later version, or holds
/// ranges that make no sense.
Table read_table(std::string_view text, const std::string& file);

/// Chooses the ranges of all values that were not edited. `energies`: see choose_range.
void choose_ranges(Table& table, const RangeOptions& options,
                   const std::map<std::string, std::vector<double>>& energies);

/// Adds what another table of the same model knows; a range that was edited in either stays so (the
/// other's wins). The ranges of merged values are to be chosen anew. Throws kData for another
/// model; `file` is the other table's.
void merge_table(Table& table, const Table& other, const std::string& file);

}  // namespace mcompress::calibration

namespace mcompress {

/// The statistics of a table file as a service, for the model that it was made for, as long as that
/// has the same values. What the table does not have comes from `data` (may be null). Throws kData
/// where the file is no table, or one of another model.
std::shared_ptr<CalibrationService> open_calibration_table(
    const std::filesystem::path& file, const Model& model,
    std::shared_ptr<CalibrationService> data);

}  // namespace mcompress
