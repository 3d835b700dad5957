// SPDX-License-Identifier: Apache-2.0
#include "analysis/weights.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>
#include <vector>

namespace mcompress::analysis {
namespace {

constexpr size_t kMostDistinct = 65536;

/// Calls `visit` with the elements as float, without a copy where they are floats already.
template <class Visit>
void with_floats(const Tensor& tensor, Visit visit) {
  if (tensor.type() == DataType::kFloat) {
    visit(tensor.as<float>());
  } else {
    const std::vector<float> values = tensor.to_float();
    visit(std::span<const float>(values));
  }
}

}  // namespace

WeightFigures weight_figures(const Tensor& weight) {
  WeightFigures figures;
  figures.count = static_cast<uint64_t>(weight.count());
  with_floats(weight, [&figures](std::span<const float> values) {
    std::unordered_set<float> seen;
    bool has_nan = false, overflow = false;
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (const float v : values) {
      if (v != 0.0F) ++figures.nonzeros;
      if (std::isnan(v)) {
        has_nan = true;
        continue;
      }
      low = std::min(low, v);
      high = std::max(high, v);
      if (overflow) continue;
      seen.insert(v);  // -0 and 0 compare and hash alike
      overflow = seen.size() > kMostDistinct;
    }
    if (low <= high) {
      figures.min = low;
      figures.max = high;
    }
    const uint64_t distinct = seen.size() + (has_nan ? 1 : 0);
    figures.distinct = overflow || distinct > kMostDistinct ? 0 : distinct;
  });
  return figures;
}

uint64_t count_nonzeros(const Tensor& weight) {
  uint64_t count = 0;
  with_floats(weight, [&count](std::span<const float> values) {
    count = static_cast<uint64_t>(
        std::count_if(values.begin(), values.end(), [](float v) { return v != 0.0F; }));
  });
  return count;
}

}  // namespace mcompress::analysis
