// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "mcompress/recipe.h"

namespace mcompress {

/// Key that the reader adds to the curve of an option that is a whole number; not written in
/// recipes.
inline constexpr std::string_view kWholeMark = " whole";

/// True for {from: a, to: b, curve: linear | cubic | exponential}: a number that changes over the
/// rounds of a `repeat`. Of an option that takes a list, either end may be a list: each entry has a
/// curve of its own, and one number at the other end is that of all.
bool is_curve(const ConfigValue& value);
/// Entries that both ends have; 0 where the curve is one number.
size_t curve_length(const ConfigValue& curve);

/// The step as it is in `round` (from 0) of `rounds`: every curve among its options replaced by a
/// number. With t = round / (rounds - 1), 1 when there is one round only:
///   linear       from + (to - from) t
///   cubic        to + (from - to) (1 - t)^3      (Zhu and Gupta 2017)
///   exponential  from (to / from)^t              (both of one sign; else linear)
/// so that the first round has exactly `from` and the last exactly `to`. Options that are whole
/// numbers get whole numbers.
StepSpec resolve_curves(const StepSpec& step, int round, int rounds);

}  // namespace mcompress
