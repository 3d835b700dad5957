// SPDX-License-Identifier: Apache-2.0
#include "data/input_match.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "mcompress/error.h"

namespace mcompress::data {
namespace {

bool fits(std::span<const int64_t> have, std::span<const int64_t> wanted) {
  return have.size() == wanted.size() &&
         std::equal(have.begin(), have.end(), wanted.begin(),
                    [](int64_t a, int64_t b) { return b < 0 || a == b; });
}

void require_dimensions(const ValueInfo& input, const StoredArray& array, size_t array_axis,
                        size_t input_axis) {
  for (; input_axis < input.shape.size(); ++input_axis, ++array_axis) {
    const int64_t have = array.shape()[array_axis], wanted = input.shape[input_axis];
    if (wanted < 0 || have == wanted) continue;
    throw Error(ErrorCode::kData,
                fmt::format("{}: dimension {} is {} in {} {}, the model wants {} ({})", input.name,
                            input_axis, have, array.name(), to_string(array.shape()), wanted,
                            to_string(input.shape)));
  }
}

int64_t product(std::span<const int64_t> shape) {
  int64_t result = 1;
  for (const int64_t dimension : shape) result *= dimension;
  return result;
}

/// A shape of one sample that fits `wanted` and has the elements of `have`.
std::optional<Shape> fit_sample(std::span<const int64_t> have, std::span<const int64_t> wanted,
                                Layout layout) {
  if (fits(have, wanted)) return Shape(have.begin(), have.end());
  const bool is_static = std::ranges::all_of(wanted, [](int64_t d) { return d >= 0; });
  if (is_static) {
    if (product(wanted) != product(have)) return std::nullopt;
    return Shape(wanted.begin(), wanted.end());
  }
  if (wanted.size() == 1) return Shape{product(have)};
  Shape longer(have.begin(), have.end());
  longer.insert(layout == Layout::kNchw ? longer.begin() : longer.end(), 1);
  if (fits(longer, wanted)) return longer;
  Shape shorter;
  std::ranges::copy_if(have, std::back_inserter(shorter), [](int64_t d) { return d != 1; });
  if (fits(shorter, wanted)) return shorter;
  return std::nullopt;
}

}  // namespace

Feeding match_input(const ValueInfo& input, const StoredArray& array) {
  if (!is_feedable(input.type)) {
    throw Error(ErrorCode::kData, fmt::format("{}: inputs of type {} cannot be fed from data",
                                              input.name, data_type_name(input.type)));
  }
  const size_t rank = input.shape.size();
  const size_t have = array.shape().size();
  const bool one_value =
      have == 0 && input.has_shape && (rank == 0 || product(input.shape) == 1 || rank == 1);
  if (have == 0 && (one_value || !input.has_shape)) return Feeding::kConstant;
  if (!input.has_shape) return Feeding::kBatch;
  if (have == rank) {
    require_dimensions(input, array, 1, 1);
    return Feeding::kBatch;
  }
  if (have == rank + 1) {
    require_dimensions(input, array, 1, 0);
    return Feeding::kRows;
  }
  throw Error(ErrorCode::kData,
              fmt::format("{}: rank {} in {} {}, the model wants rank {} ({})", input.name, have,
                          array.name(), to_string(array.shape()), rank, to_string(input.shape)))
      .hint(fmt::format(
          "the first axis counts samples: save rank {}, or rank {} with a whole input per row",
          rank, rank + 1));
}

StoredArray fit_input(const ValueInfo& input, const StoredArray& array, Layout layout) {
  if (!input.has_shape || array.rank() == 0) return array;
  const std::span<const int64_t> sample = std::span(array.shape()).subspan(1);
  const std::span<const int64_t> wanted = input.shape;
  if (fits(sample, wanted) || wanted.empty()) return array;
  const auto shape = fit_sample(sample, wanted.subspan(1), layout);
  if (!shape) return array;
  Shape whole{array.shape()[0]};
  whole.insert(whole.end(), shape->begin(), shape->end());
  return array.reshaped(std::move(whole));
}

int64_t fixed_batch(const ValueInfo& input) {
  return input.has_shape && !input.shape.empty() && input.shape[0] > 0 ? input.shape[0] : 0;
}

bool is_feedable(DataType type) {
  switch (type) {
    case DataType::kFloat:
    case DataType::kDouble:
    case DataType::kFloat16:
    case DataType::kBfloat16:
    case DataType::kBool:
    case DataType::kUint8:
    case DataType::kInt8:
    case DataType::kUint16:
    case DataType::kInt16:
    case DataType::kUint32:
    case DataType::kInt32:
    case DataType::kUint64:
    case DataType::kInt64:
      return true;
    default:
      return false;
  }
}

}  // namespace mcompress::data
