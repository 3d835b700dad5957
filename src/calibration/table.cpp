// SPDX-License-Identifier: Apache-2.0
//
// One line a field and one block a value, so that people can find a range, edit it and compare two
// tables line by line. Counts of a histogram are written from zero outwards; "0*12" is twelve empty
// bins, and empty bins at the end are left out. "chosen" repeats the range as its method gave it: a
// range that differs was edited.
#include "calibration/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "mcompress/error.h"
#include "support/parallel_for.h"

namespace mcompress::calibration {
namespace {

using Json = nlohmann::json;

constexpr const char* kFormat = "mcompress-calibration";
constexpr int64_t kVersion = 1;

std::string quoted(const std::string& text) { return Json(text).dump(); }

template <class T>
std::string list(const std::vector<T>& items) {
  return fmt::format("[{}]", fmt::join(items, ", "));
}

std::string counts_text(std::span<const int64_t> counts) {
  std::string text;
  size_t end = counts.size();
  while (end > 0 && counts[end - 1] == 0) --end;
  for (size_t i = 0; i < end;) {
    size_t run = 1;
    while (counts[i] == 0 && i + run < end && counts[i + run] == 0) ++run;
    text += text.empty() ? "" : " ";
    text += run > 1 ? fmt::format("0*{}", run) : std::to_string(counts[i]);
    i += run;
  }
  return text;
}

std::string value_text(const TableValue& value) {
  const ValueStatistics& statistics = value.statistics;
  const auto& histogram = statistics.histogram;
  const auto range = fmt::format("[{}, {}]", value.range.low, value.range.high);
  std::string text = fmt::format("      \"range\": {},\n", range);
  text += value.edited ? std::string("      \"method\": \"edited\"")
                       : fmt::format("      \"method\": \"{}\",\n      \"chosen\": {}",
                                     method_name(value.range.method), range);
  if (histogram.empty()) return text + "\n";
  text += fmt::format(",\n      \"min\": {},\n      \"max\": {},\n", histogram.extent().min,
                      histogram.extent().max);
  text += fmt::format("      \"moving-average\": [{}, {}],\n", statistics.moving.min(),
                      statistics.moving.max());
  text += fmt::format("      \"samples\": {},\n      \"count\": {},\n      \"zeros\": {},\n",
                      statistics.samples, histogram.count(), histogram.zeros());
  text += fmt::format("      \"bin-width\": {},\n", histogram.bin_width());
  text += fmt::format("      \"negative\": \"{}\",\n", counts_text(histogram.negative()));
  text += fmt::format("      \"positive\": \"{}\"", counts_text(histogram.positive()));
  if (statistics.channels.empty()) return text + "\n";
  const ChannelStatistics channels = statistics.channels.statistics();
  text += fmt::format(
      ",\n      \"channels\": {{\"axis\": {}, \"positions\": {},\n        \"min\": {},\n        "
      "\"max\": {},\n        \"mean\": {},\n        \"mean-square\": {}}}\n",
      statistics.channel_axis, statistics.channels.positions(), list(channels.min),
      list(channels.max), list(channels.mean), list(channels.mean_square));
  return text;
}

/// Reads one table; errors name the file and the value.
class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  Table read(std::string_view text) {
    try {
      return table(Json::parse(text));
    } catch (const Json::exception& error) {
      // "[json.exception.parse_error.101] parse error at line 3, column 5: ..."
      std::string what = error.what();
      if (const size_t end = what.find("] "); end != std::string::npos) what = what.substr(end + 2);
      fail((place_.empty() ? "" : "value '" + place_ + "': ") + what);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ErrorCode::kData, file_ + ": not a calibration table: " + problem)
        .hint("make one with: mcompress calibrate MODEL --data calibration=FILE -o TABLE");
  }
  [[noreturn]] void fail_value(const std::string& problem) const {
    throw Error(ErrorCode::kData, file_ + ": value '" + place_ + "': " + problem);
  }

  Table table(const Json& json) {
    if (!json.is_object() || json.value("format", "") != kFormat) {
      fail(fmt::format("it has no \"format\": \"{}\"", kFormat));
    }
    const auto version = json.at("version").get<int64_t>();
    if (version != kVersion) {
      throw Error(ErrorCode::kData, fmt::format("{}: is of version {}, this program reads {}",
                                                file_, version, kVersion))
          .hint("make it anew with mcompress calibrate");
    }
    Table table;
    const Json& model = json.at("model");
    table.fingerprint = model.at("fingerprint").get<std::string>();
    table.model = model.value("file", "");
    table.steps = model.value("steps", std::vector<std::string>{});
    table.data = json.value("data", std::vector<std::string>{});
    const Json& ranges = json.at("ranges");
    table.options.method = method(ranges.at("method").get<std::string>());
    table.options.percentile = ranges.value("percentile", table.options.percentile);
    table.options.bits = ranges.value("bits", table.options.bits);
    table.options.symmetric = ranges.value("symmetric", false);
    if (table.options.bits < 2 || table.options.bits > 16) {
      fail(fmt::format("\"bits\" is {}, outside 2..16", table.options.bits));
    }
    if (!(table.options.percentile > 0 && table.options.percentile <= 100)) {
      fail(fmt::format("\"percentile\" is {}, outside 0..100", table.options.percentile));
    }
    for (const auto& [name, entry] : json.at("values").items()) {
      place_ = name;
      table.values[name] = value(entry);
    }
    return table;
  }

  RangeMethod method(const std::string& name) const {
    const auto found = method_of(name);
    if (!found) fail("unknown method '" + name + "'");
    return *found;
  }

  TableValue value(const Json& json) {
    TableValue value;
    value.range.low = json.at("range").at(0).get<float>();
    value.range.high = json.at("range").at(1).get<float>();
    check_range(value.range);
    const std::string how = json.value("method", "edited");
    value.edited = how == "edited";
    if (!value.edited) value.range.method = method(how);
    if (json.contains("min")) value.statistics = statistics(json);
    value.edited = value.edited || value.statistics.histogram.empty() || !json.contains("chosen") ||
                   json.at("chosen") != json.at("range");
    if (value.edited && value.range.low == value.range.high) {
      fail_value(fmt::format("the range [{0}, {0}] leaves nothing of it", value.range.low));
    }
    return value;
  }

  void check_range(const ChosenRange& range) const {
    if (!std::isfinite(range.low) || !std::isfinite(range.high) || range.low > range.high) {
      fail_value(fmt::format("the range [{}, {}] is none", range.low, range.high));
    }
    if (range.low > 0 || range.high < 0) {
      throw Error(ErrorCode::kData, fmt::format("{}: value '{}': the range [{}, {}] is without 0",
                                                file_, place_, range.low, range.high))
          .hint(
              fmt::format("write [{}, {}]", std::min(range.low, 0.0f), std::max(range.high, 0.0f)));
    }
  }

  ValueStatistics statistics(const Json& json) const {
    ValueStatistics result;
    numerics::MinMax extent;
    extent.min = json.at("min").get<float>();
    extent.max = json.at("max").get<float>();
    if (!std::isfinite(extent.min) || !std::isfinite(extent.max) || extent.empty()) {
      fail_value(fmt::format("min {} and max {} are no extremes", extent.min, extent.max));
    }
    try {
      result.histogram = numerics::Histogram::restore(
          json.at("bin-width").get<double>(), counts(json, "positive", extent.max > 0),
          counts(json, "negative", extent.min < 0), json.at("zeros").get<int64_t>(), extent);
      const Json& moving = json.at("moving-average");
      result.moving =
          numerics::MovingRange::restore(moving.at(0).get<float>(), moving.at(1).get<float>());
      result.samples = json.at("samples").get<uint64_t>();
      if (json.contains("channels")) {
        const Json& channels = json.at("channels");
        result.channel_axis = channels.at("axis").get<int>();
        result.channels = ChannelSums::restore(
            {.mean = channels.at("mean").get<std::vector<double>>(),
             .mean_square = channels.at("mean-square").get<std::vector<double>>(),
             .min = channels.at("min").get<std::vector<float>>(),
             .max = channels.at("max").get<std::vector<float>>()},
            channels.at("positions").get<int64_t>());
      }
    } catch (const Error& error) {
      fail_value(error.message());
    }
    if (json.at("count").get<int64_t>() != result.histogram.count()) {
      fail_value(fmt::format("\"count\" is {}, its bins hold {}", json.at("count").get<int64_t>(),
                             result.histogram.count()));
    }
    return result;
  }

  std::vector<int64_t> counts(const Json& json, const char* side, bool is_used) const {
    const std::string text = json.at(side).get<std::string>();
    std::vector<int64_t> result;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at < end) {
      int64_t count = 0, times = 1;
      auto parsed = std::from_chars(at, end, count);
      if (parsed.ec == std::errc() && parsed.ptr < end && *parsed.ptr == '*') {
        parsed = std::from_chars(parsed.ptr + 1, end, times);
      }
      const bool fits = parsed.ec == std::errc() && times > 0 &&
                        result.size() + static_cast<size_t>(times) <= numerics::Histogram::kBins &&
                        (parsed.ptr == end || *parsed.ptr == ' ');
      if (!fits) {
        fail_value(
            fmt::format("\"{}\": cannot be read from '{}'", side,
                        std::string(at, std::min<size_t>(20, static_cast<size_t>(end - at)))));
      }
      result.insert(result.end(), static_cast<size_t>(times), count);
      at = parsed.ptr == end ? end : parsed.ptr + 1;
    }
    if (is_used) result.resize(numerics::Histogram::kBins, 0);
    return result;
  }

  std::string file_;
  std::string place_;
};

}  // namespace

std::string write_table(const Table& table) {
  std::vector<std::string> steps, data;
  for (const auto& step : table.steps) steps.push_back(quoted(step));
  for (const auto& one : table.data) data.push_back(quoted(one));
  std::string text = fmt::format(
      "{{\n  \"format\": \"{}\",\n  \"version\": {},\n"
      "  \"about\": \"Ranges of activations. A 'range' edited here wins over the statistics below "
      "it; use the table as option 'table' of quantize-static.\",\n",
      kFormat, kVersion);
  text += fmt::format(
      "  \"model\": {{\n    \"file\": {},\n    \"fingerprint\": \"{}\",\n    \"steps\": {}\n  "
      "}},\n",
      quoted(table.model), table.fingerprint, list(steps));
  text += fmt::format("  \"data\": {},\n", list(data));
  text += fmt::format(
      "  \"ranges\": {{\"method\": \"{}\", \"percentile\": {}, \"bits\": {}, \"symmetric\": "
      "{}}},\n",
      method_name(table.options.method), table.options.percentile, table.options.bits,
      table.options.symmetric);
  text += "  \"values\": {";
  bool first = true;
  for (const auto& [name, value] : table.values) {
    text +=
        fmt::format("{}\n    {}: {{\n{}    }}", first ? "" : ",", quoted(name), value_text(value));
    first = false;
  }
  return text + (first ? "}\n}\n" : "\n  }\n}\n");
}

Table read_table(std::string_view text, const std::string& file) { return Reader(file).read(text); }

void choose_ranges(Table& table, const RangeOptions& options,
                   const std::map<std::string, std::vector<double>>& energies) {
  table.options = options;
  static const std::vector<double> kUnknown;
  std::vector<std::pair<TableValue*, const std::vector<double>*>> work;
  for (auto& [name, value] : table.values) {
    if (value.edited || value.statistics.histogram.empty()) continue;
    const auto energy = energies.find(name);
    work.emplace_back(&value, energy == energies.end() ? &kUnknown : &energy->second);
  }
  parallel_for(0, static_cast<int64_t>(work.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      auto& [value, energy] = work[i];
      value->range = choose_range(value->statistics, options, *energy);
    }
  });
}

void merge_table(Table& table, const Table& other, const std::string& file) {
  if (table.fingerprint != other.fingerprint) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: made for another model: its fingerprint is {}, not {}", file,
                            other.fingerprint, table.fingerprint))
        .hint("tables can be merged that were made for the same model and the same steps");
  }
  table.data.insert(table.data.end(), other.data.begin(), other.data.end());
  for (const auto& [name, value] : other.values) {
    const auto [place, is_new] = table.values.try_emplace(name, value);
    if (is_new) continue;
    place->second.statistics.merge(value.statistics);
    if (!value.edited) continue;
    place->second.range = value.range;
    place->second.edited = true;
  }
}

}  // namespace mcompress::calibration
