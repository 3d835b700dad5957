// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <cstdio>
#include <random>

#include <jpeglib.h>

#include "data/image_file.h"
#include "data/image_resize.h"
#include "tests/unit/data/data_files.h"

namespace mcompress::data_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class ImageTest : public DataTest {};

std::string png(uint32_t width, uint32_t height, uint32_t format,
                const std::vector<uint8_t>& pixels) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = format;
  std::string bytes(1 << 16, '\0');
  png_alloc_size_t size = bytes.size();
  png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr);
  bytes.resize(size);
  return bytes;
}

std::string jpeg(uint32_t width, uint32_t height, const std::vector<uint8_t>& rgb) {
  jpeg_compress_struct compress = {};
  jpeg_error_mgr errors = {};
  compress.err = jpeg_std_error(&errors);
  jpeg_create_compress(&compress);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&compress, &buffer, &size);
  compress.image_width = width;
  compress.image_height = height;
  compress.input_components = 3;
  compress.in_color_space = JCS_RGB;
  jpeg_set_defaults(&compress);
  jpeg_set_quality(&compress, 100, TRUE);
  jpeg_start_compress(&compress, TRUE);
  std::vector<uint8_t> copy = rgb;
  while (compress.next_scanline < height) {
    JSAMPROW row = copy.data() + compress.next_scanline * width * 3;
    jpeg_write_scanlines(&compress, &row, 1);
  }
  jpeg_finish_compress(&compress);
  std::string bytes(reinterpret_cast<char*>(buffer), size);
  jpeg_destroy_compress(&compress);
  free(buffer);
  return bytes;
}

/// 24 bits, two rows of two pixels, bottom row first, rows padded to four bytes.
std::string bmp() {
  return "BM" + little(70, 4) + little(0, 4) + little(54, 4) + little(40, 4) + little(2, 4) +
         little(2, 4) + little(1, 2) + little(24, 2) + std::string(24, '\0') +
         bytes_of<uint8_t>({9, 8, 7, 12, 11, 10, 0, 0, 3, 2, 1, 6, 5, 4, 0, 0});
}

const std::vector<uint8_t> kColors = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

TEST_F(ImageTest, DecodesEachFormatToTheSamePixels) {
  EXPECT_EQ(data::read_image(write("a.png", png(2, 2, PNG_FORMAT_RGB, kColors))).pixels, kColors);
  EXPECT_EQ(data::read_image(write("a.bmp", bmp())).pixels, kColors);
  const auto gray = data::read_image(write("g.png", png(2, 1, PNG_FORMAT_GRAY, {5, 9})));
  EXPECT_THAT(gray.pixels, ElementsAre(5, 5, 5, 9, 9, 9));
  const auto alpha = data::read_image(write("t.png", png(1, 1, PNG_FORMAT_RGBA, {5, 6, 7, 128})));
  EXPECT_THAT(alpha.pixels, ElementsAre(5, 6, 7));
  const auto photo =
      data::read_image(write("p.jpg", jpeg(16, 8, std::vector<uint8_t>(16 * 8 * 3, 100))));
  ASSERT_EQ(photo.width, 16);
  for (const uint8_t value : photo.pixels) EXPECT_NEAR(value, 100, 2);
}

TEST_F(ImageTest, SurvivesTruncationAndRandomChanges) {
  std::vector<uint8_t> noise(32 * 32 * 3);
  std::mt19937 random(3);
  for (uint8_t& value : noise) value = static_cast<uint8_t>(random());
  for (const std::string& whole :
       {png(32, 32, PNG_FORMAT_RGB, noise), jpeg(32, 32, noise), bmp()}) {
    for (size_t length = 0; length < whole.size(); length += 1 + whole.size() / 60) {
      const std::string error =
          error_of([&] { data::read_image(write("cut", whole.substr(0, length))); });
      // The end marks of PNG and JPEG may be lost without losing pixels.
      EXPECT_TRUE(error.starts_with("5:") || length + 16 > whole.size()) << length << error;
    }
    for (int round = 0; round < 60; ++round) {
      std::string bytes = whole;
      for (int change = 0; change < 4; ++change)
        bytes[random() % bytes.size()] = static_cast<char>(random());
      const std::string error = error_of([&] { data::read_image(write("bad", bytes)); });
      EXPECT_TRUE(error == "no error" || error.starts_with("5:")) << error;
    }
  }
}

TEST_F(ImageTest, NumbersClassFoldersByName) {
  write("set/b/1.png", png(2, 2, PNG_FORMAT_RGB, kColors));
  write("set/a/2.png", png(2, 2, PNG_FORMAT_RGB, kColors));
  write("set/a/note.txt", "not an image");
  const auto set =
      open_dataset(source(folder_ / "set"), {input("x", DataType::kFloat, {-1, 3, 2, 2})});
  ASSERT_EQ(set->size(), 2U);
  EXPECT_THAT(set->labels(0, 2)->to_int64(), ElementsAre(0, 1));
  EXPECT_EQ(set->description(), "set (2 images)");
  EXPECT_FLOAT_EQ(floats(set->feeds(0, 1)[0].tensor)[1], 4.0F / 255);
}

TEST_F(ImageTest, FollowsLayoutColorsAndMean) {
  write("set/a.png", png(2, 2, PNG_FORMAT_RGB, kColors));
  const auto first = [&](const Shape& shape, std::map<std::string, std::string> options) {
    options["scale"] = "1";
    return floats(
        open_dataset(source(folder_ / "set", options), {input("x", DataType::kFloat, shape)})
            ->feeds(0, 1)[0]
            .tensor);
  };
  EXPECT_THAT(first({-1, 3, 2, 2}, {}), ElementsAre(1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12));
  EXPECT_THAT(first({-1, 2, 2, 3}, {{"colors", "bgr"}}),
              ElementsAre(3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10));
  EXPECT_THAT(first({-1, 2, 2, 3}, {{"mean", "1, 2, 3"}}),
              ElementsAre(0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9));
  EXPECT_THAT(first({-1, 1, 2, 2}, {}), ElementsAre(2, 5, 8, 11));
  EXPECT_THAT(first({-1, 3, 1, 1}, {{"crop", "1"}}), ElementsAre(1, 2, 3));
  EXPECT_THAT(error_of([&] { first({-1, 3, 4, 4}, {}); }), HasSubstr("set resize, crop"));
}

TEST_F(ImageTest, ReadsLabelsFromCsv) {
  write("set/a.png", png(2, 2, PNG_FORMAT_RGB, kColors));
  write("set/b.png", png(2, 2, PNG_FORMAT_RGB, kColors));
  DataSource labelled = source(folder_ / "set");
  labelled.files["labels"] = write("labels.csv", "file,label\nb.png,4\na.png,2\n");
  const auto set = open_dataset(labelled, {input("x", DataType::kFloat, {-1, 3, 2, 2})});
  EXPECT_THAT(set->labels(0, 2)->to_int64(), ElementsAre(4, 2));
  labelled.files["labels"] = write("labels.csv", "c.png,4\n");
  EXPECT_THAT(error_of([&] {
                open_dataset(labelled, {input("x", DataType::kFloat, {-1, 3, 2, 2})});
              }),
              HasSubstr("labels.csv:1: no file"));
}

TEST_F(ImageTest, ResizesAsTheTriangleFilterDoes) {
  data::Image image = data::make_image(4, 1, "x");
  for (size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<uint8_t>(i / 3 * 80);
  const data::Image half = data::resize(image, 2, 1);
  // Centre 1, support 2: weights 1/8, 3/8, 3/8 over 0.25+0.75+0.75+... of pixels 0, 80, 160.
  EXPECT_EQ(half.pixels[0], 57);
  EXPECT_EQ(half.pixels[3], 183);
  EXPECT_EQ(data::resize_short_side(data::make_image(30, 20, "x"), 10).width, 15);
  EXPECT_EQ(data::resize(image, 4, 1).pixels, image.pixels);
  EXPECT_THAT(error_of([&] { data::center_crop(image, 5, 1, "x"); }), StartsWith("5:"));
}

}  // namespace
}  // namespace mcompress::data_test
