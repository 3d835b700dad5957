// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "archive/directory.h"
#include "support/file.h"

namespace mcompress::archive {

/// How one tensor, or the rest of the files, went into an archive.
struct PartFigure {
  std::string label;   ///< of the tensor; "" for the rest
  std::string method;  ///< "symbols by mixing", "planes by order 0, raw", "bytes by zstd", "copy"
  uint64_t plain_bytes = 0;
  uint64_t packed_bytes = 0;
  uint64_t symbols = 0;  ///< of kSymbols
};

struct PackFigures {
  std::vector<Member> members;
  std::vector<PartFigure> parts;
  uint64_t plain_bytes = 0;
  uint64_t packed_bytes = 0;  ///< the archive
};

/// Packs a file of any kind, and the data files of an ONNX model with it, so that `unpack` gives
/// back the same bytes. The archive is the same on every machine with the same zstd. Memory is
/// bounded by a few pieces of 16 MiB or the largest encoded tensor, whichever is more. Throws
/// kModel, kRuntime, and kUsage where `archive` is there and may not be overwritten.
PackFigures pack(const std::filesystem::path& file, const std::filesystem::path& archive,
                 bool overwrite);

/// Unpacks into `output` ("": its own name, in the current folder), and the data files beside it by
/// their own names. Nothing is written under
/// its name before its checksum is found right. Throws kModel where the archive is damaged.
std::vector<Member> unpack(const std::filesystem::path& archive,
                           const std::filesystem::path& output, bool overwrite);

/// Where an archive is read from.
class Source {
 public:
  virtual ~Source() = default;
  virtual uint64_t size() const = 0;
  /// Thread-safe; the range lies within the size.
  virtual void read(uint64_t offset, std::span<std::byte> into) const = 0;
};
std::unique_ptr<Source> source_of(const std::filesystem::path& path);
std::unique_ptr<Source> source_of(std::span<const std::byte> bytes);  ///< which outlive it

/// An archive that has been opened: its directory is sound, its streams are checked when they are
/// read.
class Archive {
 public:
  /// Throws kModel where it is none, or damaged.
  explicit Archive(std::unique_ptr<Source> source);
  const std::vector<Member>& members() const { return directory_.members; }
  /// Gives a member to `sink` piece by piece, in order, and checks its checksum at the end.
  void extract(size_t member, const std::function<void(std::span<const std::byte>)>& sink) const;

 private:
  friend class Extraction;
  std::unique_ptr<Source> source_;
  Directory directory_;
};

/// True for a file that starts as an archive does.
bool is_archive(const std::filesystem::path& path);

}  // namespace mcompress::archive
