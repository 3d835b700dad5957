// SPDX-License-Identifier: Apache-2.0
#include <csetjmp>
#include <cstdio>
// libjpeg's header needs FILE and size_t declared before it.
#include <jpeglib.h>

#include <jerror.h>

#include <fmt/format.h>

#include "data/image_file.h"
#include "mcompress/error.h"

namespace mcompress::data {
namespace {

/// State of one decoding. libjpeg leaves by longjmp, so nothing between setjmp and it has a
/// destructor.
struct Decoder {
  jpeg_decompress_struct jpeg = {};
  jpeg_error_mgr errors = {};
  std::jmp_buf leave;
  char message[JMSG_LENGTH_MAX] = {};
};

void on_error(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  info->err->format_message(info, decoder->message);
  std::longjmp(decoder->leave, 1);
}

/// libjpeg fills a cut image with gray and only warns; a cut file is no data.
void on_message(j_common_ptr info, int level) {
  if (level < 0 &&
      (info->err->msg_code == JWRN_JPEG_EOF || info->err->msg_code == JWRN_HIT_MARKER)) {
    on_error(info);
  }
}

bool start(Decoder& decoder, std::span<const uint8_t> bytes) {
  if (setjmp(decoder.leave) != 0) return false;
  jpeg_create_decompress(&decoder.jpeg);
  jpeg_mem_src(&decoder.jpeg, bytes.data(), bytes.size());
  jpeg_read_header(&decoder.jpeg, TRUE);
  const bool four = decoder.jpeg.num_components == 4;
  decoder.jpeg.out_color_space = four                               ? JCS_CMYK
                                 : decoder.jpeg.num_components == 1 ? JCS_GRAYSCALE
                                                                    : JCS_RGB;
  jpeg_start_decompress(&decoder.jpeg);
  return true;
}

/// One row of what libjpeg gives as RGB. Adobe stores CMYK inverted, and files without its marker
/// do too.
void widen(const uint8_t* from, int components, int64_t width, uint8_t* to) {
  for (int64_t x = 0; x < width; ++x, from += components, to += 3) {
    for (int c = 0; c < 3; ++c) {
      to[c] = components == 1   ? from[0]
              : components == 3 ? from[c]
                                : static_cast<uint8_t>((from[c] * from[3] + 127) / 255);
    }
  }
}

bool read_rows(Decoder& decoder, Image& image, uint8_t* line) {
  if (setjmp(decoder.leave) != 0) return false;
  while (decoder.jpeg.output_scanline < decoder.jpeg.output_height) {
    const JDIMENSION y = decoder.jpeg.output_scanline;
    JSAMPROW rows[1] = {line};
    jpeg_read_scanlines(&decoder.jpeg, rows, 1);
    widen(line, decoder.jpeg.output_components, image.width, image.row(static_cast<int64_t>(y)));
  }
  jpeg_finish_decompress(&decoder.jpeg);
  return true;
}

struct Guard {
  Decoder& decoder;
  ~Guard() { jpeg_destroy_decompress(&decoder.jpeg); }
};

[[noreturn]] void fail(const Decoder& decoder, const std::string& name) {
  throw Error(ErrorCode::kData, fmt::format("{}: JPEG: {}", name, decoder.message));
}

}  // namespace

Image decode_jpeg(std::span<const uint8_t> bytes, const std::string& name) {
  Decoder decoder;
  decoder.jpeg.err = jpeg_std_error(&decoder.errors);
  decoder.jpeg.client_data = &decoder;
  decoder.errors.error_exit = on_error;
  decoder.errors.emit_message = on_message;
  const Guard guard{decoder};
  if (!start(decoder, bytes)) fail(decoder, name);
  Image image = make_image(decoder.jpeg.output_width, decoder.jpeg.output_height, name);
  std::vector<uint8_t> line(static_cast<size_t>(image.width) * 4);
  if (!read_rows(decoder, image, line.data())) fail(decoder, name);
  return image;
}

}  // namespace mcompress::data
