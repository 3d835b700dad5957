// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace mcompress::numerics {

/// Shannon entropy of symbols that occur `counts` times, in bits for all of them together.
double entropy_bits(std::span<const int64_t> counts);

/// What an order-0 coder needs for the codes, in bits for all of them; its table is not included.
double entropy_bits(std::span<const uint8_t> codes);

/// Information in a sparse tensor of `codes`, code 0 meaning zero, in bits: where the survivors
/// are, n * H(density), and what they are, survivors * H(codes). No stored form that treats
/// positions as random gets below it. (algorithms.md section 4)
struct SparseBound {
  double position_bits = 0;
  double value_bits = 0;
  int64_t survivors = 0;

  double bits() const { return position_bits + value_bits; }
};
SparseBound sparse_bound(std::span<const uint8_t> codes);

}  // namespace mcompress::numerics
