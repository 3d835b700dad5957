// SPDX-License-Identifier: Apache-2.0
#include "costs/table_file.h"

#include <fmt/format.h>

#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "mcompress/error.h"
#include "support/file.h"
#include "support/hash.h"
#include "support/system_info.h"

namespace mcompress::costs {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSchema = "mcompress-costs";
constexpr int kVersion = 1;

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorCode::kRecipe, path.string() + ": " + what)
      .hint("mcompress run --measure makes a table");
}

Json parse(const std::filesystem::path& path, const std::string& text) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    refuse(path, std::string("is no cost table: ") + error.what());
  }
}

double positive(const std::filesystem::path& path, const std::string& key, const Json& value) {
  const double nanoseconds = value.is_number() ? value.get<double>() : 0;
  if (nanoseconds > 0 && std::isfinite(nanoseconds)) return nanoseconds;
  refuse(path, fmt::format("'{}' is {}, expected nanoseconds above 0", key, value.dump()));
}

/// Whole nanoseconds from 100 on: no digits that mean nothing.
Json rounded(double nanoseconds) {
  return nanoseconds >= 100 ? Json(static_cast<int64_t>(std::llround(nanoseconds)))
                            : Json(std::max(0.1, std::round(nanoseconds * 10) / 10));
}

}  // namespace

CostTable read_cost_table(const std::filesystem::path& path) {
  const std::string text = support::read_file(path, ErrorCode::kRecipe);
  const Json json = parse(path, text);
  if (!json.is_object() || json.value("schema", "") != kSchema) refuse(path, "is no cost table");
  if (const int version = json.value("schema_version", 0); version != kVersion) {
    refuse(path, fmt::format("has version {}, expected {}", version, kVersion));
  }
  CostTable table;
  table.name = path.string();
  table.hash = support::hash128(text).labelled();
  try {
    table.machine = {json.at("cpu"), json.at("instruction_sets"), json.at("runtime"),
                     json.at("threads")};
    const Json& times = json.at("nanoseconds");
    if (!times.is_object()) refuse(path, "'nanoseconds' is no map of times");
    for (const auto& [key, value] : times.items()) {
      table.set(key, positive(path, key, value));
    }
  } catch (const Json::exception& error) {
    refuse(path, std::string("is no cost table: ") + error.what());
  }
  return table;
}

void write_cost_table(CostTable& table, const std::filesystem::path& path) {
  Json json{{"schema", kSchema},
            {"schema_version", kVersion},
            {"cpu", table.machine.cpu},
            {"instruction_sets", table.machine.instruction_sets},
            {"runtime", table.machine.runtime},
            {"threads", table.machine.threads}};
  json["nanoseconds"] = Json::object();
  for (const auto& [key, value] : table.entries()) json["nanoseconds"][key] = rounded(value);
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  std::error_code error;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  support::write_file_atomically(path, text);
  table = read_cost_table(path);  // what decides is what a later run will read
}

CostMachine this_machine(const RuntimeService& runtime) {
  return {.cpu = support::cpu_name(),
          .instruction_sets = support::instruction_sets(),
          .runtime = runtime.version(),
          .threads = 1};
}

std::filesystem::path table_path(const std::filesystem::path& folder, const CostMachine& machine) {
  std::string slug;
  for (const char c : machine.cpu) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (plain) {
      slug += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!slug.empty() && slug.back() != '-') {
      slug += '-';
    }
  }
  const std::string identity =
      machine.cpu + "\n" + machine.instruction_sets + "\n" + machine.runtime;
  return folder / fmt::format("{}{}{}.json", slug, slug.empty() || slug.back() == '-' ? "" : "-",
                              support::hash128(identity).hex().substr(0, 8));
}

}  // namespace mcompress::costs
