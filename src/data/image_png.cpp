// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <csetjmp>
#include <cstring>

#include <fmt/format.h>

#include "data/image_file.h"
#include "mcompress/error.h"

namespace mcompress::data {
namespace {

/// State of one decoding. libpng leaves by longjmp, so nothing between setjmp and it has a
/// destructor.
struct Decoder {
  const uint8_t* bytes = nullptr;
  size_t size = 0, at = 0;
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf leave;
  char message[160] = {};
};

void on_error(png_structp png, png_const_charp message) {
  auto* decoder = static_cast<Decoder*>(png_get_error_ptr(png));
  std::strncpy(decoder->message, message, sizeof(decoder->message) - 1);
  std::longjmp(decoder->leave, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, png_size_t count) {
  auto* decoder = static_cast<Decoder*>(png_get_io_ptr(png));
  if (count > decoder->size - decoder->at) png_error(png, "truncated");
  std::memcpy(out, decoder->bytes + decoder->at, count);
  decoder->at += count;
}

bool read_header(Decoder& decoder) {
  if (setjmp(decoder.leave) != 0) return false;
  png_read_info(decoder.png, decoder.info);
  png_set_strip_16(decoder.png);
  png_set_expand(decoder.png);
  png_set_strip_alpha(decoder.png);
  png_set_gray_to_rgb(decoder.png);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  return true;
}

bool read_rows(Decoder& decoder, png_bytepp rows) {
  if (setjmp(decoder.leave) != 0) return false;
  png_read_image(decoder.png, rows);
  png_read_end(decoder.png, nullptr);
  return true;
}

/// Frees libpng's structures whatever happens.
struct Guard {
  Decoder& decoder;
  ~Guard() { png_destroy_read_struct(&decoder.png, &decoder.info, nullptr); }
};

[[noreturn]] void fail(const Decoder& decoder, const std::string& name) {
  throw Error(ErrorCode::kData, fmt::format("{}: PNG: {}", name, decoder.message));
}

}  // namespace

Image decode_png(std::span<const uint8_t> bytes, const std::string& name) {
  Decoder decoder;
  decoder.bytes = bytes.data();
  decoder.size = bytes.size();
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
  const Guard guard{decoder};
  if (decoder.png != nullptr) decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) throw Error(ErrorCode::kRuntime, name + ": no memory to decode");
  png_set_read_fn(decoder.png, &decoder, on_read);
  if (!read_header(decoder)) fail(decoder, name);
  Image image = make_image(png_get_image_width(decoder.png, decoder.info),
                           png_get_image_height(decoder.png, decoder.info), name);
  if (png_get_rowbytes(decoder.png, decoder.info) != static_cast<size_t>(3 * image.width)) {
    throw Error(ErrorCode::kData, name + ": PNG: not readable as 8-bit RGB");
  }
  std::vector<png_bytep> rows;
  for (int64_t y = 0; y < image.height; ++y) rows.push_back(image.row(y));
  if (!read_rows(decoder, rows.data())) fail(decoder, name);
  return image;
}

}  // namespace mcompress::data
