// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/file.h"

namespace mcompress::data {

/// Bytes that can be read at any offset by any thread. Memory stays bounded whatever the size.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Fills `out` from `offset`. Throws kData naming the file when the bytes end before or are
  /// corrupt.
  virtual void read(uint64_t offset, std::span<std::byte> out) const = 0;
  /// For messages: "calib.npz".
  virtual const std::string& name() const = 0;
};

enum class Compression { kDeflate, kGzip };

/// `size` bytes of `file` from `offset`; reading past them is an error.
std::shared_ptr<const ByteSource> file_range(std::shared_ptr<const support::InputFile> file,
                                             uint64_t offset, uint64_t size, std::string name);

/// The unfolded content of a compressed range. Reading forward costs what inflating costs; going
/// back restarts at the nearest of at most 128 snapshots of the inflater (40 KiB each), which are
/// taken while it reads forward. `expected_size` (0: unknown) sets how far apart they are.
std::shared_ptr<const ByteSource> inflated(std::shared_ptr<const support::InputFile> file,
                                           uint64_t offset, uint64_t size, Compression compression,
                                           uint64_t expected_size, std::string name);

/// Passes reads through; when they have gone from the first byte to the last in order, compares the
/// CRC-32 of all `size` bytes and throws kData where it differs.
std::shared_ptr<const ByteSource> checked(std::shared_ptr<const ByteSource> source, uint64_t size,
                                          uint32_t crc);

/// Bytes in memory.
std::shared_ptr<const ByteSource> in_memory(std::vector<std::byte> bytes, std::string name);

/// The whole of a text file or an image. Throws kData above `limit` bytes.
std::string read_whole_file(const std::filesystem::path& path, uint64_t limit);

}  // namespace mcompress::data
