// SPDX-License-Identifier: Apache-2.0
#include "analysis/weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <vector>

#include "ir/contents.h"
#include "numerics/entropy.h"
#include "support/parallel_for.h"

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

constexpr int64_t kCountBlock = int64_t{1} << 20;

/// NaN counts.
template <class T>
uint64_t count_nonzeros(std::span<const T> values) {
  std::atomic<uint64_t> count = 0;
  parallel_for(0, static_cast<int64_t>(values.size()), kCountBlock,
               [&](int64_t begin, int64_t end) {
                 uint64_t zeros = 0;
                 // Short sums in a narrow type are what the compiler makes vectors of.
                 for (int64_t at = begin; at < end;) {
                   const int64_t stop = std::min(at + 4096, end);
                   uint32_t some = 0;
                   for (; at < stop; ++at)
                     some += values[static_cast<size_t>(at)] == T{0} ? 1U : 0U;
                   zeros += some;
                 }
                 count += static_cast<uint64_t>(end - begin) - zeros;
               });
  return count;
}

}  // namespace

WeightFigures weight_figures(const Tensor& weight) {
  WeightFigures figures;
  figures.count = static_cast<uint64_t>(weight.count());
  with_floats(weight, [&figures](std::span<const float> values) {
    std::unordered_map<float, int64_t> seen;
    int64_t not_numbers = 0;
    bool overflow = false;
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (const float v : values) {
      if (v != 0.0F) ++figures.nonzeros;
      if (std::isnan(v)) {
        ++not_numbers;
        continue;
      }
      low = std::min(low, v);
      high = std::max(high, v);
      if (overflow) continue;
      ++seen[v];  // -0 and 0 compare and hash alike
      overflow = seen.size() > kMostDistinct;
    }
    if (low <= high) {
      figures.min = low;
      figures.max = high;
    }
    const uint64_t distinct = seen.size() + (not_numbers > 0 ? 1 : 0);
    figures.distinct = overflow || distinct > kMostDistinct ? 0 : distinct;
    if (figures.distinct == 0) return;
    std::vector<int64_t> counts{not_numbers};
    for (const auto& [value, times] : seen) counts.push_back(times);
    std::sort(counts.begin(), counts.end());  // the order of the sum must not depend on the hash
    figures.entropy_bits = numerics::entropy_bits(counts) / static_cast<double>(values.size());
  });
  return figures;
}

uint64_t count_nonzeros(const Tensor& weight) {
  if (weight.type() == DataType::kFloat) return count_nonzeros(weight.as<float>());
  if (weight.type() == DataType::kInt8) return count_nonzeros(weight.as<int8_t>());
  if (weight.type() == DataType::kUint8) return count_nonzeros(weight.as<uint8_t>());
  const std::vector<float> values = weight.to_float();
  return count_nonzeros(std::span<const float>(values));
}

uint64_t count_nonzeros(const ValueRef& constant) {
  std::atomic<uint64_t> count = 0;
  const auto add = [&](auto type) {
    using T = decltype(type);
    return ir::for_each_piece(constant, [&](std::span<const std::byte> bytes) {
      count += count_nonzeros(std::span(reinterpret_cast<const T*>(bytes.data()),
                                        bytes.size() / sizeof(T)));
    });
  };
  const DataType type = constant.constant_type();
  if (type == DataType::kFloat && add(float{})) return count;
  if (type == DataType::kInt8 && add(int8_t{})) return count;
  if (type == DataType::kUint8 && add(uint8_t{})) return count;
  const auto tensor = constant.constant();
  return tensor ? count_nonzeros(*tensor) : 0;
}

}  // namespace mcompress::analysis
