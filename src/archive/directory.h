// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "archive/codec.h"
#include "archive/symbols.h"
#include "support/hash.h"

namespace mcompress::archive {

/// An archive is
///   "MCZ" version | streams, one behind another | directory | trailer
/// with the trailer
///   directory offset (8 bytes) | directory checksum (8) | size of the archive (8) | "MCZE"
/// All numbers are little-endian; in the directory they are LEB128. Every byte of every stream
/// belongs to exactly one part, so that the positions of streams follow from their lengths.
constexpr std::string_view kMagic = "MCZ";
constexpr std::string_view kTrailerMagic = "MCZE";
constexpr uint8_t kVersion = 1;
constexpr uint64_t kHeaderBytes = 4, kTrailerBytes = 28;

/// Plain bytes are coded in pieces of at most this, which bounds memory.
constexpr uint64_t kPieceBytes = uint64_t{16} << 20;

struct Stream {
  Coder coder = Coder::kRaw;
  uint64_t length = 0;
  uint32_t checksum = 0;  ///< low half of XXH3 of the stored bytes
  uint64_t offset = 0;    ///< in the archive
};

/// Bytes of a member.
struct ByteRange {
  uint64_t member = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
};

/// The numbers are in files.
enum class PartKind : uint8_t {
  kRest = 0,     ///< of one member, what no other part holds, in order; `rest_length` bytes of it
  kBytes = 1,    ///< one range, as it is
  kPlanes = 2,   ///< one range, each byte of its elements in a stream of its own
  kSymbols = 3,  ///< one or two ranges as a matrix of symbols
  kCopy = 4,     ///< one range, equal to the one of an earlier kBytes or kPlanes part
};

struct Part {
  PartKind kind = PartKind::kRest;
  std::vector<ByteRange> ranges;
  uint64_t rest_member = 0, rest_length = 0;
  uint64_t element_bytes = 1;  ///< of kPlanes
  uint64_t row_length = 1;     ///< of kBytes and kPlanes: elements of a row
  SymbolLayout layout;         ///< of kSymbols
  uint64_t source = 0;         ///< of kCopy: index of the part
  std::vector<Stream> streams;

  /// Bytes that the part stands for.
  uint64_t plain_bytes() const;
};

struct Member {
  std::string name;  ///< relative, with '/' between folders; safe below any folder
  uint64_t size = 0;
  support::Hash128 hash;
};

struct Directory {
  std::vector<Member> members;  ///< the file that was packed comes first, then its data files
  std::vector<Part> parts;
};

/// True for a path that stays below the folder that it is relative to.
bool is_safe_name(std::string_view name);

std::string write_directory(const Directory& directory);
/// The reverse, with every check that needs no data: parts cover each member exactly once, streams
/// fill the archive up to `end_of_streams` and are long enough for what they stand for. Throws
/// kModel.
Directory read_directory(std::string_view bytes, uint64_t end_of_streams);

}  // namespace mcompress::archive
