// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <algorithm>

#include "train/loss.h"

namespace mcompress::train {

/// Where samples and classes are in the value that a loss looks at.
struct ClassLayout {
  bool time_first = false;  ///< [T, N, ..]: the second axis counts samples
  int64_t axis = -1;        ///< of classes, samples first; -1: there are none
  bool flat = false;        ///< all axes from `axis` on are classes
  int64_t classes = 1;
  Shape row;  ///< of one sample

  int64_t row_size() const { return element_count(row); }
  int64_t places() const { return row_size() / std::max<int64_t>(classes, 1); }
  /// `row` without axes of length 1.
  Shape squeezed() const;
  /// `row` without the classes and without axes of length 1.
  Shape place_shape() const;

  at::Tensor samples_first(const at::Tensor& value) const;
  /// [samples, places, classes]; places may differ from those of the row.
  at::Tensor by_class(const at::Tensor& value) const;
};

/// Samples and row, no classes yet. Throws kModel where no axis counts the samples.
ClassLayout find_samples(const LossHead& head, const at::Tensor& output, int64_t samples);
/// Classes: the axis that `places` (shape of one sample's labels without axes of length 1; null for
/// none) leave over, else that of Softmax, else the first of images [C, H, W] and the last of
/// sequences [T, C]. False where no axis fits.
bool find_classes(ClassLayout& layout, const LossHead& head, const Shape* places);

}  // namespace mcompress::train
