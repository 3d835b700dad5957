// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "archive/archive.h"
#include "archive/layout.h"
#include "archive/symbol_model.h"
#include "mcompress/interrupt.h"
#include "support/parallel_for.h"

namespace mcompress::archive {
namespace {

/// Parts that are read and coded at a time.
constexpr uint64_t kBatchBytes = uint64_t{48} << 20;

using Bytes = std::vector<std::byte>;

std::string_view coder_name(Coder coder) {
  switch (coder) {
    case Coder::kZstd:
      return "zstd";
    case Coder::kOrder0:
      return "order 0";
    case Coder::kMixing:
      return "mixing";
    case Coder::kRaw:
      break;
  }
  return "raw";
}

/// A part with the bytes of its streams, or several parts that it became.
struct Coded {
  std::vector<Part> parts;
  std::vector<std::vector<Bytes>> streams;  ///< of each part
};

void add_stream(Part& part, std::vector<Bytes>& streams, CodedBytes coded) {
  part.streams.push_back({coded.coder, coded.bytes.size(), stream_checksum(coded.bytes), 0});
  streams.push_back(std::move(coded.bytes));
}

/// zstd's highest levels look far for little; worth it where there is little to look through.
int zstd_level(uint64_t bytes) { return bytes <= (uint64_t{1} << 20) ? 19 : 9; }

Coded code_rest(Part part, const Bytes& bytes) {
  std::vector<Bytes> streams;
  add_stream(part, streams, encode_bytes(bytes, {.zstd_level = zstd_level(bytes.size())}));
  return {{std::move(part)}, {std::move(streams)}};
}

Coded code_bytes(Part part, const Bytes& bytes) {
  std::vector<Bytes> streams;
  add_stream(part, streams,
             encode_bytes(bytes, {.row_length = part.row_length, .matrix = true, .zstd_level = 3}));
  return {{std::move(part)}, {std::move(streams)}};
}

Coded code_planes(Part part, const Bytes& bytes) {
  const Bytes planes = to_planes(bytes, part.element_bytes);
  const size_t length = planes.size() / part.element_bytes;
  std::vector<Bytes> streams;
  uint64_t total = 0;
  for (size_t i = 0; i < part.element_bytes; ++i) {
    add_stream(part, streams,
               encode_bytes(std::span(planes).subspan(i * length, length),
                            {.row_length = part.row_length, .matrix = true, .zstd_level = 3}));
    total += part.streams.back().length;
  }
  // Elements that repeat are shorter as they are.
  auto whole = encode_bytes(bytes, {.zstd_level = 3});
  if (whole.bytes.size() >= total) return {{std::move(part)}, {std::move(streams)}};
  Part plain = part;
  plain.kind = PartKind::kBytes;
  plain.element_bytes = 1;
  plain.streams.clear();
  streams.clear();
  add_stream(plain, streams, std::move(whole));
  return {{std::move(plain)}, {std::move(streams)}};
}

Coded code_plain(const Part& part, const Bytes& bytes) {
  switch (part.kind) {
    case PartKind::kBytes:
      return code_bytes(part, bytes);
    case PartKind::kPlanes:
      return code_planes(part, bytes);
    default:
      return code_rest(part, bytes);
  }
}

/// Each payload as bytes, in pieces.
Coded code_refused(const Part& part, const std::vector<Bytes>& payloads) {
  Coded all;
  for (size_t i = 0; i < payloads.size(); ++i) {
    for (uint64_t at = 0; at < payloads[i].size(); at += kPieceBytes) {
      const uint64_t length = std::min<uint64_t>(kPieceBytes, payloads[i].size() - at);
      Part piece;
      piece.kind = PartKind::kBytes;
      piece.ranges.push_back({part.ranges[i].member, part.ranges[i].offset + at, length});
      const auto begin = payloads[i].begin() + static_cast<std::ptrdiff_t>(at);
      Coded coded = code_bytes(piece, Bytes(begin, begin + static_cast<std::ptrdiff_t>(length)));
      all.parts.push_back(std::move(coded.parts[0]));
      all.streams.push_back(std::move(coded.streams[0]));
    }
  }
  return all;
}

Coded code_symbols(Part part, const std::vector<Bytes>& payloads) {
  const std::vector<std::span<const std::byte>> views(payloads.begin(), payloads.end());
  const auto symbols = to_symbols(part.layout, views);
  if (!symbols || symbols->empty()) return code_refused(part, payloads);
  const SymbolShape shape{symbols->size(), part.layout.alphabet(), part.layout.width};
  std::vector<Bytes> streams;
  add_stream(part, streams, {Coder::kMixing, encode_symbols(*symbols, shape)});
  // Where patterns repeat, zstd sees what neighbours do not tell.
  uint64_t repeating = 0;
  for (const Bytes& payload : payloads) {
    repeating += encode_bytes(payload, {.zstd_level = 3}).bytes.size();
  }
  if (repeating < part.streams[0].length) return code_refused(part, payloads);
  return {{std::move(part)}, {std::move(streams)}};
}

/// The files to be packed, read once.
class Input {
 public:
  explicit Input(const Layout& layout) : layout_(layout) {
    for (const SourceFile& file : layout.files) {
      files_.push_back(std::make_unique<support::InputFile>(file.path, ErrorCode::kModel));
    }
    find_gaps();
  }

  Bytes read(const ByteRange& range) const {
    Bytes bytes(range.length);
    files_[range.member]->read(range.offset, bytes);
    return bytes;
  }

  /// The next `length` bytes of a member that are in no range.
  Bytes read_rest(uint64_t member, uint64_t length) {
    Bytes bytes;
    while (bytes.size() < length) {
      ByteRange& gap = gaps_[member].back();
      const uint64_t part = std::min(length - bytes.size(), gap.length);
      const Bytes more = read({member, gap.offset, part});
      bytes.insert(bytes.end(), more.begin(), more.end());
      gap.offset += part;
      gap.length -= part;
      if (gap.length == 0) gaps_[member].pop_back();
    }
    return bytes;
  }

  support::Hash128 hash(uint64_t member) const {
    support::Hasher hasher;
    for (uint64_t at = 0; at < layout_.files[member].size; at += kPieceBytes) {
      check_interrupt();
      hasher.update(
          read({member, at, std::min<uint64_t>(kPieceBytes, layout_.files[member].size - at)}));
    }
    return hasher.digest();
  }

 private:
  /// Last one first.
  void find_gaps() {
    std::vector<std::vector<ByteRange>> ranges(layout_.files.size());
    for (const Part& part : layout_.parts) {
      for (const ByteRange& range : part.ranges) ranges[range.member].push_back(range);
    }
    gaps_.resize(ranges.size());
    for (uint64_t m = 0; m < ranges.size(); ++m) {
      std::sort(ranges[m].begin(), ranges[m].end(),
                [](const ByteRange& a, const ByteRange& b) { return a.offset < b.offset; });
      uint64_t at = 0;
      const auto add_gap = [&](uint64_t end) {
        if (end > at) gaps_[m].push_back({m, at, end - at});
      };
      for (const ByteRange& range : ranges[m]) {
        add_gap(range.offset);
        at = range.offset + range.length;
      }
      add_gap(layout_.files[m].size);
      std::reverse(gaps_[m].begin(), gaps_[m].end());
    }
  }

  const Layout& layout_;
  std::vector<std::unique_ptr<support::InputFile>> files_;
  std::vector<std::vector<ByteRange>> gaps_;
};

class Packer {
 public:
  Packer(const std::filesystem::path& file, const std::filesystem::path& archive, bool overwrite)
      : layout_(lay_out(file)), input_(layout_), out_(archive, overwrite) {}

  PackFigures run() {
    std::string header(kMagic);
    header.push_back(static_cast<char>(kVersion));
    out_.write(header);
    for (uint64_t m = 0; m < layout_.files.size(); ++m) {
      const SourceFile& file = layout_.files[m];
      directory_.members.push_back({file.name, file.size, input_.hash(m)});
      figures_.plain_bytes += file.size;
    }
    for (size_t begin = 0; begin < layout_.parts.size();) begin = run_batch(begin);
    finish();
    figures_.members = directory_.members;
    figures_.packed_bytes = out_.position();
    out_.commit();
    return std::move(figures_);
  }

 private:
  struct Job {
    size_t at = 0;  ///< in the layout
    std::vector<Bytes> payloads;
    std::optional<uint64_t> source;  ///< of a copy
    Coded coded;
  };

  size_t run_batch(size_t begin) {
    check_interrupt();
    std::vector<Job> jobs;
    uint64_t bytes = 0;
    size_t at = begin;
    for (; at < layout_.parts.size() && (jobs.empty() || bytes < kBatchBytes); ++at) {
      jobs.push_back(read_job(at));
      bytes += layout_.parts[at].plain_bytes();
    }
    parallel_for(0, static_cast<int64_t>(jobs.size()), 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) code(jobs[static_cast<size_t>(i)]);
    });
    for (Job& job : jobs) write(job);
    return at;
  }

  Job read_job(size_t at) {
    const Part& part = layout_.parts[at];
    Job job{at, {}, {}, {}};
    for (const ByteRange& range : part.ranges) job.payloads.push_back(input_.read(range));
    if (part.kind == PartKind::kRest) {
      job.payloads.push_back(input_.read_rest(part.rest_member, part.rest_length));
    }
    if (part.kind == PartKind::kBytes || part.kind == PartKind::kPlanes) {
      const auto hash = support::hash128(job.payloads[0]);
      const auto [known, fresh] = seen_.emplace(std::pair(hash, job.payloads[0].size()), at);
      // A hash is a hint; the bytes decide.
      if (!fresh && input_.read(layout_.parts[known->second].ranges[0]) == job.payloads[0]) {
        job.source = known->second;
      }
    }
    return job;
  }

  void code(Job& job) const {
    const Part& part = layout_.parts[job.at];
    if (job.source) {
      Part copy;
      copy.kind = PartKind::kCopy;
      copy.ranges = part.ranges;
      job.coded = {{std::move(copy)}, {{}}};
    } else if (part.kind == PartKind::kSymbols) {
      job.coded = code_symbols(part, job.payloads);
    } else {
      job.coded = code_plain(part, job.payloads[0]);
    }
  }

  void write(Job& job) {
    for (size_t i = 0; i < job.coded.parts.size(); ++i) {
      Part& part = job.coded.parts[i];
      // Parts that were refused as symbols have become several: positions have moved.
      if (job.source) part.source = position_.at(*job.source);
      for (const Bytes& stream : job.coded.streams[i]) out_.write(std::span(stream));
      add_figure(part, layout_.labels[job.at]);
      if (i == 0) position_[job.at] = directory_.parts.size();
      directory_.parts.push_back(std::move(part));
    }
  }

  void add_figure(const Part& part, const std::string& label) {
    PartFigure figure;
    figure.label = label;
    figure.plain_bytes = part.plain_bytes();
    std::vector<std::string_view> coders;
    for (const Stream& stream : part.streams) {
      figure.packed_bytes += stream.length;
      coders.push_back(coder_name(stream.coder));
    }
    switch (part.kind) {
      case PartKind::kSymbols:
        figure.method = "symbols by mixing";
        figure.symbols = part.layout.symbols(part.ranges[0].length);
        break;
      case PartKind::kPlanes:
        figure.method = fmt::format("planes by {}", fmt::join(coders, ", "));
        break;
      case PartKind::kCopy:
        figure.method = "copy";
        break;
      default:
        figure.method = fmt::format("bytes by {}", coders[0]);
        break;
    }
    figures_.parts.push_back(std::move(figure));
  }

  void finish() {
    const uint64_t offset = out_.position();
    const std::string directory = write_directory(directory_);
    out_.write(directory);
    std::string trailer;
    const auto put = [&](uint64_t value) {
      for (int i = 0; i < 8; ++i) trailer.push_back(static_cast<char>(value >> (8 * i)));
    };
    put(offset);
    put(support::hash128(directory).low);
    put(offset + directory.size() + kTrailerBytes);
    trailer.append(kTrailerMagic);
    out_.write(trailer);
  }

  Layout layout_;
  Input input_;
  support::AtomicFile out_;
  Directory directory_;
  PackFigures figures_;
  std::map<std::pair<support::Hash128, size_t>, size_t> seen_;
  std::map<size_t, uint64_t> position_;  ///< of a part of the layout, in the directory
};

}  // namespace

PackFigures pack(const std::filesystem::path& file, const std::filesystem::path& archive,
                 bool overwrite) {
  return Packer(file, archive, overwrite).run();
}

}  // namespace mcompress::archive
