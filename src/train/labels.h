// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>

#include "mcompress/dataset.h"

namespace mcompress::train {

/// What the labels of all samples are like. The sample axis is not in `row`.
struct LabelScan {
  bool integer = false;
  Shape row;
  double least = 0, largest = 0;
  bool only_zero_and_one = true;
  bool padded = false;  ///< a row of integers ends in a negative number
  bool has_zero = false;
  bool distributions = true;  ///< no negative numbers, and each row adds up to 1
  int64_t row_size() const { return element_count(row); }
  /// `row` without axes of length 1.
  Shape squeezed() const;
};

/// Reads all labels once. Throws kData for types that are no numbers, for NaN and for rows of
/// several shapes.
LabelScan scan_labels(const Dataset& data);

/// Class numbers are `least`..`most`; what the flags accept is let through. Throws kData naming
/// the first sample that is not.
struct ClassRange {
  int64_t least = 0, most = 0;
  bool padding = false;  ///< negative numbers stand for no label
  bool void_255 = false;
  bool counted_from_one = false;  ///< they are 1 to the number of classes
  std::string output;             ///< for the message
};
void check_classes(const Dataset& data, const ClassRange& range);

/// Each sequence can be put out in `steps`: its length plus one for each pair of equal neighbours
/// (a blank stands between them). Throws kData naming the sample.
void check_sequences(const Dataset& data, int64_t steps, const std::string& output);

}  // namespace mcompress::train
