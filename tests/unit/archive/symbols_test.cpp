// SPDX-License-Identifier: Apache-2.0
#include "archive/symbols.h"

#include <gtest/gtest.h>

namespace mcompress::archive {
namespace {

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

std::optional<std::vector<uint16_t>> symbols_of(const SymbolLayout& layout,
                                                const Payloads& payloads) {
  const std::vector<std::span<const std::byte>> views(payloads.begin(), payloads.end());
  return to_symbols(layout, views);
}

using Symbols = std::vector<uint16_t>;

TEST(Symbols, DigitsOfAWord) {
  const SymbolLayout layout{.digits = {1, 3, 5}};
  // 1 + 2 * 3 + 0 + 1 * 27 + 2 * 81
  EXPECT_EQ(symbols_of(layout, {bytes_of({196})}), (Symbols{1, 2, 0, 1, 2}));
  EXPECT_FALSE(symbols_of(layout, {bytes_of({243})})) << "a last digit of 3";
}

TEST(Symbols, GapsWithFillers) {
  // Codes below 4, distances below 4: entry = distance * 4 + code, two to a word.
  const SymbolLayout layout{
      .form = SymbolForm::kGap, .digits = {1, 16, 2}, .codes = 4, .count = 12};
  // 3 at 0, 2 at 3, filler to 6, 1 at 8; filled up with (0, 1).
  const auto words = bytes_of({(0 * 4 + 3) + 16 * (3 * 4 + 2), (3 * 4 + 0) + 16 * (2 * 4 + 1)});
  EXPECT_EQ(symbols_of(layout, {words}), (Symbols{3, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0}));
  const auto odd = bytes_of({3 + 16 * 14, 12 + 16 * 9, 5 + 16 * 1});
  EXPECT_EQ(symbols_of(layout, {odd}), (Symbols{3, 0, 0, 2, 0, 0, 0, 0, 1, 1, 0, 0}));
  const auto other = bytes_of({3 + 16 * 14, 12 + 16 * 9, 5 + 16 * 2});
  EXPECT_FALSE(symbols_of(layout, {other})) << "a filling of another kind could not be restored";
  const auto beyond = bytes_of({12 + 16 * 12, 12 + 16 * 12});
  EXPECT_FALSE(symbols_of(layout, {beyond}));
}

TEST(Symbols, MaskAndSurvivors) {
  const SymbolLayout mask{.form = SymbolForm::kMask, .digits = {1, 2, 8}};
  EXPECT_EQ(symbols_of(mask, {bytes_of({0b10000101})}), (Symbols{1, 0, 1, 0, 0, 0, 0, 1}));
  const SymbolLayout both{
      .form = SymbolForm::kMask, .digits = {1, 2, 8}, .survivors = WordLayout{1, 4, 4}};
  // 0 3 1 2
  const auto codes = bytes_of({0 + 3 * 4 + 1 * 16 + 2 * 64});
  EXPECT_EQ(symbols_of(both, {bytes_of({0b10000101}), codes}), (Symbols{3, 0, 1, 0, 0, 0, 0, 2}));
  EXPECT_FALSE(symbols_of(both, {bytes_of({0b10000111}), codes})) << "a survivor without code";
  EXPECT_FALSE(symbols_of(both, {bytes_of({0b00000101}), codes})) << "a code too many";
}

TEST(Symbols, LayoutsThatCannotBe) {
  const auto valid = [](WordLayout words) { return SymbolLayout{.digits = words}.valid(); };
  EXPECT_TRUE(valid({1, 256, 1}));
  EXPECT_TRUE(valid({1, 2, 8}));
  EXPECT_TRUE(valid({8, 65536, 3}));
  EXPECT_FALSE(valid({1, 2, 9}));
  EXPECT_FALSE(valid({1, 257, 1}));
  EXPECT_FALSE(valid({3, 2, 1}));
  EXPECT_FALSE(valid({1, 1, 1}));
  EXPECT_FALSE(valid({1, 0, 1}));
  EXPECT_FALSE(valid({8, ~uint64_t{0}, 1}));
  EXPECT_FALSE((SymbolLayout{.form = SymbolForm::kGap, .digits = {1, 16, 2}, .codes = 9}).valid());
  EXPECT_FALSE((SymbolLayout{.digits = {}, .width = 0}).valid());
}

TEST(Symbols, SizesThatDoNotFit) {
  const SymbolLayout layout{.digits = {1, 4, 4}};
  const Symbols symbols{1, 2, 3, 0, 1};
  const std::vector<uint64_t> sizes{1}, other{2};
  EXPECT_FALSE(from_symbols(layout, symbols, sizes));
  EXPECT_FALSE(from_symbols(layout, symbols, other)) << "a word that is not full";
  EXPECT_FALSE(from_symbols(layout, Symbols{4, 0, 0, 0}, sizes));
}

TEST(Symbols, Planes) {
  const auto bytes = bytes_of({1, 2, 3, 4, 5, 6});
  const auto planes = to_planes(bytes, 3);
  EXPECT_EQ(planes, bytes_of({1, 4, 2, 5, 3, 6}));
  std::vector<std::byte> back(6);
  from_planes(planes, 3, back);
  EXPECT_EQ(back, bytes);
}

}  // namespace
}  // namespace mcompress::archive
