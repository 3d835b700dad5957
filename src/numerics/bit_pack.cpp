// SPDX-License-Identifier: Apache-2.0
#include "numerics/bit_pack.h"

namespace mcompress::numerics {
namespace {

template <class Code>
std::vector<uint8_t> pack(std::span<const Code> codes, int bits) {
  const auto per_byte = static_cast<size_t>(8 / bits);
  const unsigned mask = (1U << bits) - 1;
  std::vector<uint8_t> packed((codes.size() + per_byte - 1) / per_byte, 0);
  for (size_t i = 0; i < codes.size(); ++i) {
    const unsigned shifted = (static_cast<unsigned>(codes[i]) & mask)
                             << (i % per_byte * static_cast<unsigned>(bits));
    packed[i / per_byte] = static_cast<uint8_t>(packed[i / per_byte] | shifted);
  }
  return packed;
}

}  // namespace

std::vector<uint8_t> pack_bits(std::span<const uint8_t> codes, int bits) {
  return pack(codes, bits);
}

std::vector<uint8_t> pack_bits(std::span<const int8_t> codes, int bits) {
  return pack(codes, bits);
}

std::vector<uint8_t> unpack_bits(std::span<const uint8_t> packed, int bits, size_t count) {
  const auto per_byte = static_cast<size_t>(8 / bits);
  const unsigned mask = (1U << bits) - 1;
  std::vector<uint8_t> codes(count);
  for (size_t i = 0; i < count; ++i) {
    const unsigned byte = packed[i / per_byte];
    codes[i] = static_cast<uint8_t>((byte >> (i % per_byte * static_cast<unsigned>(bits))) & mask);
  }
  return codes;
}

std::vector<int8_t> unpack_signed_bits(std::span<const uint8_t> packed, int bits, size_t count) {
  const std::vector<uint8_t> codes = unpack_bits(packed, bits, count);
  const int sign = 1 << (bits - 1);
  std::vector<int8_t> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<int8_t>((codes[i] ^ sign) - sign);
  return values;
}

int code_bits(size_t codes) {
  int bits = 1;
  while (bits < 8 && codes > (size_t{1} << bits)) bits *= 2;
  return bits;
}

}  // namespace mcompress::numerics
