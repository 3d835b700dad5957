// SPDX-License-Identifier: Apache-2.0
#include "evaluation/interval.h"

#include <algorithm>
#include <cmath>

namespace mcompress::evaluation {

numerics::Estimate paired_proportions(double worse, double better, double count) {
  constexpr double kNormal975 = 1.959963984540054;
  const double n = count + 2, b = worse + 0.5, c = better + 0.5;
  const double center = (b - c) / n;
  const double half = kNormal975 * std::sqrt(std::max(0.0, b + c - (b - c) * (b - c) / n)) / n;
  const double value = count > 0 ? (worse - better) / count : 0;
  // The adjusted centre moves towards 0; the interval always holds the estimate itself.
  return {value, std::max(-1.0, std::min(value, center - half)),
          std::min(1.0, std::max(value, center + half))};
}

}  // namespace mcompress::evaluation
