// SPDX-License-Identifier: Apache-2.0
#include "archive/symbols.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mcompress::archive {
namespace {

/// The runtime folds no tensor above 1 GiB, so no encoding has more elements than that.
constexpr uint64_t kMaxSymbols = uint64_t{1} << 29;
constexpr uint64_t kMaxWidth = uint64_t{1} << 24;

uint64_t read_word(const std::byte* at, uint32_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, at, bytes);  // little-endian, as ONNX's raw_data and every supported target
  return word;
}

/// Calls visit(digit) for every digit of a payload.
template <class Visit>
void for_each_digit(const WordLayout& layout, std::span<const std::byte> payload, Visit visit) {
  for (size_t at = 0; at + layout.bytes <= payload.size(); at += layout.bytes) {
    uint64_t rest = read_word(payload.data() + at, layout.bytes);
    for (uint32_t j = 0; j + 1 < layout.per_word; ++j) {
      visit(rest % layout.radix);
      rest /= layout.radix;
    }
    visit(rest);
  }
}

/// Packs digits into a payload of a size known before.
class WordWriter {
 public:
  WordWriter(const WordLayout& layout, uint64_t size) : layout_(layout), bytes_(size) {}

  /// False where the payload is full.
  bool push(uint64_t digit) {
    if (at_ + layout_.bytes > bytes_.size()) return false;
    word_ += digit * power_;
    power_ *= layout_.radix;
    if (++digits_ == layout_.per_word) {
      std::memcpy(bytes_.data() + at_, &word_, layout_.bytes);
      at_ += layout_.bytes;
      word_ = 0;
      power_ = 1;
      digits_ = 0;
    }
    return true;
  }
  bool full() const { return at_ + layout_.bytes > bytes_.size() && digits_ == 0; }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  WordLayout layout_;
  std::vector<std::byte> bytes_;
  size_t at_ = 0;
  uint64_t word_ = 0, power_ = 1;
  uint32_t digits_ = 0;
};

std::optional<std::vector<uint16_t>> digits_to_symbols(const SymbolLayout& layout,
                                                       std::span<const std::byte> payload) {
  std::vector<uint16_t> symbols;
  symbols.reserve(layout.symbols(payload.size()));
  bool fits = true;
  for_each_digit(layout.digits, payload, [&](uint64_t digit) {
    fits = fits && digit < layout.digits.radix;
    symbols.push_back(static_cast<uint16_t>(digit));
  });
  if (!fits) return std::nullopt;
  return symbols;
}

std::optional<std::vector<uint16_t>> gaps_to_symbols(const SymbolLayout& layout,
                                                     std::span<const std::byte> payload) {
  std::vector<uint16_t> symbols(layout.count);
  uint64_t position = 0;
  bool fits = true;
  for_each_digit(layout.digits, payload, [&](uint64_t entry) {
    position += entry / layout.codes;
    fits = fits && position < layout.count;
    if (fits && entry % layout.codes != 0) {
      symbols[position] = static_cast<uint16_t>(entry % layout.codes);
    }
  });
  if (!fits) return std::nullopt;
  return symbols;
}

std::optional<std::vector<uint16_t>> mask_to_symbols(
    const SymbolLayout& layout, std::span<const std::span<const std::byte>> payloads) {
  auto symbols = digits_to_symbols(layout, payloads[0]);
  if (!symbols || !layout.survivors) return symbols;
  size_t at = 0;
  bool first = true, fits = true;
  for_each_digit(*layout.survivors, payloads[1], [&](uint64_t code) {
    if (std::exchange(first, false)) return;  // stands for the zeros
    while (at < symbols->size() && (*symbols)[at] == 0) ++at;
    if (at == symbols->size()) return;
    fits = fits && code != 0 && code < layout.survivors->radix;
    (*symbols)[at++] = static_cast<uint16_t>(code);
  });
  while (at < symbols->size() && (*symbols)[at] == 0) ++at;
  if (!fits || at != symbols->size()) return std::nullopt;
  return symbols;
}

std::optional<Payloads> symbols_to_digits(const SymbolLayout& layout,
                                          std::span<const uint16_t> symbols, uint64_t size) {
  WordWriter writer(layout.digits, size);
  for (const uint16_t symbol : symbols) {
    if (symbol >= layout.digits.radix || !writer.push(symbol)) return std::nullopt;
  }
  if (!writer.full()) return std::nullopt;
  return Payloads{writer.take()};
}

/// Distances below `reach`, fillers of reach - 1 and code 0 before longer ones; the last word is
/// filled up with the last entry at distance 0.
std::optional<Payloads> symbols_to_gaps(const SymbolLayout& layout,
                                        std::span<const uint16_t> symbols, uint64_t size) {
  const uint64_t reach = layout.digits.radix / layout.codes;
  WordWriter writer(layout.digits, size);
  uint64_t position = 0, last = 0;
  for (uint64_t at = 0; at < symbols.size(); ++at) {
    if (symbols[at] == 0) continue;
    if (symbols[at] >= layout.codes) return std::nullopt;
    for (; at - position >= reach; position += reach - 1) {
      if (!writer.push((reach - 1) * layout.codes)) return std::nullopt;
    }
    last = symbols[at];
    if (!writer.push((at - position) * layout.codes + last)) return std::nullopt;
    position = at;
  }
  for (uint32_t i = 0; i < layout.digits.per_word && !writer.full(); ++i) writer.push(last);
  if (!writer.full()) return std::nullopt;
  return Payloads{writer.take()};
}

std::optional<Payloads> symbols_to_mask(const SymbolLayout& layout,
                                        std::span<const uint16_t> symbols,
                                        std::span<const uint64_t> sizes) {
  WordWriter mask(layout.digits, sizes[0]);
  for (const uint16_t symbol : symbols) {
    if (!mask.push(symbol != 0 ? 1 : 0)) return std::nullopt;
  }
  if (!mask.full()) return std::nullopt;
  Payloads result{mask.take()};
  if (!layout.survivors) return result;
  WordWriter codes(*layout.survivors, sizes[1]);
  codes.push(0);
  for (const uint16_t symbol : symbols) {
    if (symbol == 0) continue;
    if (symbol >= layout.survivors->radix || !codes.push(symbol)) return std::nullopt;
  }
  for (uint32_t i = 0; i < layout.survivors->per_word && !codes.full(); ++i) codes.push(0);
  if (!codes.full()) return std::nullopt;
  result.push_back(codes.take());
  return result;
}

}  // namespace

bool WordLayout::valid() const {
  if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) return false;
  if (radix < 2 || per_word < 1 || per_word > 64) return false;
  // Signed words keep their top bit clear; unsigned ones of 8 bytes do not occur.
  const uint64_t most = bytes == 8 ? ~uint64_t{0} >> 1 : (uint64_t{1} << (8 * bytes)) - 1;
  uint64_t left = most;
  for (uint32_t i = 0; i < per_word; ++i) {
    if (i + 1 == per_word && left >= radix - 1) return true;
    left /= radix;
    if (left == 0) return false;
  }
  return true;
}

uint32_t SymbolLayout::alphabet() const {
  const uint64_t radix = form == SymbolForm::kGap ? codes
                         : survivors              ? survivors->radix
                                                  : digits.radix;
  return static_cast<uint32_t>(radix);
}

uint64_t SymbolLayout::symbols(uint64_t bytes) const {
  if (form == SymbolForm::kGap) return count;
  return bytes / digits.bytes * digits.per_word;
}

bool SymbolLayout::valid() const {
  if (!digits.valid() || (survivors && !survivors->valid())) return false;
  if (width < 1 || width > kMaxWidth || count > kMaxSymbols) return false;
  switch (form) {
    case SymbolForm::kDigits:
      return !survivors && digits.radix <= 65536;
    case SymbolForm::kGap:
      return !survivors && codes >= 2 && codes <= 65536 && digits.radix / codes >= 2;
    case SymbolForm::kMask:
      return digits.radix == 2 && (!survivors || survivors->radix <= 65536);
  }
  return false;
}

std::optional<std::vector<uint16_t>> to_symbols(
    const SymbolLayout& layout, std::span<const std::span<const std::byte>> payloads) {
  if (!layout.valid() || payloads.size() != layout.payloads()) return std::nullopt;
  std::optional<std::vector<uint16_t>> symbols;
  switch (layout.form) {
    case SymbolForm::kDigits:
      symbols = digits_to_symbols(layout, payloads[0]);
      break;
    case SymbolForm::kGap:
      symbols = gaps_to_symbols(layout, payloads[0]);
      break;
    case SymbolForm::kMask:
      symbols = mask_to_symbols(layout, payloads);
      break;
  }
  if (!symbols) return std::nullopt;
  std::vector<uint64_t> sizes;
  for (const auto& payload : payloads) sizes.push_back(payload.size());
  const auto back = from_symbols(layout, *symbols, sizes);
  if (!back) return std::nullopt;
  for (size_t i = 0; i < payloads.size(); ++i) {
    if (!std::equal(payloads[i].begin(), payloads[i].end(), (*back)[i].begin())) {
      return std::nullopt;
    }
  }
  return symbols;
}

std::optional<Payloads> from_symbols(const SymbolLayout& layout, std::span<const uint16_t> symbols,
                                     std::span<const uint64_t> sizes) {
  switch (layout.form) {
    case SymbolForm::kDigits:
      return symbols_to_digits(layout, symbols, sizes[0]);
    case SymbolForm::kGap:
      return symbols_to_gaps(layout, symbols, sizes[0]);
    case SymbolForm::kMask:
      return symbols_to_mask(layout, symbols, sizes);
  }
  return std::nullopt;
}

std::vector<std::byte> to_planes(std::span<const std::byte> bytes, size_t width) {
  std::vector<std::byte> planes(bytes.size());
  const size_t count = bytes.size() / width;
  for (size_t plane = 0; plane < width; ++plane) {
    for (size_t i = 0; i < count; ++i) planes[plane * count + i] = bytes[i * width + plane];
  }
  return planes;
}

void from_planes(std::span<const std::byte> planes, size_t width, std::span<std::byte> out) {
  const size_t count = out.size() / width;
  for (size_t plane = 0; plane < width; ++plane) {
    for (size_t i = 0; i < count; ++i) out[i * width + plane] = planes[plane * count + i];
  }
}

}  // namespace mcompress::archive
