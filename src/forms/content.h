// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "mcompress/tensor.h"

namespace mcompress::forms {

/// Most distinct values of a codebook.
constexpr size_t kMaxCodes = 65536;

/// True for types whose constants the encodings store: floating point and 8-bit integers.
bool is_encodable(DataType type);

/// What the encodings need to know of a tensor. Values are told apart by their bits: -0.0 is not
/// 0.0, and each NaN is a value of its own. "Zero" means all bits zero.
struct Content {
  Tensor value;
  /// Distinct bit patterns: zero first where it occurs, then ascending; empty when there are more
  /// than kMaxCodes.
  std::vector<uint64_t> patterns;
  /// Index into `patterns` of each element; null without patterns.
  std::shared_ptr<const std::vector<uint16_t>> codes;
  int64_t zeros = 0;
  /// Distance from one non-zero to the next -> how often. The first counts from element 0.
  std::map<int64_t, int64_t> gaps;

  int64_t count() const { return value.count(); }
  int64_t nonzeros() const { return value.count() - zeros; }
  bool has_codes() const { return codes != nullptr; }
  size_t element_bytes() const { return value.byte_size() / static_cast<size_t>(value.count()); }
};

/// Reads `value` once. `value` must be encodable and not empty.
Content examine(const Tensor& value);

/// A tensor of rank 1 of `type` that holds these bit patterns.
Tensor pattern_tensor(DataType type, std::span<const uint64_t> patterns);

/// Calls fn with a span of unsigned integers as wide as the elements of `value`.
template <class Fn>
decltype(auto) with_patterns(const Tensor& value, Fn fn) {
  const std::byte* data = value.bytes().data();
  const auto count = static_cast<size_t>(value.count());
  switch (data_type_bits(value.type())) {
    case 8: return fn(std::span(reinterpret_cast<const uint8_t*>(data), count));
    case 16: return fn(std::span(reinterpret_cast<const uint16_t*>(data), count));
    case 32: return fn(std::span(reinterpret_cast<const uint32_t*>(data), count));
    default: return fn(std::span(reinterpret_cast<const uint64_t*>(data), count));
  }
}

}  // namespace mcompress::forms
