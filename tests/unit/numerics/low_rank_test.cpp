// SPDX-License-Identifier: Apache-2.0
#include "numerics/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "numerics/linear_algebra.h"
#include "tests/unit/numerics/random_values.h"

namespace mcompress::numerics {
namespace {

// Columns of falling size, mixed by a dense matrix: correlated and ill-conditioned.
std::vector<float> correlated_rows(int64_t rows, int64_t columns, uint32_t seed) {
  std::vector<float> x = normal_values(rows * columns, 1.0F, seed);
  for (int64_t r = 0; r < rows; ++r) {
    float carried = 0;
    for (int64_t c = 0; c < columns; ++c) {
      float& value = x[static_cast<size_t>(r * columns + c)];
      carried = 0.8F * carried + value / static_cast<float>(1 + c);
      value = carried;
    }
  }
  return x;
}

std::vector<double> product(const LowRankFactors& factors, int64_t rows, int64_t columns) {
  std::vector<double> out(static_cast<size_t>(rows * columns), 0.0);
  if (factors.rank == 0) return out;
  multiply(to_double(factors.left), to_double(factors.right), rows, factors.rank, columns, out);
  return out;
}

// |X (W - approximation)|^2 where X = I when `x` is empty.
double squared_loss(const std::vector<float>& weights, const std::vector<double>& approximation,
                    int64_t rows, int64_t columns, const std::vector<float>& x = {}) {
  std::vector<double> difference = to_double(weights);
  for (size_t i = 0; i < difference.size(); ++i) difference[i] -= approximation[i];
  if (!x.empty()) {
    const int64_t samples = static_cast<int64_t>(x.size()) / rows;
    std::vector<double> out(static_cast<size_t>(samples * columns));
    multiply(to_double(x), difference, samples, rows, columns, out);
    difference = out;
  }
  double sum = 0;
  for (const double value : difference) sum += value * value;
  return sum;
}

double tail(const std::vector<double>& singular_values, int64_t rank) {
  double sum = 0;
  for (size_t i = static_cast<size_t>(rank); i < singular_values.size(); ++i) {
    sum += singular_values[i] * singular_values[i];
  }
  return sum;
}

const std::vector<std::pair<int64_t, int64_t>> kShapes = {{30, 12}, {12, 30}, {17, 17}, {1, 5}};

TEST(LowRank, ErrorIsTheTailOfTheSpectrum) {
  for (const auto& [rows, columns] : kShapes) {
    const std::vector<float> weights = normal_values(rows * columns, 1.0F, 1);
    const LowRank svd(weights, rows, columns);
    ASSERT_EQ(svd.singular_values().size(), static_cast<size_t>(std::min(rows, columns)));
    const double all = tail(svd.singular_values(), 0);
    EXPECT_NEAR(all, squared_loss(weights, product({}, rows, columns), rows, columns), 1e-9 * all);
    for (int64_t rank = 0; rank <= std::min(rows, columns); rank += 3) {
      const std::vector<double> approximation = product(svd.factors(rank), rows, columns);
      EXPECT_NEAR(squared_loss(weights, approximation, rows, columns),
                  tail(svd.singular_values(), rank), 1e-6 * all);
    }
  }
}

TEST(LowRank, RecoversAnExactRank) {
  constexpr int64_t kRows = 40;
  constexpr int64_t kColumns = 25;
  LowRankFactors exact;
  exact.rank = 4;
  exact.left = normal_values(kRows * 4, 1.0F, 2);
  exact.right = normal_values(4 * kColumns, 1.0F, 3);
  const std::vector<float> weights = to_float(product(exact, kRows, kColumns));
  const LowRank svd(weights, kRows, kColumns);
  EXPECT_LT(svd.singular_values()[4], 1e-5 * svd.singular_values()[0]);
  const double all = tail(svd.singular_values(), 0);
  EXPECT_LT(squared_loss(weights, product(svd.factors(4), kRows, kColumns), kRows, kColumns),
            1e-11 * all);
}

TEST(LowRank, FactorsAreBalanced) {
  const std::vector<float> weights = normal_values(30 * 12, 1.0F, 4);
  const LowRankFactors factors = LowRank(weights, 30, 12).factors(5);
  for (size_t i = 0; i < 5; ++i) {
    double left = 0;
    double right = 0;
    for (size_t r = 0; r < 30; ++r) left += std::pow(factors.left[r * 5 + i], 2);
    for (size_t c = 0; c < 12; ++c) right += std::pow(factors.right[i * 12 + c], 2);
    EXPECT_NEAR(left, right, 1e-4 * left);
  }
}

TEST(LowRank, WhitenedIsExactlyTheLossOnTheData) {
  for (const auto& [rows, columns] : kShapes) {
    const std::vector<float> weights = normal_values(rows * columns, 1.0F, 5);
    const std::vector<float> x = correlated_rows(200, rows, 6);
    std::vector<double> gram(static_cast<size_t>(rows * rows), 0.0);
    accumulate_gram(x, 200, rows, gram);
    symmetrize(gram, rows);
    const LowRank plain(weights, rows, columns);
    const LowRank whitened(weights, rows, columns, gram);
    const double all = tail(whitened.singular_values(), 0);
    for (int64_t rank = 0; rank <= std::min(rows, columns); rank += 2) {
      const double loss =
          squared_loss(weights, product(whitened.factors(rank), rows, columns), rows, columns, x);
      EXPECT_NEAR(loss, tail(whitened.singular_values(), rank), 1e-5 * all);
      EXPECT_LE(loss, squared_loss(weights, product(plain.factors(rank), rows, columns), rows,
                                   columns, x) +
                          1e-6 * all);
    }
  }
}

TEST(LowRank, WhitenedSurvivesUnusedInputs) {
  for (const auto& [rows, columns] : kShapes) {
    const std::vector<float> weights = normal_values(rows * columns, 1.0F, 7);
    std::vector<double> gram(static_cast<size_t>(rows * rows), 0.0);
    accumulate_gram(normal_values(rows * 2, 1.0F, 8), 2, rows, gram);
    symmetrize(gram, rows);
    for (const float value : LowRank(weights, rows, columns, gram).factors(3).left) {
      EXPECT_TRUE(std::isfinite(value));
    }
    const std::vector<double> nothing(gram.size(), 0.0);
    for (const float value : LowRank(weights, rows, columns, nothing).factors(1).right) {
      EXPECT_TRUE(std::isfinite(value));
    }
  }
}

TEST(LowRank, RanksByRule) {
  const std::vector<double> spectrum = {3, 2, 1, 0};
  EXPECT_NEAR(lost_energy(spectrum, 1), 5.0 / 14, 1e-12);
  EXPECT_EQ(lost_energy(spectrum, 4), 0.0);
  EXPECT_EQ(round_rank(250, 16, 511), 256);
  EXPECT_EQ(round_rank(3, 16, 511), 16);
  EXPECT_EQ(round_rank(510, 16, 511), 511);
}

}  // namespace
}  // namespace mcompress::numerics
