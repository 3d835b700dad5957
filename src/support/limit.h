// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace mcompress {

/// A limit of a gate, an `until` or a constraint as written in a recipe: "<= 0.5 pt", "25 %", "2
/// MB", "5 ms". The one parser of such texts: the reader checks with it, src/evaluation judges with
/// it.
struct Limit {
  enum class Unit {
    kNone,      ///< a plain number, in the metric's own unit
    kPoints,    ///< percentage points: value 0.005 for "0.5 pt"
    kPercent,   ///< a share: value 0.25 for "25 %", of the input model where that makes sense
    kDecibels,  ///< of metrics in dB: their value, or how much of it was lost
    kBytes,
    kMilliseconds,
  };
  bool at_most = true;  ///< "<=", the default; false: ">="
  double value = 0;
  Unit unit = Unit::kNone;
};

/// What a limit may be put on.
inline constexpr std::array<std::string_view, 5> kLimitQuantities{"metric-drop", "metric", "size",
                                                                  "latency", "memory"};

/// Reads `text` as a limit on `quantity`. Returns nothing and fills `problem` ("'5 potatoes' is not
/// a limit on size; for example <= 25 % or <= 2 MB") when it cannot. Units by quantity: metric-drop
/// pt, %, dB; metric none, %, dB; size and memory %, bytes (B, kB, MB, GB, KiB, MiB, GiB); latency
/// %, us, ms, s. Only `metric` and `metric-drop` take negative numbers, only `metric` may be ">="
/// (its default).
std::optional<Limit> parse_limit(std::string_view quantity, std::string_view text,
                                 std::string* problem);

/// "2 MB", "1.5 GiB", "812": bytes, or nothing.
std::optional<double> parse_bytes(std::string_view text);
/// "5 ms", "120 us", "2 s": milliseconds, or nothing.
std::optional<double> parse_milliseconds(std::string_view text);

}  // namespace mcompress
