// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::numerics {

/// Codes of 1, 2, 4 or 8 bits, several to a byte, low bits first, as ONNX stores its 4- and 2-bit
/// types; unused high bits of the last byte are 0. Only the low `bits` bits of a code are taken.
std::vector<uint8_t> pack_bits(std::span<const uint8_t> codes, int bits);
/// The same for signed integers (two's complement).
std::vector<uint8_t> pack_bits(std::span<const int8_t> codes, int bits);

/// The inverse for `count` codes.
std::vector<uint8_t> unpack_bits(std::span<const uint8_t> packed, int bits, size_t count);
std::vector<int8_t> unpack_signed_bits(std::span<const uint8_t> packed, int bits, size_t count);

/// Least width of 1, 2, 4 or 8 that tells `codes` codes apart.
int code_bits(size_t codes);

}  // namespace mcompress::numerics
