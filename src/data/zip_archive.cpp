// SPDX-License-Identifier: Apache-2.0
#include "data/zip_archive.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "mcompress/error.h"

namespace mcompress::data {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr uint32_t kDirectorySignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr size_t kEndSize = 22, kEnd64Size = 56, kLocator64Size = 20;
constexpr size_t kDirectoryEntrySize = 46, kLocalSize = 30;
constexpr uint64_t kLongestComment = 65535;
constexpr uint64_t kLargestDirectory = uint64_t{64} << 20;
constexpr uint16_t kStored = 0, kDeflated = 8;

template <class T>
T little(std::span<const std::byte> bytes, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= std::to_integer<uint64_t>(bytes[at + i]) << (8 * i);
  }
  return static_cast<T>(value);
}

std::vector<std::byte> read_bytes(const support::InputFile& file, uint64_t offset, uint64_t size) {
  std::vector<std::byte> bytes(static_cast<size_t>(size));
  file.read(offset, bytes);
  return bytes;
}

[[noreturn]] void fail(const support::InputFile& file, std::string_view why) {
  throw Error(ErrorCode::kData, fmt::format("{}: {}", file.path().string(), why));
}

struct EndRecord {
  uint64_t position = 0;  ///< where the record (the zip64 one where there is one) begins
  uint64_t entries = 0;
  uint64_t directory_size = 0;
  uint64_t directory_offset = 0;
};

/// The zip64 record replaces the classic one when its locator stands right before it.
std::optional<EndRecord> find_end64(const support::InputFile& file, uint64_t classic_end) {
  if (classic_end < kLocator64Size) return std::nullopt;
  const auto locator = read_bytes(file, classic_end - kLocator64Size, kLocator64Size);
  if (little<uint32_t>(locator, 0) != kLocator64Signature) return std::nullopt;
  uint64_t at = little<uint64_t>(locator, 8);
  const uint64_t limit = classic_end - kLocator64Size;
  if (limit < kEnd64Size) fail(file, "zip64 record is cut");
  for (const uint64_t candidate : {at, limit - kEnd64Size}) {
    if (candidate > limit - kEnd64Size) continue;
    const auto record = read_bytes(file, candidate, kEnd64Size);
    if (little<uint32_t>(record, 0) != kEnd64Signature) continue;
    return EndRecord{candidate, little<uint64_t>(record, 32), little<uint64_t>(record, 40),
                     little<uint64_t>(record, 48)};
  }
  fail(file, "zip64 record not found");
}

EndRecord find_end(const support::InputFile& file) {
  if (file.size() < kEndSize) fail(file, "not a zip file, or truncated");
  const uint64_t tail_size = std::min<uint64_t>(file.size(), kEndSize + kLongestComment);
  const uint64_t tail_at = file.size() - tail_size;
  const auto tail = read_bytes(file, tail_at, tail_size);
  for (size_t at = tail.size() - kEndSize + 1; at-- > 0;) {
    if (little<uint32_t>(tail, at) != kEndSignature) continue;
    if (at + kEndSize + little<uint16_t>(tail, at + 20) > tail.size()) continue;
    const uint64_t position = tail_at + at;
    if (auto end64 = find_end64(file, position)) return *end64;
    return {position, little<uint16_t>(tail, at + 10), little<uint32_t>(tail, at + 12),
            little<uint32_t>(tail, at + 16)};
  }
  fail(file, "not a zip file, or truncated: no end of central directory");
}

/// Sizes and offset that do not fit 32 bits are in the extra field of id 1, those only, in order.
void read_zip64_extra(std::span<const std::byte> extra, ZipEntry& entry) {
  constexpr uint32_t kInExtra = 0xffffffff;
  while (extra.size() >= 4) {
    const uint16_t id = little<uint16_t>(extra, 0);
    const size_t size = little<uint16_t>(extra, 2);
    if (size > extra.size() - 4) return;
    std::span<const std::byte> field = extra.subspan(4, size);
    if (id == 1) {
      for (uint64_t* value : {&entry.size, &entry.compressed_size, &entry.header_offset}) {
        if (*value != kInExtra || field.size() < 8) continue;
        *value = little<uint64_t>(field, 0);
        field = field.subspan(8);
      }
      return;
    }
    extra = extra.subspan(4 + size);
  }
}

}  // namespace

ZipArchive::ZipArchive(const std::filesystem::path& path)
    : file_(std::make_shared<support::InputFile>(path, ErrorCode::kData)), name_(path.string()) {
  const EndRecord end = find_end(*file_);
  if (end.directory_size > end.position || end.directory_size > kLargestDirectory ||
      end.directory_offset > end.position - end.directory_size) {
    fail(*file_, "central directory is outside the file");
  }
  const uint64_t directory_at = end.position - end.directory_size;
  shift_ = directory_at - end.directory_offset;
  const auto directory = read_bytes(*file_, directory_at, end.directory_size);
  std::span<const std::byte> rest = directory;
  std::map<std::string, size_t> by_name;
  for (uint64_t i = 0; i < end.entries; ++i) {
    if (rest.size() < kDirectoryEntrySize || little<uint32_t>(rest, 0) != kDirectorySignature) {
      fail(*file_, fmt::format("central directory: entry {} of {} is corrupt", i + 1, end.entries));
    }
    const size_t name_size = little<uint16_t>(rest, 28), extra_size = little<uint16_t>(rest, 30),
                 comment_size = little<uint16_t>(rest, 32);
    if (rest.size() - kDirectoryEntrySize < name_size + extra_size + comment_size) {
      fail(*file_, fmt::format("central directory: entry {} of {} is cut", i + 1, end.entries));
    }
    ZipEntry entry;
    entry.encrypted = (little<uint16_t>(rest, 8) & 1) != 0;
    entry.method = little<uint16_t>(rest, 10);
    entry.crc = little<uint32_t>(rest, 16);
    entry.compressed_size = little<uint32_t>(rest, 20);
    entry.size = little<uint32_t>(rest, 24);
    entry.header_offset = little<uint32_t>(rest, 42);
    const auto name = rest.subspan(kDirectoryEntrySize, name_size);
    entry.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    read_zip64_extra(rest.subspan(kDirectoryEntrySize + name_size, extra_size), entry);
    rest = rest.subspan(kDirectoryEntrySize + name_size + extra_size + comment_size);
    const auto [at, is_new] = by_name.emplace(entry.name, entries_.size());
    if (is_new) {
      entries_.push_back(std::move(entry));
    } else {
      entries_[at->second] = std::move(entry);
    }
  }
}

std::shared_ptr<const ByteSource> ZipArchive::open(const ZipEntry& entry) const {
  const std::string name = fmt::format("{}: '{}'", name_, entry.name);
  if (entry.encrypted) throw Error(ErrorCode::kData, name + " is encrypted");
  if (entry.method != kStored && entry.method != kDeflated) {
    throw Error(ErrorCode::kData,
                fmt::format("{} is compressed by method {}, stored (0) and deflated (8) are read",
                            name, entry.method))
        .hint("save it by numpy.savez or numpy.savez_compressed");
  }
  if (entry.header_offset > file_->size() || shift_ > file_->size() ||
      file_->size() - shift_ - entry.header_offset < kLocalSize) {
    throw Error(ErrorCode::kData, name + " lies outside the file");
  }
  const uint64_t header_at = entry.header_offset + shift_;
  const auto header = read_bytes(*file_, header_at, kLocalSize);
  if (little<uint32_t>(header, 0) != kLocalSignature) {
    throw Error(ErrorCode::kData, name + ": local header is corrupt");
  }
  const uint64_t data_at =
      header_at + kLocalSize + little<uint16_t>(header, 26) + little<uint16_t>(header, 28);
  if (data_at > file_->size() || entry.compressed_size > file_->size() - data_at) {
    throw Error(ErrorCode::kData, name + " is truncated");
  }
  // Deflate cannot shrink further than 1032:1; a directory that claims more would have us allocate
  // it.
  constexpr uint64_t kMostExpansion = 1032;
  const bool stored = entry.method == kStored;
  if (stored ? entry.size != entry.compressed_size
             : entry.size / kMostExpansion > entry.compressed_size) {
    throw Error(ErrorCode::kData, fmt::format("{}: {} bytes cannot come from {}", name, entry.size,
                                              entry.compressed_size));
  }
  auto content = stored ? file_range(file_, data_at, entry.compressed_size, name)
                        : inflated(file_, data_at, entry.compressed_size, Compression::kDeflate,
                                   entry.size, name);
  return checked(std::move(content), entry.size, entry.crc);
}

}  // namespace mcompress::data
