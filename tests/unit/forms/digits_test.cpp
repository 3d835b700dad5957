// SPDX-License-Identifier: Apache-2.0
#include "forms/digits.h"

#include <gtest/gtest.h>

namespace mcompress::forms {
namespace {

TEST(Digits, FillWordsToTheLastBit) {
  EXPECT_EQ(digits_per_word(DataType::kUint8, 2), 8);
  EXPECT_EQ(digits_per_word(DataType::kUint8, 3), 5);
  EXPECT_EQ(digits_per_word(DataType::kUint8, 256), 1);
  EXPECT_EQ(digits_per_word(DataType::kUint8, 257), 0);
  EXPECT_EQ(digits_per_word(DataType::kUint16, 40), 3);
  EXPECT_EQ(digits_per_word(DataType::kInt32, 2), 31);
  EXPECT_EQ(digits_per_word(DataType::kInt64, 2), 63);
  EXPECT_EQ(digits_per_word(DataType::kInt64, 10), 18);
}

TEST(Digits, LargestRadixIsTheInverse) {
  for (const DataType word : word_types()) {
    for (int64_t per_word = 1; per_word <= 20; ++per_word) {
      const int64_t radix = largest_radix(word, per_word);
      if (radix == 0) continue;
      EXPECT_GE(digits_per_word(word, radix), per_word);
      if (radix < int64_t{1} << 31) {  // a limit of its own
        EXPECT_LT(digits_per_word(word, radix + 1), per_word) << data_type_name(word) << per_word;
      }
    }
  }
  EXPECT_EQ(largest_radix(DataType::kUint8, 1), 256);
  EXPECT_EQ(largest_radix(DataType::kUint8, 2), 16);
  EXPECT_EQ(largest_radix(DataType::kUint8, 9), 0);
}

TEST(Digits, PackingPutsTheFirstDigitLowest) {
  const Tensor words = pack_digits({DataType::kUint8, 3, 5}, 7, {2, 1}, [](int64_t i) { return i % 3; });
  // 0 1 2 0 1 | 2 0 1 2 0
  EXPECT_EQ(words.as<uint8_t>()[0], 0 + 1 * 3 + 2 * 9 + 0 * 27 + 1 * 81);
  EXPECT_EQ(words.as<uint8_t>()[1], 2 + 0 * 3 + 1 * 9 + 2 * 27 + 0 * 81);
}

TEST(Digits, OfManyBytesAreLookedUpNotDivided) {
  const DigitLayout layout{DataType::kUint8, 3, 5};
  const auto divided_words = [&](int64_t count) {
    Chain chain;
    add_digits(chain, layout, count, {count}, 17, [] { return [](int64_t) { return int64_t{1}; }; });
    for (const Chain::Node& node : chain.nodes()) {
      if (node.op != "Div") continue;
      // Div reads what Cast makes of the words.
      const Chain::Value& cast = chain.values()[static_cast<size_t>(node.inputs[0])];
      const int words = chain.nodes()[cast.at].inputs[0];
      return chain.constants()[chain.values()[static_cast<size_t>(words)].at].shape[0];
    }
    return int64_t{0};
  };
  EXPECT_EQ(divided_words(5 * 1000), 1000);
  EXPECT_EQ(divided_words(5 * 100'000), 256);
}

}  // namespace
}  // namespace mcompress::forms
