// SPDX-License-Identifier: Apache-2.0
#include "data/image_resize.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mcompress/error.h"

namespace mcompress::data {
namespace {

/// Source pixels that make one target pixel, with weights that sum to 1.
struct Taps {
  int64_t first = 0;
  std::vector<float> weights;
};

std::vector<Taps> make_taps(int64_t from, int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double support = std::max(scale, 1.0);
  std::vector<Taps> taps(static_cast<size_t>(to));
  for (int64_t i = 0; i < to; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    Taps& tap = taps[static_cast<size_t>(i)];
    tap.first = std::max<int64_t>(0, static_cast<int64_t>(center - support + 0.5));
    const int64_t end = std::min(from, static_cast<int64_t>(center + support + 0.5));
    double sum = 0;
    std::vector<double> weights;
    for (int64_t x = tap.first; x < end; ++x) {
      const double distance = std::abs((static_cast<double>(x) + 0.5 - center) / support);
      weights.push_back(std::max(0.0, 1.0 - distance));
      sum += weights.back();
    }
    for (const double weight : weights) tap.weights.push_back(static_cast<float>(weight / sum));
  }
  return taps;
}

/// Half of `slack`, halves to the even number, as torchvision rounds.
int64_t half_even(int64_t slack) { return slack / 2 + (slack % 2) * (slack / 2 % 2); }

uint8_t to_byte(float value) {
  return static_cast<uint8_t>(std::clamp(value + 0.5F, 0.0F, 255.0F));
}

Image resize_width(const Image& image, int64_t width) {
  Image result{width, image.height,
               std::vector<uint8_t>(static_cast<size_t>(3 * width * image.height))};
  const std::vector<Taps> taps = make_taps(image.width, width);
  for (int64_t y = 0; y < image.height; ++y) {
    uint8_t* out = result.row(y);
    for (const Taps& tap : taps) {
      float sum[3] = {0, 0, 0};
      const uint8_t* in = image.row(y) + 3 * tap.first;
      for (const float weight : tap.weights) {
        for (int c = 0; c < 3; ++c) sum[c] += weight * static_cast<float>(*in++);
      }
      for (const float value : sum) *out++ = to_byte(value);
    }
  }
  return result;
}

Image resize_height(const Image& image, int64_t height) {
  Image result{image.width, height,
               std::vector<uint8_t>(static_cast<size_t>(3 * image.width * height))};
  const std::vector<Taps> taps = make_taps(image.height, height);
  std::vector<float> sums(static_cast<size_t>(3 * image.width));
  for (int64_t y = 0; y < height; ++y) {
    std::ranges::fill(sums, 0.0F);
    const Taps& tap = taps[static_cast<size_t>(y)];
    for (size_t i = 0; i < tap.weights.size(); ++i) {
      const uint8_t* in = image.row(tap.first + static_cast<int64_t>(i));
      for (size_t x = 0; x < sums.size(); ++x)
        sums[x] += tap.weights[i] * static_cast<float>(in[x]);
    }
    std::ranges::transform(sums, result.row(y), to_byte);
  }
  return result;
}

}  // namespace

Image resize(const Image& image, int64_t width, int64_t height) {
  if (image.width == width && image.height == height) return image;
  const Image narrow = image.width == width ? image : resize_width(image, width);
  return image.height == height ? narrow : resize_height(narrow, height);
}

Image resize_short_side(const Image& image, int64_t side) {
  if (image.width <= image.height) return resize(image, side, side * image.height / image.width);
  return resize(image, side * image.width / image.height, side);
}

Image center_crop(const Image& image, int64_t width, int64_t height, const std::string& name) {
  if (image.width < width || image.height < height) {
    throw Error(ErrorCode::kData, fmt::format("{}: {} x {} pixels, the crop is {} x {}", name,
                                              image.width, image.height, width, height))
        .hint("set resize to at least the crop's side");
  }
  Image result{width, height, std::vector<uint8_t>(static_cast<size_t>(3 * width * height))};
  const int64_t left = half_even(image.width - width), top = half_even(image.height - height);
  for (int64_t y = 0; y < height; ++y) {
    std::copy_n(image.row(top + y) + 3 * left, 3 * width, result.row(y));
  }
  return result;
}

}  // namespace mcompress::data
