// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace mcompress::archive {

/// Little-endian words that hold `per_word` digits below `radix` each, lowest digit first
/// (forms/digits.h).
struct WordLayout {
  uint32_t bytes = 1;  ///< 1, 2, 4, 8
  uint64_t radix = 256;
  uint32_t per_word = 1;

  uint64_t words(uint64_t digits) const { return (digits + per_word - 1) / per_word; }
  /// A full word of digits fits into `bytes`.
  bool valid() const;
};

/// What the payloads of encode-weights stand for: one matrix of symbols, 0 meaning zero.
enum class SymbolForm : uint8_t {
  kDigits = 0,  ///< one payload: a digit is a symbol
  kGap = 1,     ///< one payload: digit = distance * codes + code (forms/gap.cpp)
  kMask = 2,    ///< bits of a mask; with `survivors`, a second payload of codes (forms/bitmask.cpp)
};
struct SymbolLayout {
  SymbolForm form = SymbolForm::kDigits;
  WordLayout digits;
  std::optional<WordLayout> survivors = {};
  uint64_t codes = 2;  ///< of a gap form
  uint64_t count = 0;  ///< symbols of a gap form; the others follow from the payload
  uint64_t width = 1;  ///< symbols of a row

  uint64_t payloads() const { return survivors ? 2 : 1; }
  uint32_t alphabet() const;
  /// Symbols of a payload of `bytes` (the first one).
  uint64_t symbols(uint64_t bytes) const;
  /// Everything is within the limits of the format.
  bool valid() const;
};

using Payloads = std::vector<std::vector<std::byte>>;

/// Symbols from which `from_symbols` makes these very payloads; empty where there are none.
std::optional<std::vector<uint16_t>> to_symbols(
    const SymbolLayout& layout, std::span<const std::span<const std::byte>> payloads);
/// Payloads of exactly `sizes` bytes; empty where the symbols do not fit them.
std::optional<Payloads> from_symbols(const SymbolLayout& layout, std::span<const uint16_t> symbols,
                                     std::span<const uint64_t> sizes);

/// Byte i of every element, for each i: planes of a matrix of `width`-byte elements. The size of
/// `bytes` is a multiple of `width`.
std::vector<std::byte> to_planes(std::span<const std::byte> bytes, size_t width);
void from_planes(std::span<const std::byte> planes, size_t width, std::span<std::byte> out);

}  // namespace mcompress::archive
