// SPDX-License-Identifier: Apache-2.0
#include "forms/content.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace mcompress::forms {
namespace {

/// Open addressing over bit patterns: several times faster than a node-based map on weights.
class PatternTable {
 public:
  /// `values`: how many are looked at. Twice as many slots as patterns that can be.
  explicit PatternTable(size_t values)
      : slot_bits_(static_cast<int>(std::bit_width(2 * std::min(values, kMaxCodes + 1)))),
        keys_(size_t{1} << slot_bits_),
        codes_(keys_.size(), kEmpty) {}

  /// Number of the pattern in order of first sight; -1 when it is one too many.
  int32_t insert(uint64_t pattern) {
    auto slot = static_cast<size_t>((pattern * 0x9E3779B97F4A7C15ULL) >> (64 - slot_bits_));
    while (codes_[slot] != kEmpty && keys_[slot] != pattern) slot = (slot + 1) & (keys_.size() - 1);
    if (codes_[slot] != kEmpty) return codes_[slot];
    if (order_.size() == kMaxCodes) return -1;
    keys_[slot] = pattern;
    codes_[slot] = static_cast<int32_t>(order_.size());
    order_.push_back(pattern);
    return codes_[slot];
  }
  const std::vector<uint64_t>& order() const { return order_; }

 private:
  static constexpr int32_t kEmpty = -1;
  int slot_bits_;
  std::vector<uint64_t> keys_;
  std::vector<int32_t> codes_;
  std::vector<uint64_t> order_;
};

template <class Word>
void find_codes(std::span<const Word> values, Content& content) {
  PatternTable table(values.size());
  auto codes = std::make_shared<std::vector<uint16_t>>(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const int32_t code = table.insert(values[i]);
    if (code < 0) return;
    (*codes)[i] = static_cast<uint16_t>(code);
  }
  content.patterns = table.order();
  std::sort(content.patterns.begin(), content.patterns.end());  // zero comes first by itself
  std::vector<uint16_t> rank(content.patterns.size());
  for (size_t i = 0; i < rank.size(); ++i) {
    const auto at = std::lower_bound(content.patterns.begin(), content.patterns.end(),
                                     table.order()[i]);
    rank[i] = static_cast<uint16_t>(at - content.patterns.begin());
  }
  for (uint16_t& code : *codes) code = rank[code];
  content.codes = std::move(codes);
}

template <class Word>
void find_gaps(std::span<const Word> values, Content& content) {
  size_t previous = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] == 0) {
      ++content.zeros;
      continue;
    }
    ++content.gaps[static_cast<int64_t>(i - previous)];
    previous = i;
  }
}

}  // namespace

bool is_encodable(DataType type) {
  return is_floating(type) || type == DataType::kInt8 || type == DataType::kUint8;
}

Content examine(const Tensor& value) {
  Content content;
  content.value = value;
  with_patterns(value, [&](auto values) {
    find_codes(values, content);
    find_gaps(values, content);
  });
  return content;
}

Tensor pattern_tensor(DataType type, std::span<const uint64_t> patterns) {
  Tensor result(type, {static_cast<int64_t>(patterns.size())});
  const auto width = static_cast<size_t>(data_type_bits(type)) / 8;
  std::byte* out = result.mutate().data();
  for (const uint64_t pattern : patterns) {
    std::memcpy(out, &pattern, width);  // little-endian: the low bytes come first
    out += width;
  }
  return result;
}

}  // namespace mcompress::forms
