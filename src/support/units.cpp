// SPDX-License-Identifier: Apache-2.0
#include "support/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace mcompress {
namespace {

struct Unit {
  double size;
  const char* name;
};

// Digits that leave three leading ones before the unit changes: 1.23, 12.3, 123.
int digits_for(double value) { return value < 9.995 ? 2 : value < 99.95 ? 1 : 0; }

// The largest unit in which the value, as printed, is at least 1.
template <size_t N>
std::string in_units(double value, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    const double scaled = value / unit.size;
    if (scaled >= 0.9995) return fmt::format("{:.{}f} {}", scaled, digits_for(scaled), unit.name);
  }
  return fmt::format("{:.0f}", value);
}

}  // namespace

int digits_that_differ(double a, double b, int least, int most) {
  if (!std::isfinite(a) || !std::isfinite(b) || a == b) return least;
  int digits = least;
  while (digits < most && format_fixed(a, digits) == format_fixed(b, digits)) ++digits;
  return digits;
}

std::string format_count(uint64_t count) {
  std::string text = std::to_string(count);
  for (size_t at = text.size(); at > 3;) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

std::string format_large_count(uint64_t count) {
  static constexpr std::array<Unit, 4> kUnits{{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  return in_units(static_cast<double>(count), kUnits);
}

std::string format_fixed(double value, int digits) {
  if (!std::isfinite(value)) return "?";
  std::string text = fmt::format("{:.{}f}", value, std::max(digits, 0));
  if (text.front() == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

std::string format_signed(double value, int digits) {
  std::string text = format_fixed(value, digits);
  const bool zero = text.find_first_not_of("0.") == std::string::npos;
  return value > 0 && !zero && text != "?" ? "+" + text : text;
}

std::string format_significant(double value, int digits) {
  if (!std::isfinite(value)) return "?";
  if (value == 0) return "0";
  const int exponent = static_cast<int>(std::floor(std::log10(std::fabs(value))));
  if (exponent < -4 || exponent > 9) return fmt::format("{:.{}e}", value, std::max(digits - 1, 0));
  return format_fixed(value, std::max(digits - 1 - exponent, 0));
}

std::string format_bytes(uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  // At least three leading digits: a change of one per cent shows in any size.
  static constexpr std::array<Unit, 4> kUnits{
      {{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}}};
  const auto value = static_cast<double>(bytes);
  for (const Unit& unit : kUnits) {
    const double scaled = value / unit.size;
    if (scaled < 0.99995) continue;
    return fmt::format("{:.{}f} {}", scaled, scaled < 99.995 ? 2 : 1, unit.name);
  }
  return std::to_string(bytes) + " B";
}

std::string format_milliseconds(double ms) {
  if (!std::isfinite(ms)) return "?";
  if (ms < 0) return "-" + format_milliseconds(-ms);
  static constexpr std::array<Unit, 3> kUnits{{{1e3, "s"}, {1, "ms"}, {1e-3, "us"}}};
  for (const Unit& unit : kUnits) {
    const double scaled = ms / unit.size;
    if (scaled >= 0.9995) return fmt::format("{:.{}f} {}", scaled, digits_for(scaled), unit.name);
  }
  return fmt::format("{:.2f} us", ms * 1e3);
}

std::string format_seconds(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  if (seconds < 0) return "-" + format_seconds(-seconds);
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const int64_t minutes = (whole + 30) / 60;
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

std::string format_percent(double share, int digits) {
  return format_fixed(share * 100, digits) + " %";
}

std::string format_ratio(double ratio) {
  return "x " + format_fixed(ratio, digits_that_differ(ratio, 1, 2, 4));
}

}  // namespace mcompress
