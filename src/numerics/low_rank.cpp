// SPDX-License-Identifier: Apache-2.0
#include "numerics/low_rank.h"

#include <algorithm>
#include <cmath>

#include "numerics/linear_algebra.h"

namespace mcompress::numerics {
namespace {

constexpr double kUnusedDirection = 1e-6;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

std::vector<double> gram_of(std::span<const float> matrix, int64_t rows, int64_t columns) {
  std::vector<double> gram(to_size(columns * columns), 0.0);
  accumulate_gram(matrix, rows, columns, gram);
  symmetrize(gram, columns);
  return gram;
}

std::vector<double> to_singular(std::vector<double> eigenvalues) {
  for (double& value : eigenvalues) value = std::sqrt(std::max(value, 0.0));
  return eigenvalues;
}

double norm(const double* values, int64_t count) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += values[i] * values[i];
  return std::sqrt(squares);
}

double sum_of_squares(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

}  // namespace

LowRank::LowRank(std::span<const float> weights, int64_t rows, int64_t columns)
    : weights_(weights), rows_(rows), columns_(columns) {
  if (columns <= rows) {
    decompose_columns(gram_of(weights, rows, columns));
    return;
  }
  std::vector<double> vectors = gram_of(transposed(weights, rows, columns), columns, rows);
  singular_values_ = to_singular(symmetric_eigen(vectors, rows));
  by_columns_ = false;
  right_.resize(weights.size());
  multiply(vectors, to_double(weights), rows, rows, columns, right_);
  left_ = std::move(vectors);
}

LowRank::LowRank(std::span<const float> weights, int64_t rows, int64_t columns,
                 std::span<const double> gram)
    : weights_(weights), rows_(rows), columns_(columns) {
  const std::vector<double> w = to_double(weights);
  if (columns <= rows) {
    // W^T G W is the Gram matrix of the outputs: project on its leading eigenvectors.
    std::vector<double> product(weights.size());
    multiply(gram, w, rows, rows, columns, product);
    std::vector<double> outputs(to_size(columns * columns));
    multiply_transposed(w, product, columns, rows, columns, outputs);
    decompose_columns(std::move(outputs));
    return;
  }
  decompose_rows({gram.begin(), gram.end()});
}

void LowRank::decompose_columns(std::vector<double> gram) {
  right_ = std::move(gram);
  singular_values_ = to_singular(symmetric_eigen(right_, columns_));
}

// G = Q^T D Q (rows of Q are eigenvectors), S^T = D^1/2 Q. With U the left singular vectors of
// B = S^T W, the best approximation is S^-T U U^T B.
void LowRank::decompose_rows(const std::vector<double>& whitened) {
  by_columns_ = false;
  std::vector<double> q = whitened;
  const std::vector<double> energies = symmetric_eigen(q, rows_);
  double trace = 0;
  for (const double energy : energies) trace += std::max(energy, 0.0);
  const double floor = kUnusedDirection * trace / static_cast<double>(rows_);

  std::vector<double> forward = q;
  std::vector<double> backward = std::move(q);
  for (int64_t i = 0; i < rows_; ++i) {
    const double energy = energies[to_size(i)];
    const double root = energy > floor ? std::sqrt(energy) : 0.0;
    for (int64_t j = 0; j < rows_; ++j) {
      forward[to_size(i * rows_ + j)] *= root;
      backward[to_size(i * rows_ + j)] *= root > 0 ? 1.0 / root : 0.0;
    }
  }
  std::vector<double> b(weights_.size());
  multiply(forward, to_double(weights_), rows_, rows_, columns_, b);
  const std::vector<float> b_transposed = transposed(to_float(b), rows_, columns_);
  std::vector<double> u = gram_of(b_transposed, columns_, rows_);
  singular_values_ = to_singular(symmetric_eigen(u, rows_));
  left_.resize(u.size());
  multiply(u, backward, rows_, rows_, rows_, left_);
  right_.resize(weights_.size());
  multiply(u, b, rows_, rows_, columns_, right_);
}

LowRankFactors LowRank::factors(int64_t rank) const {
  rank = std::clamp<int64_t>(rank, 0, static_cast<int64_t>(singular_values_.size()));
  std::vector<double> left_rows;  // [rank, rows]
  if (by_columns_) {
    const std::span<const double> leading(right_.data(), to_size(rank * columns_));
    const std::vector<double> w = to_double(transposed(weights_, rows_, columns_));
    left_rows.resize(to_size(rank * rows_));
    multiply(leading, w, rank, columns_, rows_, left_rows);
  } else {
    left_rows.assign(left_.begin(), left_.begin() + static_cast<ptrdiff_t>(rank * rows_));
  }

  LowRankFactors factors;
  factors.rank = rank;
  factors.left.resize(to_size(rows_ * rank));
  factors.right.resize(to_size(rank * columns_));
  for (int64_t i = 0; i < rank; ++i) {
    const double* left = left_rows.data() + i * rows_;
    const double* right = right_.data() + i * columns_;
    const double left_norm = norm(left, rows_);
    const double right_norm = norm(right, columns_);
    const bool is_empty = left_norm == 0 || right_norm == 0;
    const double balance = is_empty ? 1.0 : std::sqrt(right_norm / left_norm);
    for (int64_t j = 0; j < rows_; ++j) {
      factors.left[to_size(j * rank + i)] = static_cast<float>(left[j] * balance);
    }
    for (int64_t j = 0; j < columns_; ++j) {
      factors.right[to_size(i * columns_ + j)] = static_cast<float>(right[j] / balance);
    }
  }
  return factors;
}

int64_t round_rank(int64_t rank, int64_t multiple, int64_t limit) {
  const int64_t rounded = std::max<int64_t>((rank + multiple / 2) / multiple, 1) * multiple;
  return std::min(rounded, limit);
}

double lost_energy(std::span<const double> singular_values, int64_t rank) {
  const double total = sum_of_squares(singular_values);
  if (total == 0 || rank >= static_cast<int64_t>(singular_values.size())) return 0;
  return sum_of_squares(singular_values.subspan(to_size(std::max<int64_t>(rank, 0)))) / total;
}

}  // namespace mcompress::numerics
