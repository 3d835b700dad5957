// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace mcompress::support {

/// Counter-based random numbers (SplitMix64): number `index` of stream `key` needs no state, so
/// samples can be drawn in any order by any thread. Streams of streams:
/// random_bits(random_bits(seed, step), sample).
inline uint64_t random_bits(uint64_t key, uint64_t index) {
  uint64_t z = key + (index + 1) * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

/// In [0, 1).
inline double random_unit(uint64_t key, uint64_t index) {
  return static_cast<double>(random_bits(key, index) >> 11) * 0x1.0p-53;
}

/// In 0..count - 1; `count` far below 2^32.
inline int64_t random_below(uint64_t key, uint64_t index, int64_t count) {
  return static_cast<int64_t>(((random_bits(key, index) >> 32) * static_cast<uint64_t>(count)) >>
                              32);
}

/// Normal with mean 0 and variance 1 (Box-Muller; takes numbers 2 * index and 2 * index + 1).
inline double random_normal(uint64_t key, uint64_t index) {
  const double radius = std::sqrt(-2 * std::log(1 - random_unit(key, 2 * index)));
  return radius * std::cos(2 * std::numbers::pi * random_unit(key, 2 * index + 1));
}

}  // namespace mcompress::support
