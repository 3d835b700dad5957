// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace mcompress::numerics {

/// Of a normal distribution; the same for the same seed.
inline std::vector<float> normal_values(int64_t count, float sigma, uint32_t seed, float mean = 0) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(mean, sigma);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

}  // namespace mcompress::numerics
