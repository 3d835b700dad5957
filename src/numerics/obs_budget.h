// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::numerics {

/// Bits that `count` weights take in their smallest stored form when `density` of them are not zero,
/// at random places, and take one of `values` values (0: any float): plain, dense codes, a bitmask or
/// distances (src/forms), digits packed into words as there. What protobuf adds is left out.
double stored_bits(int64_t count, double density, int values);

/// One way to compress a unit: what it costs in the file and in accuracy.
struct BudgetOption {
  double cost = 0;
  double loss = 0;
};

/// One option for each unit so that the sum of costs is at most `budget` and the sum of losses small:
/// greedy by marginal gain on the lower convex hull of each unit's options, then whatever still fits
/// the rest. At most one step of one unit away from the optimum. Where even the cheapest options
/// exceed the budget, those. Ties go to the lower unit. (algorithms.md section 12)
std::vector<size_t> allocate_budget(std::span<const std::vector<BudgetOption>> units, double budget);

}  // namespace mcompress::numerics
