// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "mcompress/error.h"
#include "support/temporary_files.h"

namespace mcompress::support {

/// A file opened for reading at offsets. Thread-safe; closed with the object. A failure throws
/// `code` with the path and the system's words.
class InputFile {
 public:
  InputFile(const std::filesystem::path& path, ErrorCode code);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  const std::filesystem::path& path() const { return path_; }
  /// As of now: a spill file grows while it is read.
  uint64_t size() const;
  /// Throws where the file ends before `into` is full.
  void read(uint64_t offset, std::span<std::byte> into) const;
  int descriptor() const { return descriptor_; }

 private:
  std::filesystem::path path_;
  ErrorCode code_;
  int descriptor_ = -1;
};

/// A read-only view of a whole file in memory; pages are dropped with the object.
class MappedFile {
 public:
  MappedFile(const std::filesystem::path& path, ErrorCode code);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

/// Writes a file so that its name appears only when it is whole: a temporary beside it, sync,
/// rename. Destroyed without `commit`, it leaves nothing. Throws kRuntime ("no space left on
/// device").
class AtomicFile {
 public:
  /// With `overwrite` false an existing target is an error (kUsage, hint --force), at once and at
  /// commit.
  explicit AtomicFile(const std::filesystem::path& target, bool overwrite = true);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::string_view bytes);
  void write(std::span<const std::byte> bytes);
  /// Appends a range of another file without taking it through memory where the system can.
  void copy(const InputFile& source, uint64_t offset, uint64_t length);
  uint64_t position() const { return position_; }
  /// Renames onto the target, once on the disk: not so from 32 MiB on where no older file is there.
  void commit();

 private:
  void fail(const char* doing) const;
  std::filesystem::path target_;
  TemporaryFile temporary_;
  bool overwrite_;
  int descriptor_ = -1;
  uint64_t position_ = 0;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view text,
                           bool overwrite = true);
/// Whole file as text; throws `code`.
std::string read_file(const std::filesystem::path& path, ErrorCode code);

/// Checks that `target` could be written: its folder exists and is writable, and it is no folder
/// itself. Throws kUsage with a hint; for failing before the work and not after.
void require_writable(const std::filesystem::path& target, bool overwrite);

}  // namespace mcompress::support
