// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "numerics/reduction_layout.h"

namespace mcompress::numerics {

/// Kernels for x86 without VNNI add two products of neighbouring inputs in 16 bits, which saturates
/// unless two weights of a pair that have the same sign satisfy |a + b| <= 128 (algorithms.md
/// section 3, reduce_range). Pairs are inputs (2i, 2i + 1) in the order k = tap * channels +
/// channel, which is what kernels add up in; where the number of channels is odd and there are
/// several taps, kernels differ in what they pair, so all neighbours are.
int64_t count_pair_violations(std::span<const int8_t> weights, const ReductionLayout& layout);

/// Makes the weights obey the pair rule by moving the members of violating pairs towards 0, so that
/// the sum of importance * change^2 is least for each pair. `importance` is empty (all equal),
/// holds one value per k, or one per weight (at the weight's place). Returns how many weights
/// changed.
int64_t enforce_pair_rule(std::span<int8_t> weights, const ReductionLayout& layout,
                          std::span<const float> importance = {});

/// The inputs that share a pair with each input, -1 for none. Inputs count as channel * taps + tap,
/// the order of im2col.
std::vector<std::array<int64_t, 2>> pair_partners(int64_t channels, int64_t taps);

/// The largest magnitude that a code of the sign of `code` may have beside `partner`.
int pair_limit(int code, int partner);

}  // namespace mcompress::numerics
