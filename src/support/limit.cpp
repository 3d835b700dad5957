// SPDX-License-Identifier: Apache-2.0
#include "support/limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace mcompress {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

struct Amount {
  double value = 0;
  std::string_view unit;
};

std::optional<Amount> split_amount(std::string_view text) {
  text = trim(text);
  Amount amount;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, amount.value);
  if (error != std::errc() || !std::isfinite(amount.value)) return std::nullopt;
  amount.unit = trim({rest, static_cast<size_t>(end - rest)});
  return amount;
}

struct UnitName {
  std::string_view name;
  Limit::Unit unit;
  double scale;
};

constexpr double kKibi = 1024;
constexpr std::array kUnits{
    UnitName{"", Limit::Unit::kNone, 1},
    UnitName{"pt", Limit::Unit::kPoints, 0.01},
    UnitName{"points", Limit::Unit::kPoints, 0.01},
    UnitName{"%", Limit::Unit::kPercent, 0.01},
    UnitName{"dB", Limit::Unit::kDecibels, 1},
    UnitName{"B", Limit::Unit::kBytes, 1},
    UnitName{"kB", Limit::Unit::kBytes, 1e3},
    UnitName{"KB", Limit::Unit::kBytes, 1e3},
    UnitName{"MB", Limit::Unit::kBytes, 1e6},
    UnitName{"GB", Limit::Unit::kBytes, 1e9},
    UnitName{"KiB", Limit::Unit::kBytes, kKibi},
    UnitName{"MiB", Limit::Unit::kBytes, kKibi* kKibi},
    UnitName{"GiB", Limit::Unit::kBytes, kKibi* kKibi* kKibi},
    UnitName{"us", Limit::Unit::kMilliseconds, 1e-3},
    UnitName{"ms", Limit::Unit::kMilliseconds, 1},
    UnitName{"s", Limit::Unit::kMilliseconds, 1e3},
};

const UnitName* find_unit(std::string_view name) {
  const auto* found = std::find_if(kUnits.begin(), kUnits.end(),
                                   [&](const UnitName& unit) { return unit.name == name; });
  return found == kUnits.end() ? nullptr : found;
}

struct QuantityRule {
  std::string_view quantity;
  std::array<Limit::Unit, 3> units;
  bool at_most;
  bool either_way;
  bool negative;
  std::string_view example;
};

constexpr std::array kRules{
    QuantityRule{"metric-drop",
                 {Limit::Unit::kPoints, Limit::Unit::kPercent, Limit::Unit::kDecibels},
                 true,
                 false,
                 true,
                 "<= 0.5 pt or <= 2 %"},
    QuantityRule{"metric",
                 {Limit::Unit::kNone, Limit::Unit::kPercent, Limit::Unit::kDecibels},
                 false,
                 true,
                 true,
                 ">= 97 % or <= 0.02"},
    QuantityRule{"size",
                 {Limit::Unit::kPercent, Limit::Unit::kBytes, Limit::Unit::kBytes},
                 true,
                 false,
                 false,
                 "<= 25 % or <= 2 MB"},
    QuantityRule{"latency",
                 {Limit::Unit::kPercent, Limit::Unit::kMilliseconds, Limit::Unit::kMilliseconds},
                 true,
                 false,
                 false,
                 "<= 60 % or <= 5 ms"},
    QuantityRule{"memory",
                 {Limit::Unit::kPercent, Limit::Unit::kBytes, Limit::Unit::kBytes},
                 true,
                 false,
                 false,
                 "<= 50 % or <= 100 MB"},
};

const QuantityRule* find_rule(std::string_view quantity) {
  const auto* found = std::find_if(kRules.begin(), kRules.end(), [&](const QuantityRule& rule) {
    return rule.quantity == quantity;
  });
  return found == kRules.end() ? nullptr : found;
}

std::optional<double> parse_with(std::string_view text, Limit::Unit wanted, bool plain) {
  const std::optional<Amount> amount = split_amount(text);
  if (!amount) return std::nullopt;
  const UnitName* unit = find_unit(amount->unit);
  if (unit == nullptr || (unit->unit != wanted && !(plain && unit->unit == Limit::Unit::kNone))) {
    return std::nullopt;
  }
  return amount->value * unit->scale;
}

}  // namespace

std::optional<Limit> parse_limit(std::string_view quantity, std::string_view text,
                                 std::string* problem) {
  const QuantityRule* rule = find_rule(quantity);
  if (rule == nullptr) {
    *problem = fmt::format("'{}' is not a quantity that can be limited", quantity);
    return std::nullopt;
  }
  const auto fail = [&] {
    *problem = fmt::format("'{}' is not a limit on {}; for example {}", trim(text), quantity,
                           rule->example);
    return std::nullopt;
  };
  Limit limit;
  limit.at_most = rule->at_most;
  std::string_view rest = trim(text);
  const bool at_most = rest.starts_with("<=");
  if (at_most || rest.starts_with(">=")) {
    if (at_most != rule->at_most && !rule->either_way) return fail();
    limit.at_most = at_most;
    rest.remove_prefix(2);
  }
  const std::optional<Amount> amount = split_amount(rest);
  if (!amount) return fail();
  const UnitName* unit = find_unit(amount->unit);
  if (unit == nullptr ||
      std::find(rule->units.begin(), rule->units.end(), unit->unit) == rule->units.end()) {
    return fail();
  }
  if (amount->value < 0 && !rule->negative) return fail();
  limit.value = amount->value * unit->scale;
  limit.unit = unit->unit;
  return limit;
}

std::optional<double> parse_bytes(std::string_view text) {
  return parse_with(text, Limit::Unit::kBytes, true);
}

std::optional<double> parse_milliseconds(std::string_view text) {
  return parse_with(text, Limit::Unit::kMilliseconds, false);
}

}  // namespace mcompress
