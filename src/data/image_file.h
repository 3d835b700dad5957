// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace mcompress::data {

/// 8-bit RGB pixels, row by row. Gray and palette images are widened, alpha is dropped, 16-bit
/// samples keep their upper half.
struct Image {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> pixels;  ///< 3 * width * height

  uint8_t* row(int64_t y) { return pixels.data() + 3 * width * y; }
  const uint8_t* row(int64_t y) const { return pixels.data() + 3 * width * y; }
};

/// Decodes PNG, JPEG or BMP, told apart by content. Throws kData naming the file: not an image,
/// cut, corrupt, larger than 2^28 pixels. Orientation and gamma tags are ignored.
Image read_image(const std::filesystem::path& path);

Image decode_png(std::span<const uint8_t> bytes, const std::string& name);
Image decode_jpeg(std::span<const uint8_t> bytes, const std::string& name);
Image decode_bmp(std::span<const uint8_t> bytes, const std::string& name);

/// An image of this size; throws kData above 2^28 pixels or without any.
Image make_image(int64_t width, int64_t height, const std::string& name);

}  // namespace mcompress::data
