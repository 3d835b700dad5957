// SPDX-License-Identifier: Apache-2.0
#include "numerics/linear_algebra.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

std::vector<double> random_matrix(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0.0, 1.0);
  std::vector<double> values(count);
  for (double& value : values) value = static_cast<float>(normal(engine));
  return values;
}

std::vector<double> random_positive(int64_t n, uint32_t seed) {
  const std::vector<float> x = to_float(random_matrix(static_cast<size_t>(2 * n * n), seed));
  std::vector<double> gram(static_cast<size_t>(n * n), 0.0);
  accumulate_gram(x, 2 * n, n, gram);
  symmetrize(gram, n);
  return gram;
}

double at(const std::vector<double>& matrix, int64_t columns, int64_t row, int64_t column) {
  return matrix[static_cast<size_t>(row * columns + column)];
}

TEST(LinearAlgebra, GramIsXTransposedX) {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{7, 5}, {1100, 300}, {1, 9}}) {
    const std::vector<double> x = random_matrix(static_cast<size_t>(rows * columns), 1);
    std::vector<double> gram(static_cast<size_t>(columns * columns), 0.0);
    accumulate_gram(to_float(x), rows, columns, gram);
    symmetrize(gram, columns);
    for (int64_t i = 0; i < columns; i += 7) {
      for (int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (int64_t r = 0; r < rows; ++r) sum += at(x, columns, r, i) * at(x, columns, r, j);
        ASSERT_NEAR(at(gram, columns, i, j), sum, 1e-9);
      }
    }
  }
}

TEST(LinearAlgebra, PackedGramIsItsLowerTriangleInFloat) {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{7, 5}, {1100, 300}, {1, 9}}) {
    const std::vector<float> x = to_float(random_matrix(static_cast<size_t>(rows * columns), 1));
    std::vector<double> gram(static_cast<size_t>(columns * columns), 0.0);
    std::vector<float> packed(static_cast<size_t>(columns * (columns + 1) / 2), 0.0F);
    accumulate_gram(x, rows, columns, gram);
    accumulate_packed_gram(x, rows, columns, packed);
    size_t next = 0;
    for (int64_t i = 0; i < columns; ++i) {
      const double size = 1e-6 * (1 + at(gram, columns, i, i));
      for (int64_t j = 0; j <= i; ++j) ASSERT_NEAR(packed[next++], at(gram, columns, i, j), size);
    }
  }
}

TEST(LinearAlgebra, ProductsAreProducts) {
  constexpr int64_t kM = 300;
  constexpr int64_t kK = 17;
  constexpr int64_t kN = 5;
  const std::vector<double> a = random_matrix(kM * kK, 2);
  const std::vector<double> b = random_matrix(kK * kN, 3);
  std::vector<double> out(kM * kN);
  multiply(a, b, kM, kK, kN, out);
  std::vector<double> transposed_out(kM * kN);
  multiply_transposed(to_double(transposed(to_float(a), kM, kK)), b, kM, kK, kN, transposed_out);
  std::vector<double> rest = out;
  subtract_product(to_double(transposed(to_float(a), kM, kK)), kM, b, kM, kK, kN, rest);
  for (int64_t i = 0; i < kM; ++i) {
    for (int64_t j = 0; j < kN; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < kK; ++k) sum += at(a, kK, i, k) * at(b, kN, k, j);
      ASSERT_NEAR(at(out, kN, i, j), sum, 1e-12);
      ASSERT_NEAR(at(transposed_out, kN, i, j), sum, 1e-12);
      ASSERT_NEAR(at(rest, kN, i, j), 0, 1e-12);
    }
  }
}

TEST(LinearAlgebra, EigenvectorsRebuildTheMatrix) {
  for (const int64_t n : {1, 2, 40}) {
    const std::vector<double> matrix = random_positive(n, 4);
    std::vector<double> vectors = matrix;
    const std::vector<double> values = symmetric_eigen(vectors, n);
    for (int64_t i = 0; i + 1 < n; ++i) {
      EXPECT_GE(values[static_cast<size_t>(i)], values[static_cast<size_t>(i + 1)]);
    }
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        double dot = 0;
        for (int64_t k = 0; k < n; ++k) {
          sum += values[static_cast<size_t>(k)] * at(vectors, n, k, i) * at(vectors, n, k, j);
          dot += at(vectors, n, i, k) * at(vectors, n, j, k);
        }
        ASSERT_NEAR(sum, at(matrix, n, i, j), 1e-9 * values[0]);
        ASSERT_NEAR(dot, i == j ? 1.0 : 0.0, 1e-10);
      }
    }
  }
}

TEST(LinearAlgebra, InverseCholesky) {
  constexpr int64_t kN = 30;
  const std::vector<double> h = random_positive(kN, 5);
  std::vector<double> u = h;
  ASSERT_TRUE(inverse_cholesky(u, kN));
  std::vector<double> inverse(h.size());
  multiply_transposed(u, u, kN, kN, kN, inverse);
  std::vector<double> identity(h.size());
  multiply(h, inverse, kN, kN, kN, identity);
  for (int64_t i = 0; i < kN; ++i) {
    for (int64_t j = 0; j < kN; ++j) {
      EXPECT_NEAR(at(identity, kN, i, j), i == j ? 1.0 : 0.0, 1e-9);
      if (j < i) {
        EXPECT_EQ(at(u, kN, i, j), 0.0);
      }
    }
  }
  std::vector<double> indefinite = {1, 2, 2, 1};
  EXPECT_FALSE(inverse_cholesky(indefinite, 2));
}

TEST(LinearAlgebra, SolvesPositiveSystems) {
  constexpr int64_t kN = 20;
  const std::vector<double> a = random_positive(kN, 6);
  const std::vector<double> x = random_matrix(kN * 3, 7);
  std::vector<double> b(x.size());
  multiply(a, x, kN, kN, 3, b);
  std::vector<double> work = a;
  ASSERT_TRUE(solve_positive(work, kN, b, 3));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(b[i], x[i], 1e-9);
}

TEST(LinearAlgebra, ThreadsDoNotChangeBits) {
  const std::vector<float> x = to_float(random_matrix(1300 * 700, 8));
  const auto gram = [&](int threads) {
    set_thread_count(threads);
    std::vector<double> result(700 * 700, 0.0);
    accumulate_gram(x, 1300, 700, result);
    set_thread_count(0);
    return result;
  };
  EXPECT_EQ(gram(1), gram(4));
}

// A BLAS that was built without threads mixes up the buffers of two callers (OpenBLAS, serial build).
TEST(LinearAlgebra, CallersOfManyThreadsGetTheirOwnResults) {
  constexpr int64_t kSize = 96;
  constexpr int64_t kCallers = 64;
  const std::vector<double> a = random_matrix(kSize * kSize, 5), b = random_matrix(kSize * kSize, 6);
  std::vector<double> alone(a.size());
  multiply(a, b, kSize, kSize, kSize, alone);
  std::vector<std::vector<double>> together(kCallers, std::vector<double>(a.size()));
  set_thread_count(4);
  parallel_for(0, kCallers, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      multiply(a, b, kSize, kSize, kSize, together[static_cast<size_t>(i)]);
    }
  });
  set_thread_count(0);
  for (const std::vector<double>& one : together) EXPECT_EQ(one, alone);
}

}  // namespace
}  // namespace mcompress::numerics
