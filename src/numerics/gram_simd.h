// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace mcompress::numerics::simd {

/// Columns of a block of rows, packed for the products of all pairs of columns: panels of `width`
/// columns, row after row, the last one filled up with zeros.
template <class T>
struct GramPanels {
  int64_t rows = 0, columns = 0;
  int64_t width = 0;  ///< columns of a panel; depends on the CPU
  std::vector<T> values;

  int64_t count() const { return (columns + width - 1) / width; }
};

/// Rows of one block: two panels stay in the second-level cache.
inline constexpr int64_t kGramBlockRows = 256;

void pack_gram_panels(const float* x, int64_t rows, int64_t columns, GramPanels<double>& panels);
void pack_gram_panels(const float* x, int64_t rows, int64_t columns, GramPanels<float>& panels);
/// X^T X for the rows of one panel and all columns up to its own, the lower triangle, is added to
/// gram [columns, columns], or in float to a triangle without gaps (row k begins at k (k + 1) / 2).
void add_gram_rows(const GramPanels<double>& panels, int64_t panel, double* gram);
void add_gram_rows(const GramPanels<float>& panels, int64_t panel, float* packed);

}  // namespace mcompress::numerics::simd
