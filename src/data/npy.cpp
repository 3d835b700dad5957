// SPDX-License-Identifier: Apache-2.0
#include "data/npy.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "data/names.h"
#include "data/zip_archive.h"
#include "mcompress/error.h"
#include "support/did_you_mean.h"

namespace mcompress::data {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint64_t kLongestHeader = uint64_t{1} << 20;
constexpr int64_t kLargestTransposed = int64_t{256} << 20;

[[noreturn]] void fail(const ByteSource& source, std::string_view why) {
  throw Error(ErrorCode::kData, fmt::format("{}: {}", source.name(), why));
}

struct Header {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

/// Reads the Python literal {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } and nothing
/// beyond it. Every method returns false, or nothing, where the text is something else.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  std::optional<Header> parse() {
    Header header;
    bool descr = false, order = false, shape = false;
    if (!eat('{')) return std::nullopt;
    while (!eat('}')) {
      const auto key = string();
      if (!key || !eat(':')) return std::nullopt;
      if (*key == "descr") {
        auto value = string();
        if (!value) return std::nullopt;
        header.descr = *value;
        descr = true;
      } else if (*key == "fortran_order") {
        order = literal("True") ? (header.fortran_order = true) : literal("False");
        if (!order) return std::nullopt;
      } else if (*key == "shape") {
        if (!tuple(header.shape)) return std::nullopt;
        shape = true;
      } else {
        return std::nullopt;
      }
      if (!eat(',') && !at('}')) return std::nullopt;
    }
    if (!descr || !order || !shape) return std::nullopt;
    return header;
  }

 private:
  void skip_blanks() {
    const size_t at = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(at == std::string_view::npos ? rest_.size() : at);
  }
  bool at(char c) {
    skip_blanks();
    return !rest_.empty() && rest_.front() == c;
  }
  bool eat(char c) {
    if (!at(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool literal(std::string_view word) {
    skip_blanks();
    if (rest_.substr(0, word.size()) != word) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::optional<std::string> string() {
    for (const char quote : {'\'', '"'}) {
      if (!eat(quote)) continue;
      const size_t end = rest_.find(quote);
      if (end == std::string_view::npos) return std::nullopt;
      std::string text(rest_.substr(0, end));
      rest_.remove_prefix(end + 1);
      return text;
    }
    return std::nullopt;
  }
  bool tuple(Shape& shape) {
    if (!eat('(')) return false;
    while (!eat(')')) {
      skip_blanks();
      int64_t value = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
      if (error != std::errc() || value < 0) return false;
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      eat('L');  // Python 2 wrote long integers so
      shape.push_back(value);
      if (!eat(',') && !at(')')) return false;
    }
    return true;
  }

  std::string_view rest_;
};

/// "<f4" -> float. nullopt for a type that is no number we know.
std::optional<DataType> parse_type(std::string_view code) {
  struct Row {
    std::string_view code;
    DataType type;
  };
  static constexpr Row kRows[] = {
      {"b1", DataType::kBool},    {"i1", DataType::kInt8},   {"i2", DataType::kInt16},
      {"i4", DataType::kInt32},   {"i8", DataType::kInt64},  {"u1", DataType::kUint8},
      {"u2", DataType::kUint16},  {"u4", DataType::kUint32}, {"u8", DataType::kUint64},
      {"f2", DataType::kFloat16}, {"f4", DataType::kFloat},  {"f8", DataType::kDouble},
  };
  for (const Row& row : kRows) {
    if (row.code == code) return row.type;
  }
  return std::nullopt;
}

/// Row-major copy of a column-major array: the last stored axis varies slowest.
Tensor transpose_from_fortran(const StoredArray& stored, const Shape& shape) {
  const Tensor column_major = stored.read(0, {stored.count()});
  Tensor result(stored.type(), shape);
  const size_t width = static_cast<size_t>(data_type_bits(stored.type())) / 8;
  const std::span<const std::byte> from = column_major.bytes();
  const std::span<std::byte> to = result.mutate();
  std::vector<int64_t> stride(shape.size(), 1), at(shape.size(), 0);
  for (size_t axis = 1; axis < shape.size(); ++axis)
    stride[axis] = stride[axis - 1] * shape[axis - 1];
  int64_t source = 0;
  for (int64_t i = 0; i < result.count(); ++i) {
    std::copy_n(from.begin() + source * static_cast<int64_t>(width), width,
                to.begin() + i * static_cast<int64_t>(width));
    for (size_t axis = shape.size(); axis-- > 0;) {
      source += stride[axis];
      if (++at[axis] < shape[axis]) break;
      source -= stride[axis] * shape[axis];
      at[axis] = 0;
    }
  }
  return result;
}

std::string read_header_text(const ByteSource& source, uint64_t size, uint64_t& data_at) {
  std::byte fixed[12] = {};
  if (size < 10) fail(source, "truncated: no .npy header");
  source.read(0, std::span(fixed).first(10));
  if (std::string_view(reinterpret_cast<const char*>(fixed), kMagic.size()) != kMagic) {
    fail(source, "not an .npy array");
  }
  const int version = std::to_integer<int>(fixed[6]);
  if (version < 1 || version > 3) {
    fail(source, fmt::format(".npy version {} is not known, 1 to 3 are", version));
  }
  uint64_t length = std::to_integer<uint64_t>(fixed[8]) | std::to_integer<uint64_t>(fixed[9]) << 8;
  data_at = 10;
  if (version > 1) {
    if (size < 12) fail(source, "truncated: no .npy header");
    source.read(10, std::span(fixed).subspan(10, 2));
    length |= std::to_integer<uint64_t>(fixed[10]) << 16 | std::to_integer<uint64_t>(fixed[11])
                                                               << 24;
    data_at = 12;
  }
  if (length > kLongestHeader || length > size - data_at)
    fail(source, "truncated: .npy header is cut");
  std::string text(static_cast<size_t>(length), '\0');
  source.read(data_at, std::as_writable_bytes(std::span(text)));
  data_at += length;
  return text;
}

}  // namespace

StoredArray read_npy(std::shared_ptr<const ByteSource> source, uint64_t size) {
  uint64_t data_at = 0;
  const std::string text = read_header_text(*source, size, data_at);
  const auto header = HeaderParser(text).parse();
  if (!header) {
    // A list of fields instead of a type is a structured array: valid, and nothing to feed.
    fail(*source, text.find('[') != std::string::npos ? "structured arrays are not read"
                                                      : "the .npy header is corrupt");
  }
  const std::string& descr = header->descr;
  const auto type =
      descr.size() >= 2 ? parse_type(std::string_view(descr).substr(1)) : std::nullopt;
  if (!type || std::string_view("<>|=").find(descr[0]) == std::string_view::npos) {
    fail(*source,
         fmt::format("holds '{}', not numbers (bool, int8-64, uint8-64, float16-64)", descr));
  }
  StoredArray array(source, data_at, *type, header->shape, descr[0] == '>');
  const uint64_t bytes = packed_bytes(*type, array.count());
  if (bytes > size - data_at) {
    fail(*source,
         fmt::format("truncated: {} of {} takes {} bytes, there are {}", to_string(header->shape),
                     data_type_name(*type), bytes, size - data_at));
  }
  if (!header->fortran_order || array.rank() < 2 || array.count() == 0) return array;
  if (static_cast<int64_t>(bytes) > kLargestTransposed) {
    throw Error(
        ErrorCode::kData,
        fmt::format("{}: column-major (Fortran order), which is read up to 256 MB", source->name()))
        .hint("save numpy.ascontiguousarray(x)");
  }
  return StoredArray(transpose_from_fortran(array, header->shape), source->name());
}

StoredArray read_npy(const std::filesystem::path& path) {
  auto file = std::make_shared<support::InputFile>(path, ErrorCode::kData);
  const uint64_t size = file->size();
  return read_npy(file_range(std::move(file), 0, size, path.string()), size);
}

struct Npz::Impl {
  explicit Impl(const std::filesystem::path& path) : archive(path) {}
  ZipArchive archive;
  std::vector<std::pair<std::string, const ZipEntry*>> members;
};

Npz::Npz(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {
  constexpr std::string_view kSuffix = ".npy";
  for (const ZipEntry& entry : impl_->archive.entries()) {
    const std::string& name = entry.name;
    if (name.size() <= kSuffix.size() || !std::string_view(name).ends_with(kSuffix)) continue;
    impl_->members.emplace_back(name.substr(0, name.size() - kSuffix.size()), &entry);
  }
  if (impl_->members.empty()) {
    throw Error(ErrorCode::kData, fmt::format("{}: a zip file without .npy arrays", path.string()));
  }
}

Npz::~Npz() = default;

std::vector<std::string> Npz::keys() const {
  std::vector<std::string> keys;
  for (const auto& member : impl_->members) keys.push_back(member.first);
  return keys;
}

bool Npz::has(const std::string& key) const {
  return std::ranges::any_of(impl_->members, [&](const auto& m) { return m.first == key; });
}

StoredArray Npz::load(const std::string& key) const {
  for (const auto& [name, entry] : impl_->members) {
    if (name == key) return read_npy(impl_->archive.open(*entry), entry->size);
  }
  throw Error(ErrorCode::kData, fmt::format("{}: no array '{}'; there are {}",
                                            impl_->archive.name(), key, list_names(keys())))
      .hint(did_you_mean(key, keys()));
}

}  // namespace mcompress::data
