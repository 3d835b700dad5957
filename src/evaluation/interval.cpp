// SPDX-License-Identifier: Apache-2.0
#include "evaluation/interval.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mcompress::evaluation {

Interval wilson(double hits, double count) {
  if (count <= 0) return {0, 1};
  const double z2 = kZ95 * kZ95, share = hits / count;
  const double center = (share + z2 / (2 * count)) / (1 + z2 / count);
  const double half =
      kZ95 / (1 + z2 / count) * std::sqrt(share * (1 - share) / count + z2 / (4 * count * count));
  // At the ends the formula is exact; rounding must not leave the value outside.
  return {hits <= 0 ? 0 : std::max(0.0, center - half),
          hits >= count ? 1 : std::min(1.0, center + half)};
}

Interval normal_around(double mean, std::span<const double> values) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (values.size() < 2) return {-kInfinity, kInfinity};
  const auto count = static_cast<double>(values.size());
  double center = 0;
  for (const double value : values) center += value / count;
  double squares = 0;
  for (const double value : values) squares += (value - center) * (value - center);
  const double half = kZ95 * std::sqrt(squares / (count - 1) / count);
  return {mean - half, mean + half};
}

Interval paired_proportions(double worse, double better, double count) {
  const double n = count + 2, b = worse + 0.5, c = better + 0.5;
  const double difference = (b - c) / n;
  const double half = kZ95 * std::sqrt(std::max(0.0, b + c - (b - c) * (b - c) / n)) / n;
  return {std::max(-1.0, difference - half), std::min(1.0, difference + half)};
}

}  // namespace mcompress::evaluation
