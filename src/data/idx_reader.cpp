// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "data/array_dataset.h"
#include "data/byte_source.h"
#include "data/readers.h"
#include "mcompress/error.h"

namespace mcompress::data {
namespace {

namespace fs = std::filesystem;

struct TypeCode {
  int code;
  DataType type;
};
constexpr TypeCode kTypes[] = {{0x08, DataType::kUint8}, {0x09, DataType::kInt8},
                               {0x0b, DataType::kInt16}, {0x0c, DataType::kInt32},
                               {0x0d, DataType::kFloat}, {0x0e, DataType::kDouble}};
constexpr uint64_t kWordSize = 4;

std::optional<DataType> parse_magic(std::span<const std::byte> magic) {
  if (magic[0] != std::byte{0} || magic[1] != std::byte{0}) return std::nullopt;
  for (const TypeCode& row : kTypes) {
    if (std::to_integer<int>(magic[2]) == row.code) return row.type;
  }
  return std::nullopt;
}

bool is_gzip(const support::InputFile& file) {
  std::array<std::byte, 2> start = {};
  if (file.size() < 18) return false;
  file.read(0, start);
  return start[0] == std::byte{0x1f} && start[1] == std::byte{0x8b};
}

/// The bytes of a file, unfolded where it is gzipped. gzip does not say how many there are: the
/// last word holds the size modulo 4 GiB, good enough for spacing snapshots.
std::shared_ptr<const ByteSource> open_bytes(const fs::path& path) {
  auto file = std::make_shared<support::InputFile>(path, ErrorCode::kData);
  const uint64_t size = file->size();
  if (!is_gzip(*file)) return file_range(std::move(file), 0, size, path.string());
  std::array<std::byte, kWordSize> word = {};
  file->read(size - kWordSize, word);
  uint64_t expected = 0;
  for (size_t i = kWordSize; i-- > 0;)
    expected = expected << 8 | std::to_integer<uint64_t>(word[i]);
  return inflated(std::move(file), 0, size, Compression::kGzip, expected, path.string());
}

StoredArray read_idx(const fs::path& path) {
  const auto source = open_bytes(path);
  std::array<std::byte, kWordSize> word = {};
  source->read(0, word);
  const auto type = parse_magic(word);
  if (!type) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: not an IDX file: it begins with {:02x} {:02x} {:02x}",
                            path.string(), std::to_integer<int>(word[0]),
                            std::to_integer<int>(word[1]), std::to_integer<int>(word[2])));
  }
  const size_t rank = std::to_integer<size_t>(word[3]);
  if (rank == 0 || rank > 8) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: IDX rank {} is outside 1..8", path.string(), rank));
  }
  Shape shape;
  for (size_t axis = 0; axis < rank; ++axis) {
    source->read(kWordSize * (axis + 1), word);
    int64_t dimension = 0;
    for (const std::byte part : word) dimension = dimension << 8 | std::to_integer<int64_t>(part);
    shape.push_back(dimension);
  }
  const uint64_t data_at = kWordSize * (rank + 1);
  const StoredArray array(source, data_at, *type, shape, true);
  if (array.count() > 0) {
    // The last value is there: a cut file is reported now and not in the middle of a run. For a
    // gzipped file this reads it once, which the scan for NaN does anyway.
    array.read(array.count() - 1, {1});
  }
  return array;
}

/// t10k-images-idx3-ubyte.gz -> t10k-labels-idx1-ubyte.gz beside it, if it is there.
std::optional<fs::path> find_labels(const fs::path& images) {
  std::string name = images.filename().string();
  const auto replace = [&](std::string_view from, std::string_view to) {
    const size_t at = name.find(from);
    if (at != std::string::npos) name.replace(at, from.size(), to);
    return at != std::string::npos;
  };
  if (!replace("images", "labels")) return std::nullopt;
  replace("idx3", "idx1");
  fs::path path = images.parent_path() / name;
  if (!fs::is_regular_file(path)) return std::nullopt;
  return path;
}

}  // namespace

bool looks_like_idx(const fs::path& path) {
  try {
    std::array<std::byte, kWordSize> magic = {};
    open_bytes(path)->read(0, magic);
    return parse_magic(magic).has_value() && magic[3] != std::byte{0};
  } catch (const Error&) {
    return false;
  }
}

std::shared_ptr<const Dataset> open_idx(const DataSource& source, const Inputs& inputs) {
  const SourceOptions options(source, "idx");
  if (inputs.size() != 1) {
    throw Error(ErrorCode::kData, fmt::format("{}: IDX feeds one input, the model has {}",
                                              source.origin, inputs.size()));
  }
  const auto images = source.files.find("images");
  const fs::path path = images != source.files.end() ? images->second : source.path;
  if (path.empty()) {
    throw Error(ErrorCode::kRecipe, source.origin + ": idx data without 'images'");
  }
  ArraySource arrays;
  arrays.layout = parse_layout(options);
  arrays.limit = options.integer("limit", 1);
  arrays.files.push_back(path);
  arrays.inputs.push_back({inputs[0], fit_input(inputs[0], read_idx(path), arrays.layout)});
  if (transformed_input(options, inputs) >= 0)
    arrays.inputs[0].transform = Transform::parse(options);
  const auto named = source.files.find("labels");
  const auto labels =
      named != source.files.end() ? std::optional(named->second) : find_labels(path);
  if (labels) {
    arrays.labels = read_idx(*labels);
    arrays.files.push_back(*labels);
  }
  return make_array_dataset(std::move(arrays), source);
}

}  // namespace mcompress::data
