// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "data/image_file.h"

namespace mcompress::data {

/// Bilinear with a triangle filter that widens when the image shrinks (what Pillow and torchvision
/// call BILINEAR with antialiasing): horizontal, then vertical, each rounded to 8 bits.
Image resize(const Image& image, int64_t width, int64_t height);
/// So that the shorter side is `side`; the longer one is side * longer / shorter, rounded down.
Image resize_short_side(const Image& image, int64_t side);
/// The middle `width` x `height`; offsets round half to even. Throws kData when the image is
/// smaller.
Image center_crop(const Image& image, int64_t width, int64_t height, const std::string& name);

}  // namespace mcompress::data
