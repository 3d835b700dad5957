// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace mcompress::numerics::simd {

/// Columns of a block of rows, packed for the products of all pairs of columns: panels of `width`
/// columns, row after row, the last one filled up with zeros.
struct GramPanels {
  int64_t rows = 0, columns = 0;
  int64_t width = 0;  ///< columns of a panel; depends on the CPU
  std::vector<double> values;

  int64_t count() const { return (columns + width - 1) / width; }
};

/// Rows of one block: two panels stay in the second-level cache.
inline constexpr int64_t kGramBlockRows = 256;

void pack_gram_panels(const float* x, int64_t rows, int64_t columns, GramPanels& panels);
/// gram [columns, columns] += X^T X for the rows of one panel and all columns up to its own: the
/// lower triangle.
void add_gram_rows(const GramPanels& panels, int64_t panel, double* gram);

}  // namespace mcompress::numerics::simd
