// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "mcompress/error.h"
#include "support/parallel_for.h"
#include "support/random_bits.h"
#include "train/loss.h"

namespace mcompress::train {
namespace {

using support::random_below;
using support::random_bits;
using support::random_normal;
using support::random_unit;

/// Streams of random numbers of one sample, and of the batch.
enum Stream : uint64_t { kChosen, kFlip, kRows, kColumns, kNoise, kMix, kOrder };

struct Images {
  int64_t channels, height, width;
  int64_t plane() const { return height * width; }
  int64_t size() const { return channels * plane(); }
};

/// Pixel (y, x) takes the value of (y + down, x + right); beyond the border that of the border.
void move(std::span<const float> from, std::span<float> to, const Images& images, int64_t down,
          int64_t right, bool flip) {
  std::vector<int64_t> columns(static_cast<size_t>(images.width));
  for (int64_t x = 0; x < images.width; ++x) {
    const int64_t source =
        std::clamp<int64_t>((flip ? images.width - 1 - x : x) + right, 0, images.width - 1);
    columns[static_cast<size_t>(x)] = source;
  }
  for (int64_t row = 0; row < images.channels * images.height; ++row) {
    const int64_t channel = row / images.height, y = row % images.height;
    const int64_t source = std::clamp<int64_t>(y + down, 0, images.height - 1);
    const float* line = from.data() + channel * images.plane() + source * images.width;
    float* out = to.data() + row * images.width;
    for (int64_t x = 0; x < images.width; ++x) out[x] = line[columns[static_cast<size_t>(x)]];
  }
}

double deviation(std::span<const float> values) {
  const double count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double sum = 0;
  for (const float value : values) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / count);
}

void change_sample(std::span<const float> from, std::span<float> to, const Images& images,
                   const AugmentOptions& options, uint64_t key) {
  const bool chosen = random_unit(key, kChosen) < options.share;
  const bool flip = options.flip && random_unit(key, kFlip) < 0.5;
  int64_t down = 0, right = 0;
  if (chosen) {
    for (const auto& [reach, stream] : {std::pair(options.shift, 0), std::pair(options.crop, 1)}) {
      if (reach <= 0) continue;
      down += random_below(random_bits(key, kRows), static_cast<uint64_t>(stream), 2 * reach + 1) -
              reach;
      right +=
          random_below(random_bits(key, kColumns), static_cast<uint64_t>(stream), 2 * reach + 1) -
          reach;
    }
  }
  move(from, to, images, down, right, flip);
  if (!chosen || options.noise <= 0) return;
  const double scale = options.noise * deviation(to);
  const uint64_t noise = random_bits(key, kNoise);
  for (size_t i = 0; i < to.size(); ++i) {
    to[i] += static_cast<float>(scale * random_normal(noise, i));
  }
}

/// Gamma(alpha, 1) for alpha >= 1 (Marsaglia and Tsang 2000, "A simple method for generating gamma
/// variables").
double random_gamma(double alpha, uint64_t key) {
  const double d = alpha - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (uint64_t i = 0;; ++i) {
    const double x = random_normal(random_bits(key, 0), i), v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    const double u = 1 - random_unit(random_bits(key, 1), i);
    if (std::log(u) < x * x / 2 + d - d * v + d * std::log(v)) return d * v;
  }
}

/// log of Gamma(alpha): small alphas underflow without the logarithm.
double log_gamma_variate(double alpha, uint64_t key) {
  const double u = 1 - random_unit(random_bits(key, 2), 0);
  return std::log(random_gamma(alpha + 1, key)) + std::log(u) / alpha;
}

double random_beta(double alpha, uint64_t key) {
  const double a = log_gamma_variate(alpha, random_bits(key, 0));
  const double b = log_gamma_variate(alpha, random_bits(key, 1));
  return 1 / (1 + std::exp(b - a));
}

std::vector<int64_t> random_order(int64_t count, uint64_t key) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = count - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)],
              order[static_cast<size_t>(random_below(key, static_cast<uint64_t>(i), i + 1))]);
  }
  return order;
}

/// x_i becomes l x_i + (1 - l) x_order(i), its labels likewise.
void mix(Batch& batch, at::Tensor& images, double alpha, uint64_t key) {
  const int64_t count = images.size(0);
  batch.mixed_share = random_beta(alpha, random_bits(key, kMix));
  const std::vector<int64_t> order = random_order(count, random_bits(key, kOrder));
  const at::Tensor index =
      at::from_blob(const_cast<int64_t*>(order.data()), {count}, at::TensorOptions(at::kLong))
          .clone();
  images = images * batch.mixed_share + images.index_select(0, index) * (1 - batch.mixed_share);
  if (batch.labels.defined()) batch.mixed_labels = batch.labels.index_select(0, index);
}

/// The first image, else the first input of floats; the number of inputs where there is none.
size_t changed_input(const Batch& batch) {
  const auto index_of = [&](const auto& fits) {
    const auto found = std::ranges::find_if(batch.inputs, [&](const auto& input) {
      return input.second.numel() > 0 && fits(input.second);
    });
    return static_cast<size_t>(found - batch.inputs.begin());
  };
  const size_t image = index_of([](const at::Tensor& value) { return value.dim() == 4; });
  if (image < batch.inputs.size()) return image;
  return index_of([](const at::Tensor& value) {
    return value.dim() > 1 && at::isFloatingType(value.scalar_type());
  });
}

bool moves_images(const AugmentOptions& options) {
  return options.shift > 0 || options.flip || options.crop > 0;
}

at::Tensor change(const at::Tensor& value, const AugmentOptions& options, uint64_t key) {
  const Images images{value.size(1), value.size(2), value.size(3)};
  at::Tensor result = at::empty_like(value);
  const float* from = value.data_ptr<float>();
  auto* to = result.data_ptr<float>();
  const auto size = static_cast<size_t>(images.size());
  parallel_for(0, value.size(0), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      change_sample({from + i * images.size(), size}, {to + i * images.size(), size}, images,
                    options, random_bits(key, static_cast<uint64_t>(i)));
    }
  });
  return result;
}

}  // namespace

bool changes_samples(const AugmentOptions& options) {
  return moves_images(options) || options.noise > 0 || options.mixup > 0;
}

void check_augmentation(const Batch& batch, const AugmentOptions& options) {
  if (!changes_samples(options)) return;
  const size_t at = changed_input(batch);
  const bool is_image = at < batch.inputs.size() && batch.inputs[at].second.dim() == 4;
  if (moves_images(options) && !is_image) {
    throw Error(ErrorCode::kRecipe,
                "shift, flip and crop are for images, and the model has no input [samples, "
                "channels, height, width]")
        .hint("leave them out; noise and mixup are for all inputs of floats");
  }
  if (at == batch.inputs.size()) {
    throw Error(ErrorCode::kRecipe,
                "noise and mixup are for floats, and the model has no such input")
        .hint("leave them out");
  }
  if (!is_image) return;
  const at::Tensor& image = batch.inputs[at].second;
  const int64_t smallest = std::min(image.size(2), image.size(3));
  for (const auto& [name, reach] :
       {std::pair("shift", options.shift), std::pair("crop", options.crop)}) {
    if (reach < smallest) continue;
    throw Error(ErrorCode::kRecipe, fmt::format("{}: {} moves images of {} x {} out of sight", name,
                                                reach, image.size(2), image.size(3)))
        .hint(fmt::format("{}: {} or less", name, std::max<int64_t>(smallest / 8, 1)));
  }
}

void augment(Batch& batch, const AugmentOptions& options, uint64_t seed, uint64_t step) {
  const size_t at = changed_input(batch);
  if (at == batch.inputs.size() || !changes_samples(options)) return;
  const uint64_t key = random_bits(seed, step);
  const bool each = moves_images(options) || options.noise > 0;
  at::Tensor& input = batch.inputs[at].second;
  const at::ScalarType type = input.scalar_type();
  const auto shape = input.sizes().vec();
  at::Tensor value = input.to(at::kFloat).contiguous();
  if (value.dim() != 4) value = value.reshape({value.size(0), 1, 1, -1});
  if (each) value = change(value, options, random_bits(key, 0));
  if (options.mixup > 0) mix(batch, value, options.mixup, random_bits(key, 1));
  // Bytes and other integers keep their type, so that models of uint8 images go on working.
  if (at::isIntegralType(type, true)) {
    const bool byte = type == at::kByte;
    value = value.round().clamp(byte ? 0 : -128, byte ? 255 : 32767);
  }
  input = value.to(type).reshape(shape);
}

}  // namespace mcompress::train
