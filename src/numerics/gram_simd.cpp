// SPDX-License-Identifier: Apache-2.0
//
// X^T X is what calibrated methods spend their time on, and the BLAS of a distribution may pick
// kernels of a CPU of twenty years ago for one that it does not know (OpenBLAS 0.3.21: an eighth of
// the speed). Tiles of 4 x 2 vectors stay in registers over a block of rows.
#include "numerics/gram_simd.h"

#include <hwy/detect_targets.h>

// Work in the first-level cache: AVX-512 pays here.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "numerics/gram_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace mcompress::numerics::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Of at most 512 bits, whatever the CPU has: the tile below is kept on the stack.
template <class T>
using Lane = hn::CappedTag<T, 64 / sizeof(T)>;
constexpr int64_t kTileRows = 4;  // divides the width of a panel, which is 2 vectors

template <class T>
int64_t panel_width() {
  return static_cast<int64_t>(2 * hn::Lanes(Lane<T>()));
}
int64_t double_width() { return panel_width<double>(); }
int64_t float_width() { return panel_width<float>(); }

template <class T>
void tile_kernel(const T* left, const T* right, int64_t rows, int64_t width, T* tile) {
  const Lane<T> d;
  const size_t lanes = hn::Lanes(d);
  auto a0 = hn::Zero(d), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
  for (int64_t row = 0; row < rows; ++row, left += width, right += width) {
    const auto low = hn::LoadU(d, right), high = hn::LoadU(d, right + lanes);
    const auto a = hn::Set(d, left[0]), b = hn::Set(d, left[1]);
    const auto c = hn::Set(d, left[2]), e = hn::Set(d, left[3]);
    a0 = hn::MulAdd(a, low, a0);
    a1 = hn::MulAdd(a, high, a1);
    b0 = hn::MulAdd(b, low, b0);
    b1 = hn::MulAdd(b, high, b1);
    c0 = hn::MulAdd(c, low, c0);
    c1 = hn::MulAdd(c, high, c1);
    d0 = hn::MulAdd(e, low, d0);
    d1 = hn::MulAdd(e, high, d1);
  }
  hn::StoreU(a0, d, tile);
  hn::StoreU(a1, d, tile + lanes);
  hn::StoreU(b0, d, tile + 2 * lanes);
  hn::StoreU(b1, d, tile + 3 * lanes);
  hn::StoreU(c0, d, tile + 4 * lanes);
  hn::StoreU(c1, d, tile + 5 * lanes);
  hn::StoreU(d0, d, tile + 6 * lanes);
  hn::StoreU(d1, d, tile + 7 * lanes);
}

// `row_of(k)`: where row k of the lower triangle begins.
template <class T, class RowOf>
void add_rows(const GramPanels<T>& panels, int64_t panel, RowOf row_of) {
  T tile[kTileRows * 2 * 64 / sizeof(T)];
  const int64_t width = panels.width;
  const int64_t size = panels.rows * width;
  const int64_t end = std::min(panels.columns, (panel + 1) * width);
  const T* const values = panels.values.data();
  for (int64_t other = 0; other <= panel; ++other) {
    const int64_t first_column = other * width;
    for (int64_t i = panel * width; i < end; i += kTileRows) {
      tile_kernel(values + panel * size + i % width, values + other * size, panels.rows, width,
                  tile);
      for (int64_t k = i; k < std::min(i + kTileRows, end); ++k) {
        const int64_t count = std::min(width, k + 1 - first_column);
        T* into = row_of(k) + first_column;
        const T* from = tile + (k - i) * width;
        for (int64_t j = 0; j < count; ++j) into[j] += from[j];
      }
    }
  }
}

void double_rows(const GramPanels<double>& panels, int64_t panel, double* gram) {
  add_rows(panels, panel, [&](int64_t k) { return gram + k * panels.columns; });
}
void float_rows(const GramPanels<float>& panels, int64_t panel, float* packed) {
  add_rows(panels, panel, [&](int64_t k) { return packed + k * (k + 1) / 2; });
}

}  // namespace mcompress::numerics::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mcompress::numerics::simd {

HWY_EXPORT(double_width);
HWY_EXPORT(float_width);
HWY_EXPORT(double_rows);
HWY_EXPORT(float_rows);

namespace {

template <class T>
void pack(const float* x, int64_t rows, int64_t columns, int64_t width, GramPanels<T>& panels) {
  panels.rows = rows;
  panels.columns = columns;
  panels.width = width;
  panels.values.assign(static_cast<size_t>(panels.count() * width * rows), T{0});
  for (int64_t p = 0; p < panels.count(); ++p) {
    T* into = panels.values.data() + p * width * rows;
    const int64_t first = p * width;
    const int64_t used = std::min(width, columns - first);
    for (int64_t row = 0; row < rows; ++row) {
      std::copy_n(x + row * columns + first, used, into + row * width);
    }
  }
}

}  // namespace

void pack_gram_panels(const float* x, int64_t rows, int64_t columns, GramPanels<double>& panels) {
  pack(x, rows, columns, HWY_DYNAMIC_DISPATCH(double_width)(), panels);
}

void pack_gram_panels(const float* x, int64_t rows, int64_t columns, GramPanels<float>& panels) {
  pack(x, rows, columns, HWY_DYNAMIC_DISPATCH(float_width)(), panels);
}

void add_gram_rows(const GramPanels<double>& panels, int64_t panel, double* gram) {
  HWY_DYNAMIC_DISPATCH(double_rows)(panels, panel, gram);
}

void add_gram_rows(const GramPanels<float>& panels, int64_t panel, float* packed) {
  HWY_DYNAMIC_DISPATCH(float_rows)(panels, panel, packed);
}

}  // namespace mcompress::numerics::simd
#endif  // HWY_ONCE
