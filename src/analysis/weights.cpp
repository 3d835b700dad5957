// SPDX-License-Identifier: Apache-2.0
#include "analysis/weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
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

/// In counters as wide as an element, side by side: that is what the compiler makes vectors of.
template <class T>
uint64_t count_zeros(std::span<const T> values) {
  using Counter = std::conditional_t<sizeof(T) == 1, uint8_t, uint32_t>;
  constexpr size_t kLanes = 64;
  constexpr size_t kRows = 255;  // what the narrowest counter can hold
  uint64_t zeros = 0;
  size_t at = 0;
  while (values.size() - at >= kLanes) {
    const size_t rows = std::min(kRows, (values.size() - at) / kLanes);
    Counter lanes[kLanes] = {};
    for (size_t row = 0; row < rows; ++row, at += kLanes) {
      const T* const part = values.data() + at;
      for (size_t i = 0; i < kLanes; ++i) {
        lanes[i] = static_cast<Counter>(lanes[i] + (part[i] == T{0} ? 1 : 0));
      }
    }
    for (const Counter lane : lanes) zeros += lane;
  }
  for (; at < values.size(); ++at) zeros += values[at] == T{0} ? 1 : 0;
  return zeros;
}

/// NaN counts.
template <class T>
uint64_t count_nonzeros(std::span<const T> values) {
  std::atomic<uint64_t> zeros = 0;
  parallel_for(0, static_cast<int64_t>(values.size()), kCountBlock, [&](int64_t begin, int64_t end) {
    zeros += count_zeros(
        values.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  });
  return values.size() - zeros;
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
    figures.nans = static_cast<uint64_t>(not_numbers);
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

namespace {

/// Of types that are counted in pieces.
uint64_t count_nonzeros(DataType type, std::span<const std::byte> bytes) {
  const auto count = [&](auto element) {
    using T = decltype(element);
    return count_nonzeros(
        std::span(reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)));
  };
  if (type == DataType::kFloat) return count(float{});
  return type == DataType::kInt8 ? count(int8_t{}) : count(uint8_t{});
}

bool counts_in_pieces(DataType type) {
  return type == DataType::kFloat || type == DataType::kInt8 || type == DataType::kUint8;
}

}  // namespace

uint64_t count_nonzeros(const ValueRef& constant) {
  const DataType type = constant.constant_type();
  if (const auto known = ir::known_nonzeros(constant)) return *known;
  std::atomic<uint64_t> count = 0;
  const bool counted =
      counts_in_pieces(type) && ir::for_each_piece(constant, [&](std::span<const std::byte> bytes) {
        count += count_nonzeros(type, bytes);
      });
  if (!counted) {
    const auto tensor = constant.constant();
    return tensor ? count_nonzeros(*tensor) : 0;
  }
  ir::remember_nonzeros(constant, count);
  return count;
}

support::Hash128 hash_and_count(const Model& model, const std::filesystem::path& path) {
  std::map<std::pair<const Graph*, std::string>, std::pair<ValueRef, uint64_t>> counts;
  const auto hash =
      ir::read_file_once(model, path, [&](const ValueRef& constant, std::span<const std::byte> piece) {
        if (!counts_in_pieces(constant.constant_type())) return;
        auto& [value, count] = counts[{&constant.scope(), constant.name()}];
        value = constant;
        count += count_nonzeros(constant.constant_type(), piece);
      });
  for (const auto& [key, counted] : counts) ir::remember_nonzeros(counted.first, counted.second);
  return hash;
}

}  // namespace mcompress::analysis
