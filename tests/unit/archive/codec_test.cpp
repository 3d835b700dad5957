// SPDX-License-Identifier: Apache-2.0
#include "archive/codec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "archive/mixing.h"
#include "archive/symbol_model.h"
#include "mcompress/error.h"
#include "support/hash.h"
#include "tests/support/noise.h"

namespace mcompress::archive {
namespace {

/// Pruned at random, `density` in 1/1000, values of unequal frequency.
std::vector<uint16_t> sparse_symbols(size_t count, uint32_t density, uint32_t alphabet) {
  test::Noise numbers(count + density);
  std::vector<uint16_t> symbols(count);
  for (auto& symbol : symbols) {
    if (numbers.below(1000) >= density) continue;
    symbol = static_cast<uint16_t>(
        1 + std::min(numbers.below(alphabet - 1), numbers.below(alphabet - 1)));
  }
  return symbols;
}

double order0_bytes(const std::vector<uint16_t>& symbols) {
  std::vector<double> counts(65536);
  for (const uint16_t symbol : symbols) ++counts[symbol];
  double bits = 0;
  for (const double count : counts) {
    if (count > 0) bits -= count * std::log2(count / static_cast<double>(symbols.size()));
  }
  return bits / 8;
}

TEST(Mixing, TablesAreInverse) {
  EXPECT_EQ(squash(0), 32768U);
  for (int x = -2000; x <= 2000; x += 7) {
    const double exact = 65536 / (1 + std::exp(-x / 256.0));
    EXPECT_NEAR(squash(x), exact, 2 + exact * 1e-4) << x;
    EXPECT_EQ(squash(x) + squash(-x), 65536U);
  }
  for (size_t p = 8; p < 4088; ++p) {
    const double share = (static_cast<double>(p) + 0.5) / 4096;
    EXPECT_NEAR(detail::kStretch[p], 256 * std::log(share / (1 - share)), 4 + 1 / share / 3) << p;
  }
}

TEST(SymbolModel, GivesBackWhatItGot) {
  for (const uint32_t alphabet : {2U, 3U, 16U, 17U, 256U, 65536U}) {
    for (const uint32_t density : {0U, 20U, 500U, 1000U}) {
      for (const uint64_t width : {1U, 7U, 300U, 100000U}) {
        const auto symbols = sparse_symbols(4000, density, std::max(alphabet, 3U) - 1);
        if (alphabet == 2 && density > 0) continue;
        const SymbolShape shape{symbols.size(), alphabet, width};
        EXPECT_EQ(decode_symbols(encode_symbols(symbols, shape), shape), symbols)
            << alphabet << ' ' << density << ' ' << width;
      }
    }
  }
}

TEST(SymbolModel, EmptyAndSingle) {
  const SymbolShape none{0, 16, 1};
  EXPECT_TRUE(decode_symbols(encode_symbols(std::span<const uint16_t>(), none), none).empty());
  const std::vector<uint16_t> one{9};
  const SymbolShape shape{1, 16, 1};
  EXPECT_EQ(decode_symbols(encode_symbols(one, shape), shape), one);
}

TEST(SymbolModel, RandomPositionsCostTheirEntropy) {
  for (const uint32_t density : {50U, 100U, 300U}) {
    const auto symbols = sparse_symbols(200000, density, 16);
    const auto coded = encode_symbols(symbols, {symbols.size(), 16, 500});
    EXPECT_LE(static_cast<double>(coded.size()), 1.02 * order0_bytes(symbols)) << density;
  }
}

TEST(SymbolModel, RowsAndColumnsThatDifferCostLess) {
  test::Noise numbers(3);
  std::vector<uint16_t> symbols(200000);
  for (size_t i = 0; i < symbols.size(); ++i) {
    const uint32_t density = (i % 400) % 20 == 0 ? 600 : 30;
    if (numbers.below(1000) < density) symbols[i] = static_cast<uint16_t>(1 + numbers.below(15));
  }
  const auto coded = encode_symbols(symbols, {symbols.size(), 16, 400});
  EXPECT_LE(static_cast<double>(coded.size()), 0.9 * order0_bytes(symbols));
}

// The archive of one machine is read on another: the coder's bytes are fixed for good.
TEST(SymbolModel, Golden) {
  const auto symbols = sparse_symbols(50000, 100, 16);
  const auto hash = [](const std::vector<std::byte>& coded) {
    return support::hash128(std::span(coded)).hex();
  };
  EXPECT_EQ(hash(encode_symbols(symbols, {symbols.size(), 16, 250})),
            "0a7ed13b615e1f8b17af636c204763e9");
  std::vector<uint8_t> bytes;
  test::Noise numbers(1);
  for (int i = 0; i < 20000; ++i) {
    bytes.push_back(static_cast<uint8_t>(numbers.below(16) * numbers.below(16)));
  }
  EXPECT_EQ(hash(encode_order0(bytes)), "fa2aa3c6b3212e044ed2986c15af91b6");
  EXPECT_EQ(hash(encode_symbols(bytes, {bytes.size(), 256, 100})),
            "04cc2119782d34b29abe766c336dfd30");
}

TEST(SymbolModel, AStreamThatEndsEarlyIsNoticed) {
  const auto symbols = sparse_symbols(50000, 100, 16);
  const SymbolShape shape{symbols.size(), 16, 250};
  auto coded = encode_symbols(symbols, shape);
  coded.resize(coded.size() / 2);
  EXPECT_THROW(decode_symbols(coded, shape), Error);
  EXPECT_THROW(decode_symbols({}, {uint64_t{1} << 40, 16, 250}), Error);
}

std::vector<std::byte> as_bytes(const std::string& text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

void expect_coded(const std::vector<std::byte>& bytes, const CodecHints& hints) {
  const CodedBytes coded = encode_bytes(bytes, hints);
  EXPECT_LE(coded.bytes.size(), bytes.size());
  std::vector<std::byte> back(bytes.size());
  decode_bytes(coded.coder, coded.bytes, hints.row_length, back);
  EXPECT_EQ(back, bytes);
}

TEST(Codec, EveryCoderIsChosenSomewhere) {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "the same words again and again " + std::to_string(i % 7);
  EXPECT_EQ(encode_bytes(as_bytes(text), {}).coder, Coder::kZstd);
  expect_coded(as_bytes(text), {});

  test::Noise numbers(5);
  std::string random, skewed, rows;
  for (int i = 0; i < 100000; ++i) {
    random.push_back(static_cast<char>(numbers.below(256)));
    skewed.push_back(static_cast<char>(numbers.below(16) * numbers.below(16)));
    rows.push_back(static_cast<char>(numbers.below(i % 100 < 50 ? 4 : 128)));
  }
  EXPECT_EQ(encode_bytes(as_bytes(random), {}).coder, Coder::kRaw);
  EXPECT_EQ(encode_bytes(as_bytes(skewed), {}).coder, Coder::kOrder0);
  EXPECT_EQ(encode_bytes(as_bytes(rows), {.row_length = 100, .matrix = true}).coder,
            Coder::kMixing);
  for (const auto& bytes : {random, skewed, rows, std::string(), std::string("x")}) {
    expect_coded(as_bytes(bytes), {.row_length = 100, .matrix = true});
  }
}

TEST(Codec, ImpossibleLengthsAreRefusedBeforehand) {
  EXPECT_THROW(check_stream(Coder::kRaw, 10, 11), Error);
  EXPECT_THROW(check_stream(Coder::kZstd, 0, 1), Error);
  EXPECT_THROW(check_stream(Coder::kOrder0, 10, uint64_t{1} << 40), Error);
  EXPECT_THROW(check_stream(static_cast<Coder>(9), 10, 10), Error);
  std::vector<std::byte> out(100);
  EXPECT_THROW(decode_bytes(Coder::kZstd, as_bytes("no frame"), 1, out), Error);
}

}  // namespace
}  // namespace mcompress::archive
