// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::numerics {

/// A one-to-one assignment of rows to columns of an n x n matrix with the largest sum of gains:
/// result[row] = column. Up to 1024 rows the optimum by shortest augmenting paths, O(n^3) (Jonker and
/// Volgenant 1987); above, the best pair that is left again and again, O(n^2 log n). Ties go to the
/// lower row, then column.
std::vector<int64_t> best_assignment(std::span<const float> gains, int64_t n);

}  // namespace mcompress::numerics
