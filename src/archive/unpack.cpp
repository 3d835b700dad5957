// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "archive/archive.h"
#include "archive/damage.h"
#include "archive/symbol_model.h"
#include "mcompress/interrupt.h"
#include "support/parallel_for.h"

namespace mcompress::archive {
namespace {

/// Parts that are decoded at a time.
constexpr uint64_t kBatchBytes = uint64_t{48} << 20;

using Bytes = std::vector<std::byte>;

class FileSource : public Source {
 public:
  explicit FileSource(const std::filesystem::path& path) : file_(path, ErrorCode::kModel) {}
  uint64_t size() const override { return file_.size(); }
  void read(uint64_t offset, std::span<std::byte> into) const override { file_.read(offset, into); }

 private:
  support::InputFile file_;
};

class MemorySource : public Source {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  void read(uint64_t offset, std::span<std::byte> into) const override {
    const auto part = bytes_.subspan(offset, into.size());
    std::copy(part.begin(), part.end(), into.begin());
  }

 private:
  std::span<const std::byte> bytes_;
};

std::string read_text(const Source& source, uint64_t offset, uint64_t length) {
  std::string text(length, '\0');
  source.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

uint64_t number_at(std::string_view text, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) {
    value |= uint64_t{static_cast<unsigned char>(text[at + i])} << (8 * i);
  }
  return value;
}

Directory open_directory(const Source& source) {
  const uint64_t size = source.size();
  if (size < kHeaderBytes || read_text(source, 0, 3) != kMagic) {
    throw Error(ErrorCode::kModel, "not an archive of mcompress")
        .hint("give a file that was written by: mcompress pack");
  }
  const auto version = static_cast<uint8_t>(read_text(source, 3, 1)[0]);
  if (version != kVersion) {
    throw Error(ErrorCode::kModel,
                fmt::format("archive version {}, this program reads version {}", version, kVersion))
        .hint("unpack it with the version of mcompress that packed it");
  }
  if (size < kHeaderBytes + kTrailerBytes) throw damaged("it is truncated");
  const std::string trailer = read_text(source, size - kTrailerBytes, kTrailerBytes);
  if (std::string_view(trailer).substr(24) != kTrailerMagic || number_at(trailer, 16) != size) {
    throw damaged("it is truncated, or something follows it");
  }
  const uint64_t offset = number_at(trailer, 0);
  if (offset < kHeaderBytes || offset > size - kTrailerBytes) {
    throw damaged("its directory is not where it should be");
  }
  const std::string text = read_text(source, offset, size - kTrailerBytes - offset);
  if (support::hash128(text).low != number_at(trailer, 8)) {
    throw damaged("the checksum of its directory is wrong");
  }
  return read_directory(text, offset);
}

}  // namespace

std::unique_ptr<Source> source_of(const std::filesystem::path& path) {
  return std::make_unique<FileSource>(path);
}

std::unique_ptr<Source> source_of(std::span<const std::byte> bytes) {
  return std::make_unique<MemorySource>(bytes);
}

Archive::Archive(std::unique_ptr<Source> source)
    : source_(std::move(source)), directory_(open_directory(*source_)) {}

/// Puts one member together: parts are decoded a batch ahead, in parallel, and dropped once all of
/// their bytes have been given away.
class Extraction {
 public:
  Extraction(const Archive& archive, size_t member)
      : source_(*archive.source_), parts_(archive.directory_.parts), member_(member) {
    plan(archive.directory_.members[member].size);
  }

  void run(const std::function<void(std::span<const std::byte>)>& sink) {
    for (size_t i = 0; i < steps_.size(); ++i) {
      const Step& step = steps_[i];
      if (decoded_.count(step.part) == 0) decode_batch(i);
      Decoded& part = decoded_.at(step.part);
      sink(std::span(part.payloads[step.payload]).subspan(step.offset, step.length));
      if (--part.steps == 0) decoded_.erase(step.part);
    }
  }

 private:
  /// Bytes of a part, in the order of the member.
  struct Step {
    size_t part = 0;
    size_t payload = 0;
    uint64_t offset = 0, length = 0;
  };
  struct Decoded {
    std::vector<Bytes> payloads;
    size_t steps = 0;  ///< that still need it
  };

  void plan(uint64_t size) {
    struct Piece {
      ByteRange range;
      Step step;
    };
    std::vector<Piece> pieces;
    std::vector<size_t> rests;
    for (size_t p = 0; p < parts_.size(); ++p) {
      for (size_t i = 0; i < parts_[p].ranges.size(); ++i) {
        const ByteRange& range = parts_[p].ranges[i];
        if (range.member == member_) pieces.push_back({range, {p, i, 0, range.length}});
      }
      if (parts_[p].kind == PartKind::kRest && parts_[p].rest_member == member_) rests.push_back(p);
    }
    std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
      return a.range.offset < b.range.offset;
    });
    size_t rest = 0;
    uint64_t at = 0, used = 0;
    const auto fill_until = [&](uint64_t end) {
      while (at < end) {
        const uint64_t length = std::min(end - at, parts_[rests[rest]].rest_length - used);
        if (length > 0) add_step({rests[rest], 0, used, length});
        at += length;
        used += length;
        if (used == parts_[rests[rest]].rest_length) {
          ++rest;
          used = 0;
        }
      }
    };
    for (const Piece& piece : pieces) {
      fill_until(piece.range.offset);
      if (piece.range.length > 0) add_step(piece.step);
      at = piece.range.offset + piece.range.length;
    }
    fill_until(size);
  }

  void add_step(const Step& step) {
    steps_.push_back(step);
    ++uses_[step.part];
  }

  void decode_batch(size_t first) {
    check_interrupt();
    std::vector<size_t> batch;
    uint64_t bytes = 0;
    for (size_t i = first; i < steps_.size() && bytes < kBatchBytes; ++i) {
      const size_t part = steps_[i].part;
      if (decoded_.count(part) != 0) continue;
      batch.push_back(part);
      decoded_[part].steps = uses_[part];
      bytes += parts_[part].plain_bytes();
    }
    std::vector<std::vector<Bytes>> payloads(batch.size());
    parallel_for(0, static_cast<int64_t>(batch.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        payloads[i] = decode(parts_[batch[i]]);
      }
    });
    for (size_t i = 0; i < batch.size(); ++i) decoded_[batch[i]].payloads = std::move(payloads[i]);
  }

  Bytes read_stream(const Stream& stream) const {
    Bytes bytes(stream.length);
    source_.read(stream.offset, bytes);
    if (stream_checksum(bytes) != stream.checksum) {
      throw damaged(fmt::format("the checksum of a stream at byte {} is wrong", stream.offset));
    }
    return bytes;
  }

  std::vector<Bytes> decode(const Part& part) const {
    if (part.kind == PartKind::kCopy) return decode(parts_[part.source]);
    if (part.kind == PartKind::kSymbols) return decode_matrix(part);
    const size_t planes = part.streams.size();
    Bytes bytes(part.plain_bytes());
    const size_t length = bytes.size() / planes;
    for (size_t i = 0; i < planes; ++i) {
      const Bytes stream = read_stream(part.streams[i]);
      decode_bytes(part.streams[i].coder, stream, part.row_length,
                   std::span(bytes).subspan(i * length, length));
    }
    if (part.kind != PartKind::kPlanes) return {std::move(bytes)};
    Bytes elements(bytes.size());
    from_planes(bytes, planes, elements);
    return {std::move(elements)};
  }

  std::vector<Bytes> decode_matrix(const Part& part) const {
    const SymbolLayout& layout = part.layout;
    const uint64_t count = layout.symbols(part.ranges[0].length);
    const auto symbols =
        decode_symbols(read_stream(part.streams[0]), {count, layout.alphabet(), layout.width});
    std::vector<uint64_t> sizes;
    for (const ByteRange& range : part.ranges) sizes.push_back(range.length);
    auto payloads = from_symbols(layout, symbols, sizes);
    if (!payloads) throw damaged("symbols that do not make a tensor");
    return std::move(*payloads);
  }

  const Source& source_;
  const std::vector<Part>& parts_;
  size_t member_;
  std::vector<Step> steps_;
  std::map<size_t, size_t> uses_;
  std::map<size_t, Decoded> decoded_;
};

void Archive::extract(size_t member,
                      const std::function<void(std::span<const std::byte>)>& sink) const {
  support::Hasher hasher;
  Extraction(*this, member).run([&](std::span<const std::byte> bytes) {
    hasher.update(bytes);
    sink(bytes);
  });
  if (!(hasher.digest() == directory_.members[member].hash)) {
    throw damaged(fmt::format("the checksum of {} is wrong", directory_.members[member].name));
  }
}

std::vector<Member> unpack(const std::filesystem::path& archive,
                           const std::filesystem::path& output, bool overwrite) {
  try {
    const Archive opened(source_of(archive));
    std::vector<std::unique_ptr<support::AtomicFile>> files;
    const auto folder = output.parent_path();
    for (size_t m = 0; m < opened.members().size(); ++m) {
      const bool named = m == 0 && !output.empty();
      const auto target = named ? output : folder / opened.members()[m].name;
      support::require_writable(target, overwrite);
      std::error_code ignored;
      if (std::filesystem::equivalent(archive, target, ignored)) {
        throw Error(ErrorCode::kUsage, target.string() + ": is the archive")
            .hint("inputs are never touched: name another output with -o");
      }
      files.push_back(std::make_unique<support::AtomicFile>(target, overwrite));
      opened.extract(m, [&](std::span<const std::byte> bytes) { files[m]->write(bytes); });
    }
    // The file itself comes last: once it is there, its data is.
    for (size_t m = files.size(); m-- > 0;) files[m]->commit();
    return opened.members();
  } catch (Error& error) {
    // One of the file itself names it already.
    const bool named = error.message().starts_with(archive.string());
    if (error.code() == ErrorCode::kModel && !named) error.with_context(archive.string());
    throw;
  }
}

bool is_archive(const std::filesystem::path& path) {
  const support::InputFile file(path, ErrorCode::kModel);
  if (file.size() < kHeaderBytes + kTrailerBytes) return false;
  std::array<std::byte, 4> head{};
  file.read(0, head);
  return std::string_view(reinterpret_cast<const char*>(head.data()), 3) == kMagic &&
         static_cast<uint8_t>(head[3]) == kVersion;
}

}  // namespace mcompress::archive
