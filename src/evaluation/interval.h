// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace mcompress::evaluation {

struct Interval {
  double low = 0, high = 0;
};

/// 97.5 % quantile of the normal distribution.
constexpr double kZ95 = 1.959963984540054;

/// Wilson's score interval for `hits` of `count` (E. B. Wilson 1927); {0, 1} for count 0.
Interval wilson(double hits, double count);

/// mean +- z * s / sqrt(n) over the spread of `values`; of one value or none it is the whole line.
Interval normal_around(double mean, std::span<const double> values);

/// Difference of two proportions on the same samples, `worse` of which went from 1 to 0 and
/// `better` from 0 to 1: Agresti and Min (2005), half a sample added to each of the four cells, so
/// that no change at all still leaves an interval.
Interval paired_proportions(double worse, double better, double count);

}  // namespace mcompress::evaluation
