// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "data/image_file.h"
#include "mcompress/error.h"

namespace mcompress::data {
namespace {

constexpr size_t kFileHeader = 14, kLeastInfo = 40;
constexpr uint32_t kRgb = 0, kBitFields = 3;

uint32_t word(std::span<const uint8_t> bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

struct Bitmap {
  int64_t width = 0, height = 0;
  bool top_down = false;
  uint32_t bits = 0;
  size_t data_at = 0, stride = 0;
  std::span<const uint8_t> palette;  ///< blue, green, red, 0
};

Bitmap parse_headers(std::span<const uint8_t> bytes, const std::string& name) {
  const auto fail = [&](std::string_view why) {
    return Error(ErrorCode::kData, fmt::format("{}: BMP: {}", name, why));
  };
  if (bytes.size() < kFileHeader + kLeastInfo) throw fail("truncated");
  Bitmap bitmap;
  bitmap.data_at = word(bytes, 10, 4);
  const size_t info = word(bytes, 14, 4);
  if (info < kLeastInfo || info > bytes.size() - kFileHeader)
    throw fail("this kind of header is not read");
  bitmap.width = static_cast<int32_t>(word(bytes, 18, 4));
  const auto height = static_cast<int32_t>(word(bytes, 22, 4));
  bitmap.top_down = height < 0;
  bitmap.height = std::abs(int64_t{height});
  bitmap.bits = word(bytes, 28, 2);
  const uint32_t compression = word(bytes, 30, 4);
  const bool plain =
      compression == kRgb && (bitmap.bits == 1 || bitmap.bits == 4 || bitmap.bits == 8 ||
                              bitmap.bits == 24 || bitmap.bits == 32);
  // Masks of 32-bit files are taken to be the usual ones: blue, green, red, alpha.
  const bool masked = compression == kBitFields && bitmap.bits == 32;
  if (!plain && !masked) {
    throw fail(fmt::format("{} bits with compression {} is not read", bitmap.bits, compression));
  }
  if (bitmap.bits <= 8) {
    size_t colors = word(bytes, 46, 4);
    if (colors == 0 || colors > (size_t{1} << bitmap.bits)) colors = size_t{1} << bitmap.bits;
    const size_t at = kFileHeader + info;
    if (colors * 4 > bytes.size() - at) throw fail("truncated palette");
    bitmap.palette = bytes.subspan(at, colors * 4);
  }
  return bitmap;
}

void read_pixel(const Bitmap& bitmap, const uint8_t* row, int64_t x, uint8_t* out) {
  const uint8_t* color = nullptr;
  if (bitmap.bits > 8) {
    color = row + x * (bitmap.bits / 8);
  } else {
    const int64_t per_byte = 8 / bitmap.bits;
    const auto shift = static_cast<uint32_t>((per_byte - 1 - x % per_byte) * bitmap.bits);
    const size_t index = (uint32_t{row[x / per_byte]} >> shift) & ((1U << bitmap.bits) - 1);
    // An index past the palette is black, as viewers show it.
    static constexpr uint8_t kBlack[3] = {0, 0, 0};
    color = index * 4 < bitmap.palette.size() ? bitmap.palette.data() + index * 4 : kBlack;
  }
  out[0] = color[2];
  out[1] = color[1];
  out[2] = color[0];
}

}  // namespace

Image decode_bmp(std::span<const uint8_t> bytes, const std::string& name) {
  Bitmap bitmap = parse_headers(bytes, name);
  // The largest plausible size is checked before memory is taken for it.
  if (bitmap.width <= 0 || bitmap.height <= 0) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: BMP: {} x {} pixels", name, bitmap.width, bitmap.height));
  }
  bitmap.stride = (static_cast<size_t>(bitmap.width) * bitmap.bits + 31) / 32 * 4;
  if (bitmap.data_at > bytes.size() ||
      static_cast<size_t>(bitmap.height) > (bytes.size() - bitmap.data_at) / bitmap.stride) {
    throw Error(ErrorCode::kData, name + ": BMP: truncated");
  }
  Image image = make_image(bitmap.width, bitmap.height, name);
  for (int64_t y = 0; y < image.height; ++y) {
    const int64_t stored = bitmap.top_down ? y : image.height - 1 - y;
    const uint8_t* row =
        bytes.data() + bitmap.data_at + static_cast<size_t>(stored) * bitmap.stride;
    for (int64_t x = 0; x < image.width; ++x) read_pixel(bitmap, row, x, image.row(y) + 3 * x);
  }
  return image;
}

}  // namespace mcompress::data
