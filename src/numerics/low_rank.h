// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::numerics {

/// W ~ left [rows, rank] * right [rank, columns].
struct LowRankFactors {
  int64_t rank = 0;
  std::vector<float> left;
  std::vector<float> right;
};

/// Singular values and, for any rank, the best factors of a weight W [rows, columns]: rows are
/// inputs (Y = X W) where a Gram matrix is given. Through the Gram matrix of the shorter side and
/// its eigenvectors, in double: O(n m^2 + m^3), m the shorter side. (algorithms.md section 6)
class LowRank {
 public:
  /// Plain: factors of rank r are the best for |W - L R|_F. Keeps a view of `weights`.
  LowRank(std::span<const float> weights, int64_t rows, int64_t columns);
  /// Whitened: the best for |X (W - L R)|_F, given gram = X^T X [rows, rows] (symmetric, any
  /// positive scale). Directions of X with less than 1e-6 of the mean energy count as unused.
  LowRank(std::span<const float> weights, int64_t rows, int64_t columns,
          std::span<const double> gram);

  /// min(rows, columns) values, descending. The squared error of rank r is the sum of their squares
  /// from r on.
  const std::vector<double>& singular_values() const { return singular_values_; }
  /// sqrt(S) goes to both sides, so that their ranges are alike.
  LowRankFactors factors(int64_t rank) const;

 private:
  void decompose_columns(std::vector<double> gram);
  void decompose_rows(const std::vector<double>& whitened);

  std::span<const float> weights_;
  int64_t rows_;
  int64_t columns_;
  std::vector<double> singular_values_;
  // By columns: right_ holds orthonormal rows v_i, left_i = W v_i. By rows: right_i = right_ row i,
  // left_ row i the vector that goes with it.
  bool by_columns_ = true;
  std::vector<double> left_;
  std::vector<double> right_;
};

/// Nearest multiple of `multiple` (at least one), and at most `limit`.
int64_t round_rank(int64_t rank, int64_t multiple, int64_t limit);
/// Part of the squares that rank `rank` loses, 0..1.
double lost_energy(std::span<const double> singular_values, int64_t rank);

}  // namespace mcompress::numerics
