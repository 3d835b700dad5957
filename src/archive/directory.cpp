// SPDX-License-Identifier: Apache-2.0
#include "archive/directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "archive/bit_coder.h"
#include "archive/damage.h"

namespace mcompress::archive {
namespace {

class Writer {
 public:
  void number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }
  void fixed(uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) bytes_.push_back(static_cast<char>(value >> (8 * i)));
  }
  void text(std::string_view text) {
    number(text.size());
    bytes_.append(text);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  uint64_t number() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw damaged("a number of its directory does not end");
  }
  uint64_t number_below(uint64_t limit, const char* what) {
    const uint64_t value = number();
    if (value >= limit) throw damaged(fmt::format("{} {} of {}", what, value, limit));
    return value;
  }
  /// A number of things that take at least one byte each.
  uint64_t how_many() { return number_below(bytes_.size() - at_ + 1, "number of entries"); }
  uint64_t fixed(int bytes) {
    uint64_t value = 0;
    const auto text = take(static_cast<uint64_t>(bytes));
    for (int i = 0; i < bytes; ++i) {
      value |= uint64_t{static_cast<unsigned char>(text[static_cast<size_t>(i)])} << (8 * i);
    }
    return value;
  }
  std::string_view text() { return take(number()); }
  bool done() const { return at_ == bytes_.size(); }

 private:
  std::string_view take(uint64_t length) {
    if (length > bytes_.size() - at_) throw damaged("its directory is too short");
    const auto part = bytes_.substr(at_, length);
    at_ += length;
    return part;
  }
  std::string_view bytes_;
  size_t at_ = 0;
};

void write_words(Writer& out, const WordLayout& layout) {
  out.number(layout.bytes);
  out.number(layout.radix);
  out.number(layout.per_word);
}

WordLayout read_words(Reader& in) {
  WordLayout layout;
  layout.bytes = static_cast<uint32_t>(in.number_below(9, "bytes of a word"));
  layout.radix = in.number();
  layout.per_word = static_cast<uint32_t>(in.number_below(65, "digits of a word"));
  return layout;
}

void write_layout(Writer& out, const SymbolLayout& layout) {
  out.number(static_cast<uint64_t>(layout.form) * 2 + (layout.survivors ? 1 : 0));
  write_words(out, layout.digits);
  if (layout.survivors) write_words(out, *layout.survivors);
  if (layout.form == SymbolForm::kGap) {
    out.number(layout.codes);
    out.number(layout.count);
  }
  out.number(layout.width);
}

SymbolLayout read_layout(Reader& in) {
  SymbolLayout layout;
  const uint64_t form = in.number_below(6, "kind of symbols");
  layout.form = static_cast<SymbolForm>(form / 2);
  layout.digits = read_words(in);
  if (form % 2 != 0) layout.survivors = read_words(in);
  if (layout.form == SymbolForm::kGap) {
    layout.codes = in.number();
    layout.count = in.number();
  }
  layout.width = in.number();
  if (!layout.valid()) throw damaged("its directory describes words that cannot be");
  return layout;
}

void write_part(Writer& out, const Part& part) {
  out.number(static_cast<uint64_t>(part.kind));
  if (part.kind == PartKind::kRest) {
    out.number(part.rest_member);
    out.number(part.rest_length);
  }
  if (part.kind == PartKind::kPlanes) out.number(part.element_bytes);
  if (part.kind == PartKind::kPlanes || part.kind == PartKind::kBytes) out.number(part.row_length);
  if (part.kind == PartKind::kSymbols) write_layout(out, part.layout);
  if (part.kind == PartKind::kCopy) out.number(part.source);
  for (const ByteRange& range : part.ranges) {
    out.number(range.member);
    out.number(range.offset);
    out.number(range.length);
  }
  for (const Stream& stream : part.streams) {
    out.number(static_cast<uint64_t>(stream.coder));
    out.number(stream.length);
    out.fixed(stream.checksum, 4);
  }
}

/// Number of ranges and streams that a part has by its kind.
std::pair<size_t, size_t> counts_of(const Part& part) {
  switch (part.kind) {
    case PartKind::kRest:
      return {0, 1};
    case PartKind::kBytes:
      return {1, 1};
    case PartKind::kPlanes:
      return {1, part.element_bytes};
    case PartKind::kSymbols:
      return {part.layout.payloads(), 1};
    case PartKind::kCopy:
      break;
  }
  return {1, 0};
}

Part read_part(Reader& in, const Directory& directory) {
  Part part;
  part.kind = static_cast<PartKind>(in.number_below(5, "kind of part"));
  const size_t members = directory.members.size();
  if (part.kind == PartKind::kRest) {
    part.rest_member = in.number_below(members, "member");
    part.rest_length = in.number_below(kPieceBytes + 1, "bytes of a piece");
  }
  if (part.kind == PartKind::kPlanes) {
    part.element_bytes = in.number_below(17, "bytes of an element");
    if (part.element_bytes == 0) throw damaged("elements of no bytes");
  }
  if (part.kind == PartKind::kPlanes || part.kind == PartKind::kBytes) {
    part.row_length = in.number_below(kPieceBytes + 1, "length of a row");
  }
  if (part.kind == PartKind::kSymbols) part.layout = read_layout(in);
  if (part.kind == PartKind::kCopy) {
    part.source = in.number_below(directory.parts.size(), "copy of part");
  }
  const auto [ranges, streams] = counts_of(part);
  for (size_t i = 0; i < ranges; ++i) {
    ByteRange range;
    range.member = in.number_below(members, "member");
    const uint64_t size = directory.members[range.member].size;
    range.offset = in.number_below(size + 1, "offset");
    range.length = in.number_below(size - range.offset + 1, "length");
    part.ranges.push_back(range);
  }
  for (size_t i = 0; i < streams; ++i) {
    Stream stream;
    stream.coder = static_cast<Coder>(in.number_below(4, "coder"));
    stream.length = in.number();
    stream.checksum = static_cast<uint32_t>(in.fixed(4));
    part.streams.push_back(stream);
  }
  return part;
}

void check_symbols(const Part& part) {
  const uint64_t symbols = part.layout.symbols(part.ranges[0].length);
  const Stream& stream = part.streams[0];
  if (stream.coder != Coder::kMixing) throw damaged("symbols in a stream of bytes");
  if (symbols > symbols_within(stream.length)) {
    throw damaged(
        fmt::format("a stream of {} bytes cannot hold {} symbols", stream.length, symbols));
  }
  for (const ByteRange& range : part.ranges) {
    if (range.length / 8 > symbols + 65) {
      throw damaged(fmt::format("{} symbols cannot stand for {} bytes", symbols, range.length));
    }
  }
}

void check_part(const Part& part, const Directory& directory) {
  const uint64_t bytes = part.plain_bytes();
  switch (part.kind) {
    case PartKind::kSymbols:
      return check_symbols(part);
    case PartKind::kCopy: {
      const Part& source = directory.parts[part.source];
      if (source.kind != PartKind::kBytes && source.kind != PartKind::kPlanes) {
        throw damaged("a copy of what is no piece");
      }
      if (source.plain_bytes() != bytes) throw damaged("a copy of another length");
      return;
    }
    default:
      break;
  }
  if (bytes > kPieceBytes) throw damaged(fmt::format("a piece of {} bytes", bytes));
  if (bytes % part.streams.size() != 0) throw damaged("planes of unequal length");
  for (const Stream& stream : part.streams) {
    check_stream(stream.coder, stream.length, bytes / part.streams.size());
  }
}

/// Every byte of a member is in one range or in the rest.
void check_cover(const Directory& directory) {
  std::vector<std::vector<ByteRange>> ranges(directory.members.size());
  std::vector<uint64_t> rest(directory.members.size());
  for (const Part& part : directory.parts) {
    for (const ByteRange& range : part.ranges) ranges[range.member].push_back(range);
    if (part.kind == PartKind::kRest) {
      rest[part.rest_member] += part.rest_length;  // each length is bounded, so is their number
    }
  }
  for (size_t m = 0; m < ranges.size(); ++m) {
    std::sort(ranges[m].begin(), ranges[m].end(),
              [](const ByteRange& a, const ByteRange& b) { return a.offset < b.offset; });
    uint64_t end = 0, covered = 0;
    for (const ByteRange& range : ranges[m]) {
      if (range.offset < end) throw damaged("two parts hold the same bytes");
      end = range.offset + range.length;
      covered += range.length;
    }
    const Member& member = directory.members[m];
    if (covered + rest[m] != member.size) {
      throw damaged(fmt::format("{}: parts of {} bytes for a file of {}", member.name,
                                covered + rest[m], member.size));
    }
  }
}

}  // namespace

uint64_t Part::plain_bytes() const {
  uint64_t bytes = rest_length;
  for (const ByteRange& range : ranges) bytes += range.length;
  return bytes;
}

bool is_safe_name(std::string_view name) {
  if (name.empty() || name.size() > 4096) return false;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const auto part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return std::none_of(name.begin(), name.end(),
                      [](char c) { return c == '\\' || static_cast<unsigned char>(c) < 32; });
}

std::string write_directory(const Directory& directory) {
  Writer out;
  out.number(directory.members.size());
  for (const Member& member : directory.members) {
    out.text(member.name);
    out.number(member.size);
    out.fixed(member.hash.low, 8);
    out.fixed(member.hash.high, 8);
  }
  out.number(directory.parts.size());
  for (const Part& part : directory.parts) write_part(out, part);
  return out.take();
}

Directory read_directory(std::string_view bytes, uint64_t end_of_streams) {
  Reader in(bytes);
  Directory directory;
  std::set<std::string> names;
  const uint64_t members = in.how_many();
  for (uint64_t i = 0; i < members; ++i) {
    Member member;
    member.name = std::string(in.text());
    if (!is_safe_name(member.name)) {
      throw damaged("it holds a file whose name leads elsewhere");
    }
    if (!names.insert(member.name).second) throw damaged("it holds two files of one name");
    member.size = in.number_below(uint64_t{1} << 62, "file size");
    member.hash.low = in.fixed(8);
    member.hash.high = in.fixed(8);
    directory.members.push_back(std::move(member));
  }
  if (members == 0) throw damaged("it holds no file");
  const uint64_t parts = in.how_many();
  uint64_t offset = kHeaderBytes;
  for (uint64_t i = 0; i < parts; ++i) {
    Part part = read_part(in, directory);
    for (Stream& stream : part.streams) {
      if (stream.length > end_of_streams - offset) throw damaged("its streams are longer than it");
      stream.offset = offset;
      offset += stream.length;
    }
    check_part(part, directory);
    directory.parts.push_back(std::move(part));
  }
  if (!in.done() || offset != end_of_streams) throw damaged("bytes that belong to nothing");
  check_cover(directory);
  return directory;
}

}  // namespace mcompress::archive
