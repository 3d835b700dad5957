// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "mcompress/tensor.h"

namespace mcompress::testing {

/// Numbers that are the same everywhere, from a seed.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed) {}
  float next() {  // about normal
    float sum = 0;
    for (int i = 0; i < 4; ++i) {
      state_ = state_ * 6364136223846793005U + 1442695040888963407U;
      sum += static_cast<float>(state_ >> 40) / static_cast<float>(1 << 24) - 0.5F;
    }
    return 1.7F * sum;
  }
  Tensor tensor(Shape shape, float scale) {
    std::vector<float> values(static_cast<size_t>(element_count(shape)));
    for (float& v : values) v = scale * next();
    return Tensor::from<float>(std::move(shape), values);
  }
  int64_t below(int64_t limit) {
    next();
    return static_cast<int64_t>((state_ >> 33) % static_cast<uint64_t>(limit));
  }

 private:
  uint64_t state_;
};

}  // namespace mcompress::testing
