// SPDX-License-Identifier: Apache-2.0
#include "numerics/bit_pack.h"

#include <gtest/gtest.h>

namespace mcompress::numerics {
namespace {

TEST(BitPack, LowBitsFirst) {
  EXPECT_EQ(pack_bits(std::vector<uint8_t>{1, 2, 3}, 4), (std::vector<uint8_t>{0x21, 0x03}));
  EXPECT_EQ(pack_bits(std::vector<uint8_t>{1, 2, 3, 0, 1}, 2), (std::vector<uint8_t>{0x39, 0x01}));
  EXPECT_EQ(pack_bits(std::vector<uint8_t>{1, 0, 0, 1}, 1), (std::vector<uint8_t>{0x09}));
  EXPECT_EQ(pack_bits(std::vector<int8_t>{-8, 7}, 4), (std::vector<uint8_t>{0x78}));
  EXPECT_TRUE(pack_bits(std::vector<uint8_t>{}, 4).empty());
}

TEST(BitPack, RoundTrips) {
  for (const int bits : {1, 2, 4, 8}) {
    for (size_t count = 0; count < 20; ++count) {
      std::vector<uint8_t> codes(count);
      std::vector<int8_t> values(count);
      for (size_t i = 0; i < count; ++i) {
        codes[i] = static_cast<uint8_t>((i * 37 + 11) % (size_t{1} << bits));
        values[i] = static_cast<int8_t>(static_cast<int>(codes[i]) - (1 << (bits - 1)));
      }
      EXPECT_EQ(unpack_bits(pack_bits(codes, bits), bits, count), codes);
      EXPECT_EQ(unpack_signed_bits(pack_bits(values, bits), bits, count), values);
    }
  }
}

TEST(BitPack, CodeBits) {
  EXPECT_EQ(code_bits(1), 1);
  EXPECT_EQ(code_bits(2), 1);
  EXPECT_EQ(code_bits(3), 2);
  EXPECT_EQ(code_bits(5), 4);
  EXPECT_EQ(code_bits(16), 4);
  EXPECT_EQ(code_bits(17), 8);
  EXPECT_EQ(code_bits(256), 8);
}

}  // namespace
}  // namespace mcompress::numerics
