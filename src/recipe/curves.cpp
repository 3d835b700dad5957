// SPDX-License-Identifier: Apache-2.0
#include "recipe/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace mcompress {
namespace {

std::optional<double> number_of(const ConfigValue* value) {
  if (value == nullptr || value->kind != ConfigValue::Kind::kScalar) return std::nullopt;
  double number = 0;
  const char* last = value->scalar.data() + value->scalar.size();
  const auto [rest, error] = std::from_chars(value->scalar.data(), last, number);
  if (error != std::errc() || rest != last) return std::nullopt;
  return number;
}

double along(const std::string& curve, double from, double to, double t) {
  if (curve == "cubic") return to + (from - to) * std::pow(1 - t, 3);
  if (curve == "exponential" && from * to > 0) return from * std::pow(to / from, t);
  return from + (to - from) * t;
}

/// Where on which curve.
struct Point {
  std::string curve;
  double t = 0;
  bool whole = false;
};

ConfigValue between(const ConfigValue& from_value, const ConfigValue& to_value, const Point& point,
                    const SourceLocation& where) {
  const std::optional<double> from = number_of(&from_value);
  const std::optional<double> to = number_of(&to_value);
  ConfigValue result;
  result.where = where;
  if (!from || !to) return result;
  double number = along(point.curve, *from, *to, point.t);
  if (point.whole) number = std::round(number);
  result.kind = ConfigValue::Kind::kScalar;
  result.scalar = fmt::format("{}", number);
  return result;
}

/// One number stands for all entries of the other end.
const ConfigValue& entry_of(const ConfigValue& end, size_t i) {
  return end.kind == ConfigValue::Kind::kList ? end.list.at(i) : end;
}

ConfigValue resolved(const ConfigValue& curve, int round, int rounds) {
  const ConfigValue* from_value = curve.find("from");
  const ConfigValue* to_value = curve.find("to");
  // The ends keep their text, so that an error in it is told as it was written.
  if (from_value != nullptr && round == 0 && rounds > 1) return *from_value;
  if (to_value != nullptr && round >= rounds - 1) return *to_value;
  ConfigValue result;
  result.where = curve.where;
  if (from_value == nullptr || to_value == nullptr) return result;
  const ConfigValue* kind = curve.find("curve");
  const Point point = {.curve = kind == nullptr ? "linear" : kind->scalar,
                       .t = static_cast<double>(round) / (rounds - 1),
                       .whole = curve.find(kWholeMark) != nullptr};
  const size_t length = curve_length(curve);
  if (length == 0) return between(*from_value, *to_value, point, curve.where);
  result.kind = ConfigValue::Kind::kList;
  for (size_t i = 0; i < length; ++i) {
    result.list.push_back(
        between(entry_of(*from_value, i), entry_of(*to_value, i), point, curve.where));
  }
  return result;
}

}  // namespace

bool is_curve(const ConfigValue& value) {
  return value.kind == ConfigValue::Kind::kMap &&
         (value.find("from") != nullptr || value.find("to") != nullptr);
}

size_t curve_length(const ConfigValue& curve) {
  size_t length = 0;
  for (const char* const name : {"from", "to"}) {
    const ConfigValue* const end = curve.find(name);
    if (end == nullptr || end->kind != ConfigValue::Kind::kList) continue;
    length = length == 0 ? end->list.size() : std::min(length, end->list.size());
  }
  return length;
}

StepSpec resolve_curves(const StepSpec& step, int round, int rounds) {
  StepSpec result = step;
  for (ConfigValue::Entry& entry : result.options.map) {
    if (is_curve(entry.value)) entry.value = resolved(entry.value, round, rounds);
  }
  return result;
}

}  // namespace mcompress
