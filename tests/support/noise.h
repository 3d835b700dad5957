// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "mcompress/tensor.h"

namespace mcompress::test {

/// Numbers that are the same everywhere, from a seed, unlike the standard library's distributions.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed) {}
  uint64_t below(uint64_t limit) { return bits(31) % limit; }
  double uniform() {  // -1 to 1
    return static_cast<double>(bits(31)) / static_cast<double>(1 << 30) - 1;
  }
  float next() {  // about normal
    float sum = 0;
    for (int i = 0; i < 4; ++i) {
      sum += static_cast<float>(bits(24)) / static_cast<float>(1 << 24) - 0.5F;
    }
    return 1.7F * sum;
  }
  Tensor tensor(Shape shape, float scale) {
    std::vector<float> values(static_cast<size_t>(element_count(shape)));
    for (float& v : values) v = scale * next();
    return Tensor::from<float>(std::move(shape), values);
  }

 private:
  uint64_t bits(int count) {  // the highest of the state: the lowest repeat soon
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return state_ >> (64 - count);
  }
  uint64_t state_;
};

}  // namespace mcompress::test
