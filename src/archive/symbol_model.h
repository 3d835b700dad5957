// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::archive {

/// A matrix of small integers in which 0 is special (a pruned weight): `count` symbols below
/// `alphabet`, in rows of `width`, the last one cut short.
struct SymbolShape {
  uint64_t count = 0;
  uint32_t alphabet = 2;  ///< 2 .. 65536
  uint64_t width = 1;     ///< at least 1
};

/// Context mixing: whether a symbol is zero is foretold from its row and column so far and from its
/// neighbours; which non-zero it is, bit by bit, likewise. About 10 million symbols a second where
/// most are zero, 1 million where none is.
std::vector<std::byte> encode_symbols(std::span<const uint16_t> symbols, const SymbolShape& shape);
/// The same for bytes, alphabet 256.
std::vector<std::byte> encode_symbols(std::span<const uint8_t> symbols, const SymbolShape& shape);
/// The reverse. Throws kModel where the stream ends early, before much is allocated. Any bytes
/// decode to some symbols, also beyond the alphabet: the caller checks what they mean.
std::vector<uint16_t> decode_symbols(std::span<const std::byte> stream, const SymbolShape& shape);
/// Fills `out` (of shape.count).
void decode_symbols(std::span<const std::byte> stream, const SymbolShape& shape,
                    std::span<uint8_t> out);

/// Adaptive order-0 coder for bytes: each bit of a byte is foretold from the bits above it. About
/// 30 MB/s.
std::vector<std::byte> encode_order0(std::span<const uint8_t> bytes);
void decode_order0(std::span<const std::byte> stream, std::span<uint8_t> out);

}  // namespace mcompress::archive
