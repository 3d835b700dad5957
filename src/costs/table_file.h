// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "mcompress/cost_table.h"
#include "mcompress/runtime_service.h"

namespace mcompress::costs {

/// A cost table as a file: JSON with one line an operator, for people to read, edit and merge:
///
///     {
///       "schema": "mcompress-costs", "schema_version": 1,
///       "cpu": "...", "instruction_sets": "...", "runtime": "1.30.0", "threads": 1,
///       "nanoseconds": {
///         "Conv 64x32x3x3 rows 784: float": 231000,
///         ...
///       }
///     }

/// Throws kRecipe naming the file and what is wrong with it: no JSON, another schema, times that
/// are not positive.
CostTable read_cost_table(const std::filesystem::path& path);
/// Writes atomically, makes the folder where it is missing; sets name and hash of `table`.
void write_cost_table(CostTable& table, const std::filesystem::path& path);

CostMachine this_machine(const RuntimeService& runtime);
/// Where the table of a machine lies in a folder of tables: one file for each CPU and runtime.
std::filesystem::path table_path(const std::filesystem::path& folder, const CostMachine& machine);

}  // namespace mcompress::costs
