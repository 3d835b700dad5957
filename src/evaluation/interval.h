// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/statistics.h"

namespace mcompress::evaluation {

/// Difference of two proportions on the same samples, `worse` of which went from 1 to 0 and
/// `better` from 0 to 1: Agresti and Min (2005), half a sample added to each of the four cells, so
/// that no change at all still leaves an interval. The value is the plain difference.
numerics::Estimate paired_proportions(double worse, double better, double count);

}  // namespace mcompress::evaluation
