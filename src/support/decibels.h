// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

namespace mcompress {

/// What stands for no error at all.
inline constexpr double kMostDecibels = 200;

/// Size of an error beside its signal: 40 dB are 1 %.
inline double relative_error(double decibels) { return std::pow(10.0, -decibels / 20); }

/// The way back. An error of 0, or below it at the end of an interval, is none.
inline double decibels(double relative_error) {
  return relative_error > 0 ? std::min(kMostDecibels, -20 * std::log10(relative_error))
                            : kMostDecibels;
}

}  // namespace mcompress
