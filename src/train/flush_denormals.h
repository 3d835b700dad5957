// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>

namespace mcompress::train {

/// While one stands, this thread computes with zero for numbers below 1.2e-38. What pruning has
/// silenced leaves such numbers in the moments of Adam and in sums of gradients for good (a tenth
/// less each step, and rounded up again), and arithmetic with them is twenty times slower.
class FlushDenormals {
 public:
  FlushDenormals() { at::globalContext().setFlushDenormal(true); }
  ~FlushDenormals() { at::globalContext().setFlushDenormal(false); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
};

}  // namespace mcompress::train
