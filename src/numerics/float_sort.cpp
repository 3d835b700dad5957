// SPDX-License-Identifier: Apache-2.0
#include "numerics/float_sort.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace mcompress::numerics {
namespace {

constexpr int kDigitBits = 11;
constexpr size_t kDigits = size_t{1} << kDigitBits;

// Maps the bits of a float to an unsigned key of the same order.
uint32_t ordered_key(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

template <class Item, class Value>
void radix_sort(std::vector<Item>& items, Value value_of) {
  std::vector<Item> scratch(items.size());
  std::array<std::array<size_t, kDigits>, 3> counts{};
  const auto digit = [](uint32_t key, int pass) { return (key >> (pass * kDigitBits)) % kDigits; };
  for (const Item& item : items) {
    const uint32_t key = ordered_key(value_of(item));
    for (int pass = 0; pass < 3; ++pass) ++counts[static_cast<size_t>(pass)][digit(key, pass)];
  }
  for (int pass = 0; pass < 3; ++pass) {
    std::array<size_t, kDigits>& starts = counts[static_cast<size_t>(pass)];
    size_t next = 0;
    for (size_t& start : starts) {
      const size_t count = start;
      start = next;
      next += count;
    }
    for (const Item& item : items) {
      scratch[starts[digit(ordered_key(value_of(item)), pass)]++] = item;
    }
    items.swap(scratch);
  }
}

}  // namespace

void sort_floats(std::vector<float>& values) {
  radix_sort(values, [](float value) { return value; });
}

void sort_by_value(std::vector<WeightedValue>& values) {
  radix_sort(values, [](const WeightedValue& item) { return item.value; });
}

void sort_by_value(std::vector<IndexedValue>& values) {
  radix_sort(values, [](const IndexedValue& item) { return item.value; });
}

}  // namespace mcompress::numerics
