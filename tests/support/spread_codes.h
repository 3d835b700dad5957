// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "mcompress/tensor.h"

namespace mcompress::test {

/// Signed integers of `bits` bits, all of them in an order that repeats nowhere soon.
inline Tensor spread_codes(const Shape& shape, int bits) {
  Tensor codes(DataType::kInt8, shape);
  const int half = 1 << (bits - 1);
  int i = 0;
  for (int8_t& code : codes.mutate_as<int8_t>()) {
    code = static_cast<int8_t>((i * 37 + i / 11) % (2 * half) - half);
    ++i;
  }
  return codes;
}

}  // namespace mcompress::test
