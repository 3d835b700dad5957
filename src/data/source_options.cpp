// SPDX-License-Identifier: Apache-2.0
#include "data/source_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "data/names.h"
#include "mcompress/data_options.h"
#include "mcompress/error.h"
#include "support/did_you_mean.h"

namespace mcompress {
namespace {

constexpr DataOption kLimit{"limit", "read the first N samples only"};
constexpr DataOption kScale{"scale",
                            "multiply stored values: a number or a fraction such as 1/255"};
constexpr DataOption kShift{"shift", "add after scaling"};
constexpr DataOption kMean{"mean", "subtract after shifting: a number, or one per channel"};
constexpr DataOption kStd{"std", "divide by, last: a number, or one per channel"};
constexpr DataOption kLayout{"layout", "axis order of the model's input: nchw or nhwc"};
constexpr DataOption kInput{"input", "model input that scale, shift, mean and std are for"};

struct KindOptions {
  std::string_view kind;
  std::vector<DataOption> options;
};

const std::vector<KindOptions>& table() {
  static const std::vector<KindOptions> kTable = {
      {"npz",
       {kLimit,
        {"labels", "key of the labels in the file, or none"},
        kScale,
        kShift,
        kMean,
        kStd,
        kLayout,
        kInput}},
      {"npy", {kLimit, kScale, kShift, kMean, kStd, kLayout, kInput}},
      {"idx", {kLimit, kScale, kShift, kMean, kStd, kLayout, kInput}},
      {"images",
       {kLimit,
        kScale,
        kShift,
        kMean,
        kStd,
        {"resize", "N: short side; [height, width]: both; bilinear"},
        {"crop", "centre crop: N or [height, width]"},
        {"layout",
         "axis order of the model's input: nchw or nhwc; class-folders or flat says how labels are "
         "stored"},
        {"labels", "auto, class-folders or none"},
        {"colors", "rgb, bgr or gray"}}},
      {"csv",
       {kLimit,
        {"label", "column of the labels: a name, a number from 0, or none"},
        {"delimiter", "comma, semicolon, tab or space"},
        {"header", "auto, yes or no"},
        kScale,
        kShift,
        kMean,
        kStd,
        kLayout,
        kInput}},
      {"onnx-tests", {kLimit, {"labels", "outputs (the stored outputs are the truth) or none"}}},
      {"random",
       {{"count", "samples to make"},
        {"limit", "same as count"},
        {"seed", "of the random numbers"},
        {"low", "least value; with high: uniform"},
        {"high", "largest value of uniform numbers, exclusive for integers"},
        {"mean", "of normal numbers"},
        {"std", "of normal numbers"},
        {"dims", "sizes of symbolic dimensions: NAME=SIZE, ..."}}},
  };
  return kTable;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<double> parse_plain(std::string_view text) {
  text = trimmed(text);
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

std::optional<double> parse_number(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return parse_plain(text);
  const auto over = parse_plain(text.substr(0, slash)), under = parse_plain(text.substr(slash + 1));
  if (!over || !under || *under == 0) return std::nullopt;
  return *over / *under;
}

/// Items of "[a, b]", "a, b" or "a".
std::vector<std::string_view> split_list(std::string_view text) {
  text = trimmed(text);
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = trimmed(text.substr(1, text.size() - 2));
  }
  std::vector<std::string_view> items;
  for (;;) {
    const size_t comma = text.find(',');
    items.push_back(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

std::span<const std::string_view> data_kinds() {
  static constexpr std::string_view kKinds[] = {"npz", "npy",        "idx",   "images",
                                                "csv", "onnx-tests", "random"};
  return kKinds;
}

std::span<const DataOption> data_options(std::string_view kind) {
  for (const KindOptions& row : table()) {
    if (row.kind == kind) return row.options;
  }
  return {};
}

namespace data {

SourceOptions::SourceOptions(const DataSource& source, std::string_view kind)
    : source_(source), kind_(kind) {
  std::vector<std::string> known;
  for (const DataOption& option : data_options(kind)) known.emplace_back(option.name);
  for (const auto& [name, value] : source.options) {
    if (std::ranges::find(known, name) != known.end()) continue;
    throw Error(ErrorCode::kRecipe,
                fmt::format("{}: '{}' is no option of {} data", source.origin, name, kind))
        .hint(did_you_mean(name, known));
  }
}

bool SourceOptions::has(const std::string& name) const { return source_.options.count(name) != 0; }

std::string SourceOptions::text(const std::string& name, const std::string& fallback) const {
  const auto at = source_.options.find(name);
  return at == source_.options.end() ? fallback : std::string(trimmed(at->second));
}

void SourceOptions::fail(const std::string& name, std::string_view expected) const {
  throw Error(ErrorCode::kRecipe, fmt::format("{}: '{}' is '{}', expected {}", source_.origin, name,
                                              source_.options.at(name), expected));
}

std::string SourceOptions::choice(const std::string& name, const std::vector<std::string>& choices,
                                  const std::string& fallback) const {
  const std::string value = text(name, fallback);
  if (std::ranges::find(choices, value) == choices.end()) {
    fail(name, "one of " + list_names(choices, 99));
  }
  return value;
}

std::optional<double> SourceOptions::number(const std::string& name) const {
  if (!has(name)) return std::nullopt;
  const auto value = parse_number(text(name, ""));
  if (!value) fail(name, "a number or a fraction such as 1/255");
  return value;
}

std::optional<int64_t> SourceOptions::integer(const std::string& name, int64_t least) const {
  if (!has(name)) return std::nullopt;
  const std::string value = text(name, "");
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < least) {
    fail(name, fmt::format("an integer of at least {}", least));
  }
  return number;
}

std::vector<double> SourceOptions::numbers(const std::string& name) const {
  std::vector<double> values;
  if (!has(name)) return values;
  const std::string list = text(name, "");
  for (const std::string_view item : split_list(list)) {
    const auto value = parse_number(item);
    if (!value) fail(name, "a number or a list of numbers");
    values.push_back(*value);
  }
  return values;
}

std::optional<std::pair<int64_t, int64_t>> SourceOptions::height_width(const std::string& name,
                                                                       bool& single) const {
  if (!has(name)) return std::nullopt;
  std::string value = text(name, "");
  std::ranges::replace(value, 'x', ',');
  std::vector<int64_t> sides;
  for (const std::string_view item : split_list(value)) {
    int64_t side = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), side);
    if (error != std::errc() || end != item.data() + item.size() || side < 1 || side > 65536) {
      fail(name, "an integer, or [height, width]");
    }
    sides.push_back(side);
  }
  single = sides.size() == 1;
  if (sides.size() > 2) fail(name, "an integer, or [height, width]");
  return std::pair(sides.front(), sides.back());
}

}  // namespace data

std::string data_option_problem(const std::string& name, const std::string& value) {
  DataSource source;
  source.options[name] = value;
  for (const std::string_view kind : data_kinds()) {
    const auto options = data_options(kind);
    if (std::none_of(options.begin(), options.end(),
                     [&](const DataOption& option) { return option.name == name; })) {
      continue;
    }
    try {
      const data::SourceOptions read(source, kind);
      bool single = false;
      if (name == "limit" || name == "count") read.integer(name, 1);
      if (name == "seed") read.integer(name, 0);
      if (name == "scale" || name == "shift" || name == "low" || name == "high") read.number(name);
      if (name == "mean" || name == "std") read.numbers(name);
      if (name == "resize" || name == "crop") read.height_width(name, single);
    } catch (const Error& error) {
      return error.message().substr(std::string_view(": ").size());
    }
    return "";
  }
  return "";
}

}  // namespace mcompress
