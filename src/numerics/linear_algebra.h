// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace mcompress::numerics {

// All matrices are dense and row-major. Results do not depend on the number of threads: work is
// split in fixed blocks, and the library underneath (OpenBLAS where found, else Eigen) runs on one
// thread.

/// Name of the kernels that the library underneath chose for this CPU; "" for Eigen.
std::string_view blas_kernels();

/// gram += X^T X for X [rows, columns], summed in double. Only the lower triangle is written; see
/// symmetrize.
void accumulate_gram(std::span<const float> x, int64_t rows, int64_t columns,
                     std::span<double> gram);
/// The same in float, at half the time and a quarter of the memory: `packed` is the lower triangle
/// row by row, columns (columns + 1) / 2 values. A row errs by about 1e-7, a sum of many by 1e-6.
void accumulate_packed_gram(std::span<const float> x, int64_t rows, int64_t columns,
                            std::span<float> packed);
/// Copies the lower triangle of an n x n matrix to the upper.
void symmetrize(std::span<double> matrix, int64_t n);

/// out [m, n] = a [m, k] * b [k, n].
void multiply(std::span<const double> a, std::span<const double> b, int64_t m, int64_t k, int64_t n,
              std::span<double> out);
/// out [m, n] = a^T b for a [k, m], b [k, n].
void multiply_transposed(std::span<const double> a, std::span<const double> b, int64_t m, int64_t k,
                         int64_t n, std::span<double> out);
/// out -= a^T b for a [k, m], b [k, n]; out is n wide and its rows follow each other.
void subtract_product(std::span<const double> a, int64_t a_stride, std::span<const double> b,
                      int64_t m, int64_t k, int64_t n, std::span<double> out);

/// [rows, columns] -> [columns, rows].
std::vector<float> transposed(std::span<const float> matrix, int64_t rows, int64_t columns);
std::vector<double> to_double(std::span<const float> values);
std::vector<float> to_float(std::span<const double> values);

/// Eigenvalues of a symmetric n x n matrix, descending; `matrix` (lower triangle read) becomes the
/// eigenvectors, one per row, with their largest component positive.
std::vector<double> symmetric_eigen(std::span<double> matrix, int64_t n);

/// The upper triangular U with U^T U = H^-1 in place of the symmetric H (full), without forming the
/// inverse. False, and `h` is lost, when H is not positive definite.
bool inverse_cholesky(std::span<double> h, int64_t n);

/// Solves A x = b for symmetric positive definite A [n, n] (full, destroyed) and b [n, columns] in
/// place. False when A is not positive definite.
bool solve_positive(std::span<double> a, int64_t n, std::span<double> b, int64_t columns);

}  // namespace mcompress::numerics
