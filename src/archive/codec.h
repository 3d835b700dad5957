// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::archive {

/// How the bytes of a stream are coded. The numbers are in files.
enum class Coder : uint8_t {
  kRaw = 0,
  kZstd = 1,
  kOrder0 = 2,  ///< adaptive range coder over single bytes
  kMixing = 3,  ///< context mixing over a matrix (symbol_model.h)
};

/// What is told of the data to the coders that care.
struct CodecHints {
  uint64_t row_length = 1;  ///< bytes of a row of the matrix
  bool matrix = false;      ///< the bytes are elements of a matrix, not text
  int zstd_level = 9;
};

struct CodedBytes {
  Coder coder = Coder::kRaw;
  std::vector<std::byte> bytes;
};

/// Codes `bytes` with the coder that is smallest on them, or on a sample where they are many; never
/// above their own size.
CodedBytes encode_bytes(std::span<const std::byte> bytes, const CodecHints& hints);
/// The reverse; fills `out`. Throws kModel where the stream does not hold out.size() bytes.
void decode_bytes(Coder coder, std::span<const std::byte> stream, uint64_t row_length,
                  std::span<std::byte> out);
/// Throws kModel where `coder` is none, or a stream of `stored` bytes cannot stand for `plain`
/// ones: before anything is allocated for them.
void check_stream(Coder coder, uint64_t stored, uint64_t plain);

/// Of the stored bytes: 32 bits of XXH3.
uint32_t stream_checksum(std::span<const std::byte> stream);

}  // namespace mcompress::archive
