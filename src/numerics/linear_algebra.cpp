// SPDX-License-Identifier: Apache-2.0
#include "numerics/linear_algebra.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "numerics/gram_simd.h"
#include "support/parallel_for.h"

#if defined(MCOMPRESS_HAVE_OPENBLAS)
#include <cblas.h>
extern "C" {
void dsyevd_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w,
             double* work, const int* lwork, int* iwork, const int* liwork, int* info);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void dtrtri_(const char* uplo, const char* diag, const int* n, double* a, const int* lda,
             int* info);
}
#else
#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#endif

namespace mcompress::numerics {
namespace {

// Rows of a result that one task computes. Part of the result: sums are ordered by the kernels.
constexpr int64_t kRowBlock = 256;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

// The backend: row-major, lower triangles.
#if defined(MCOMPRESS_HAVE_OPENBLAS)

// Stands while a routine of the library runs. It computes on the calling thread; one that was built
// without threads shares its buffers between callers and gives wrong numbers to two at a time, so
// that such a build gets one call after the other.
class BlasCall {
 public:
  BlasCall() {
    static const bool is_sequential = [] {
      openblas_set_num_threads(1);
      return openblas_get_parallel() == OPENBLAS_SEQUENTIAL;
    }();
    if (is_sequential) lock_ = std::unique_lock(one_at_a_time());
  }

 private:
  static std::mutex& one_at_a_time() {
    static std::mutex mutex;
    return mutex;
  }
  std::unique_lock<std::mutex> lock_;
};

// out [m, n] = beta * out + alpha * op(a) * b, where op(a) is [m, k].
void gemm(bool transpose_a, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t a_stride, const double* b, int64_t b_stride, double beta, double* out,
          int64_t out_stride) {
  const BlasCall call;
  cblas_dgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, CblasNoTrans,
              static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), alpha, a,
              static_cast<int>(a_stride), b, static_cast<int>(b_stride), beta, out,
              static_cast<int>(out_stride));
}

// Ascending eigenvalues; eigenvectors in the rows of `matrix`. LAPACK's columns are our rows.
bool eigen_backend(double* matrix, int64_t n, double* values) {
  const BlasCall call;
  const int size = static_cast<int>(n);
  int info = 0;
  int work_size = -1;
  int integer_size = -1;
  double wanted = 0;
  int integer_wanted = 0;
  dsyevd_("V", "U", &size, matrix, &size, values, &wanted, &work_size, &integer_wanted,
          &integer_size, &info);
  work_size = static_cast<int>(wanted);
  integer_size = integer_wanted;
  std::vector<double> work(static_cast<size_t>(work_size));
  std::vector<int> integers(static_cast<size_t>(integer_size));
  dsyevd_("V", "U", &size, matrix, &size, values, work.data(), &work_size, integers.data(),
          &integer_size, &info);
  return info == 0;
}

// The lower triangle becomes L with L L^T = matrix.
bool cholesky_backend(double* matrix, int64_t n) {
  const BlasCall call;
  const int size = static_cast<int>(n);
  int info = 0;
  dpotrf_("U", &size, matrix, &size, &info);
  return info == 0;
}

// L -> L^-1.
bool invert_lower_backend(double* matrix, int64_t n) {
  const BlasCall call;
  const int size = static_cast<int>(n);
  int info = 0;
  dtrtri_("U", "N", &size, matrix, &size, &info);
  return info == 0;
}

// b -> A^-1 b where A = L L^T.
void solve_backend(const double* lower, int64_t n, double* b, int64_t columns) {
  const BlasCall call;
  const int size = static_cast<int>(n);
  const int width = static_cast<int>(columns);
  for (const CBLAS_TRANSPOSE transpose : {CblasNoTrans, CblasTrans}) {
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, transpose, CblasNonUnit, size, width, 1.0,
                lower, size, b, width);
  }
}

#else

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Strided = Eigen::OuterStride<Eigen::Dynamic>;
using ConstView = Eigen::Map<const Matrix, 0, Strided>;
using View = Eigen::Map<Matrix, 0, Strided>;

void gemm(bool transpose_a, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t a_stride, const double* b, int64_t b_stride, double beta, double* out,
          int64_t out_stride) {
  const ConstView right(b, k, n, Strided(b_stride));
  View result(out, m, n, Strided(out_stride));
  if (beta == 0) result.setZero();
  if (transpose_a) {
    result.noalias() += alpha * ConstView(a, k, m, Strided(a_stride)).transpose() * right;
  } else {
    result.noalias() += alpha * ConstView(a, m, k, Strided(a_stride)) * right;
  }
}

bool eigen_backend(double* matrix, int64_t n, double* values) {
  View view(matrix, n, n, Strided(n));
  const Eigen::MatrixXd lower = view;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(lower);
  if (solver.info() != Eigen::Success) return false;
  Eigen::Map<Eigen::VectorXd>(values, n) = solver.eigenvalues();
  view = solver.eigenvectors().transpose();
  return true;
}

bool cholesky_backend(double* matrix, int64_t n) {
  View view(matrix, n, n, Strided(n));
  Eigen::LLT<Eigen::Ref<Matrix, 0, Strided>, Eigen::Lower> solver(view);
  return solver.info() == Eigen::Success;
}

bool invert_lower_backend(double* matrix, int64_t n) {
  View view(matrix, n, n, Strided(n));
  const Matrix inverse = view.triangularView<Eigen::Lower>().solve(Matrix::Identity(n, n));
  view.triangularView<Eigen::Lower>() = inverse;
  return true;
}

void solve_backend(const double* lower, int64_t n, double* b, int64_t columns) {
  const ConstView factor(lower, n, n, Strided(n));
  View right(b, n, columns, Strided(columns));
  factor.triangularView<Eigen::Lower>().solveInPlace(right);
  factor.triangularView<Eigen::Lower>().transpose().solveInPlace(right);
}

#endif

// Eigenvectors are defined up to their sign; this makes them the same for every backend.
void make_largest_positive(double* row, int64_t n) {
  const double* largest =
      std::max_element(row, row + n, [](double a, double b) { return std::abs(a) < std::abs(b); });
  if (*largest >= 0) return;
  for (int64_t i = 0; i < n; ++i) row[i] = -row[i];
}

// Turning a matrix by 180 degrees exchanges lower and upper triangles.
void turn(std::span<double> matrix) { std::reverse(matrix.begin(), matrix.end()); }

}  // namespace

std::string_view blas_kernels() {
#if defined(MCOMPRESS_HAVE_OPENBLAS)
  return openblas_get_corename();
#else
  return "";
#endif
}

namespace {

template <class T>
void add_gram(std::span<const float> x, int64_t rows, int64_t columns, T* gram) {
  simd::GramPanels<T> panels;
  for (int64_t first = 0; first < rows; first += simd::kGramBlockRows) {
    const int64_t height = std::min(simd::kGramBlockRows, rows - first);
    simd::pack_gram_panels(x.data() + first * columns, height, columns, panels);
    parallel_for(0, panels.count(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) simd::add_gram_rows(panels, p, gram);
    });
  }
}

}  // namespace

void accumulate_gram(std::span<const float> x, int64_t rows, int64_t columns,
                     std::span<double> gram) {
  add_gram(x, rows, columns, gram.data());
}

void accumulate_packed_gram(std::span<const float> x, int64_t rows, int64_t columns,
                            std::span<float> packed) {
  add_gram(x, rows, columns, packed.data());
}

void symmetrize(std::span<double> matrix, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) matrix[to_size(j * n + i)] = matrix[to_size(i * n + j)];
  }
}

void multiply(std::span<const double> a, std::span<const double> b, int64_t m, int64_t k, int64_t n,
              std::span<double> out) {
  parallel_for(0, m, kRowBlock, [&](int64_t begin, int64_t end) {
    gemm(false, end - begin, n, k, 1.0, a.data() + begin * k, k, b.data(), n, 0.0,
         out.data() + begin * n, n);
  });
}

void multiply_transposed(std::span<const double> a, std::span<const double> b, int64_t m, int64_t k,
                         int64_t n, std::span<double> out) {
  parallel_for(0, m, kRowBlock, [&](int64_t begin, int64_t end) {
    gemm(true, end - begin, n, k, 1.0, a.data() + begin, m, b.data(), n, 0.0,
         out.data() + begin * n, n);
  });
}

void subtract_product(std::span<const double> a, int64_t a_stride, std::span<const double> b,
                      int64_t m, int64_t k, int64_t n, std::span<double> out) {
  parallel_for(0, m, kRowBlock, [&](int64_t begin, int64_t end) {
    gemm(true, end - begin, n, k, -1.0, a.data() + begin, a_stride, b.data(), n, 1.0,
         out.data() + begin * n, n);
  });
}

std::vector<float> transposed(std::span<const float> matrix, int64_t rows, int64_t columns) {
  std::vector<float> result(matrix.size());
  constexpr int64_t kTile = 32;  // both sides of a tile stay in the first cache
  for (int64_t row = 0; row < rows; row += kTile) {
    for (int64_t column = 0; column < columns; column += kTile) {
      for (int64_t r = row; r < std::min(row + kTile, rows); ++r) {
        for (int64_t c = column; c < std::min(column + kTile, columns); ++c) {
          result[to_size(c * rows + r)] = matrix[to_size(r * columns + c)];
        }
      }
    }
  }
  return result;
}

std::vector<double> to_double(std::span<const float> values) {
  return {values.begin(), values.end()};
}

std::vector<float> to_float(std::span<const double> values) {
  std::vector<float> result(values.size());
  for (size_t i = 0; i < values.size(); ++i) result[i] = static_cast<float>(values[i]);
  return result;
}

std::vector<double> symmetric_eigen(std::span<double> matrix, int64_t n) {
  std::vector<double> values(to_size(n));
  if (n == 0) return values;
  // A matrix with NaN has no eigenvalues to speak of; zeros say so.
  if (!eigen_backend(matrix.data(), n, values.data())) {
    std::fill(values.begin(), values.end(), 0.0);
    std::fill(matrix.begin(), matrix.end(), 0.0);
  }
  std::reverse(values.begin(), values.end());
  for (int64_t i = 0; i < n / 2; ++i) {
    const auto row = matrix.begin() + static_cast<ptrdiff_t>(i * n);
    std::swap_ranges(row, row + static_cast<ptrdiff_t>(n),
                     matrix.begin() + static_cast<ptrdiff_t>((n - 1 - i) * n));
  }
  for (int64_t i = 0; i < n; ++i) make_largest_positive(matrix.data() + i * n, n);
  return values;
}

bool inverse_cholesky(std::span<double> h, int64_t n) {
  // Turned: T = L L^T, so H = R R^T with R upper, and H^-1 = (R^-1)^T R^-1.
  turn(h);
  if (!cholesky_backend(h.data(), n) || !invert_lower_backend(h.data(), n)) return false;
  for (int64_t row = 0; row < n; ++row) {
    const auto begin = h.begin() + static_cast<ptrdiff_t>(row * n);
    std::fill(begin + static_cast<ptrdiff_t>(row + 1), begin + static_cast<ptrdiff_t>(n), 0.0);
  }
  turn(h);
  return true;
}

bool solve_positive(std::span<double> a, int64_t n, std::span<double> b, int64_t columns) {
  if (!cholesky_backend(a.data(), n)) return false;
  solve_backend(a.data(), n, b.data(), columns);
  return true;
}

}  // namespace mcompress::numerics
