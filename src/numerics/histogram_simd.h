// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace mcompress::numerics::simd {

/// Places of a value among `bins` bins on each side of zero, the i-th of which is (i, i + 1] /
/// scale: 0 for zero, 1 + i for positive, 1 + bins + i for negative values, 1 + 2 * bins for NaN
/// and infinities. `scale` is a power of two, and |value| * scale <= bins.
void histogram_places(std::span<const float> values, float scale, int32_t bins,
                      std::span<int32_t> places);

}  // namespace mcompress::numerics::simd
