// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/byte_source.h"

namespace mcompress::data {

struct ZipEntry {
  std::string name;
  uint16_t method = 0;  ///< 0 stored, 8 deflated
  bool encrypted = false;
  uint32_t crc = 0;
  uint64_t compressed_size = 0;
  uint64_t size = 0;
  uint64_t header_offset = 0;
};

/// Directory of a zip file (APPNOTE 6.3: end record, zip64 records, central directory). Bytes
/// before the archive are allowed. Of entries with one name the last counts.
class ZipArchive {
 public:
  /// Throws kData when the file is no zip file or is cut.
  explicit ZipArchive(const std::filesystem::path& path);

  /// In the order of the directory.
  const std::vector<ZipEntry>& entries() const { return entries_; }
  /// Content of an entry. Throws kData for an encrypted one and for a method we do not know.
  std::shared_ptr<const ByteSource> open(const ZipEntry& entry) const;
  const std::string& name() const { return name_; }

 private:
  std::shared_ptr<const support::InputFile> file_;
  std::vector<ZipEntry> entries_;
  std::string name_;
  uint64_t shift_ = 0;  ///< bytes before the archive, to be added to every offset in it
};

}  // namespace mcompress::data
