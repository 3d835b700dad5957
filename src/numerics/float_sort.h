// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace mcompress::numerics {

/// A value and what travels with it.
struct WeightedValue {
  float value;
  float weight;
};

struct IndexedValue {
  float value;
  uint32_t index;
};

/// Ascending order in O(n) (radix sort, three passes); -0 comes before +0, NaN at the ends. Takes
/// as much scratch memory as the input. Equal values keep their order.
void sort_floats(std::vector<float>& values);
void sort_by_value(std::vector<WeightedValue>& values);
void sort_by_value(std::vector<IndexedValue>& values);

}  // namespace mcompress::numerics
