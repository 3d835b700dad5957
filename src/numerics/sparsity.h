// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "numerics/reduction_layout.h"

namespace mcompress::numerics {

/// One byte per weight: 1 = keep, 0 = prune.
using Mask = std::vector<uint8_t>;

/// |w|, the score of magnitude pruning. For masks within one layer any monotone score does.
std::vector<float> magnitude_scores(std::span<const float> weights);

/// w^2 / sum of u^2 over |u| >= |w|: comparable across layers, so that one global threshold
/// balances them by itself (LAMP, arXiv:2010.07611). O(n). At most 2^32 - 1 weights.
std::vector<float> lamp_scores(std::span<const float> weights);

/// Number of weights out of `count` that a sparsity of 0..1 asks for, rounded to nearest.
int64_t prune_count(int64_t count, double sparsity);

/// A layer that competes for the weights to be pruned.
struct ScoredLayer {
  std::span<const float> scores;  ///< >= 0, not NaN; the lowest are pruned
  double max_sparsity = 1.0;      ///< at most this part of the layer is pruned
  /// When given, the best weight of every output stays (unless its score is 0 too).
  const ReductionLayout* keep_outputs = nullptr;
};

/// Prunes exactly `prune` weights with the lowest scores of all layers together, or as many as the
/// limits allow. Ties are broken by layer, then by index (lower ones are pruned first). With one
/// layer this is local pruning. O(n). Throws Error(kModel) on NaN scores.
std::vector<Mask> prune_lowest(std::span<const ScoredLayer> layers, int64_t prune);

/// In every group of `m` consecutive input channels (of one output and tap) the `n` best stay, ties
/// going to the lower channel; channels beyond the last whole group stay.
Mask n_of_m_mask(std::span<const float> scores, const ReductionLayout& layout, int n, int m);

/// Prunes exactly `prune` blocks of block_rows x block_columns of a [rows, columns] matrix by the
/// mean of their squared scores; blocks at the border are cut short. Ties as above.
Mask block_mask(std::span<const float> scores, int64_t rows, int64_t columns, int64_t block_rows,
                int64_t block_columns, int64_t prune);
/// Blocks, border blocks included, that such a matrix has.
int64_t block_count(int64_t rows, int64_t columns, int64_t block_rows, int64_t block_columns);

/// Sets pruned weights to +0. Returns the number of zeros afterwards.
int64_t apply_mask(std::span<const uint8_t> mask, std::span<float> weights);
int64_t count_zeros(std::span<const float> weights);

}  // namespace mcompress::numerics
