// SPDX-License-Identifier: Apache-2.0
#include "numerics/entropy.h"

#include <array>
#include <cmath>

namespace mcompress::numerics {
namespace {

std::array<int64_t, 256> count_codes(std::span<const uint8_t> codes) {
  std::array<int64_t, 256> counts{};
  for (const uint8_t code : codes) ++counts[code];
  return counts;
}

}  // namespace

double entropy_bits(std::span<const int64_t> counts) {
  double total = 0;
  for (const int64_t count : counts) total += static_cast<double>(count);
  double bits = 0;
  for (const int64_t count : counts) {
    const auto n = static_cast<double>(count);
    if (count > 0) bits += n * std::log2(total / n);
  }
  return bits;
}

double entropy_bits(std::span<const uint8_t> codes) { return entropy_bits(count_codes(codes)); }

SparseBound sparse_bound(std::span<const uint8_t> codes) {
  const std::array<int64_t, 256> counts = count_codes(codes);
  SparseBound bound;
  bound.survivors = static_cast<int64_t>(codes.size()) - counts[0];
  bound.position_bits = entropy_bits(std::array<int64_t, 2>{counts[0], bound.survivors});
  bound.value_bits = entropy_bits(std::span<const int64_t>(counts).subspan(1));
  return bound;
}

}  // namespace mcompress::numerics
