// SPDX-License-Identifier: Apache-2.0
#include "data/image_file.h"

#include <algorithm>

#include <fmt/format.h>

#include "data/byte_source.h"
#include "mcompress/error.h"

namespace mcompress::data {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 28;
constexpr uint64_t kLargestFile = uint64_t{1} << 30;

bool begins(std::span<const uint8_t> bytes, std::initializer_list<uint8_t> magic) {
  return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

}  // namespace

Image make_image(int64_t width, int64_t height, const std::string& name) {
  if (width <= 0 || height <= 0 || width > kMostPixels / height) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: an image of {} x {} pixels is not read", name, width, height));
  }
  Image image{width, height, {}};
  image.pixels.resize(static_cast<size_t>(3 * width * height));
  return image;
}

Image read_image(const std::filesystem::path& path) {
  const std::string text = read_whole_file(path, kLargestFile);
  const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  if (begins(bytes, {0x89, 'P', 'N', 'G'})) return decode_png(bytes, path.string());
  if (begins(bytes, {0xff, 0xd8, 0xff})) return decode_jpeg(bytes, path.string());
  if (begins(bytes, {'B', 'M'})) return decode_bmp(bytes, path.string());
  throw Error(ErrorCode::kData, fmt::format("{}: not a PNG, JPEG or BMP image", path.string()));
}

}  // namespace mcompress::data
