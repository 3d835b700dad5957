// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "data/stored_array.h"

namespace mcompress::data {

/// What a pass over the elements found.
struct ScanResult {
  double min = 0, max = 0;
  bool integral = true;     ///< no fractions
  int64_t not_finite = -1;  ///< index of the first NaN or infinity; -1 without
  bool is_nan = false;      ///< the value there is a NaN
};

/// Reads the first `count` elements once, in pieces of about 1 MB.
ScanResult scan_array(const StoredArray& array, int64_t count);

}  // namespace mcompress::data
