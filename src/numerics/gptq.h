// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "numerics/quantize.h"
#include "numerics/sparsity.h"

namespace mcompress::numerics {

/// A weight [inputs, outputs] (Y = X W) and what its inputs were like: gram = X^T X [inputs,
/// inputs], symmetric, at any positive scale (InputMoments::gram).
struct LayerProblem {
  std::span<const float> weights;
  int64_t inputs = 0;
  int64_t outputs = 0;
  std::span<const double> gram;
};

/// |X (W - changed)|^2 at the scale of the gram matrix.
double output_error(const LayerProblem& layer, std::span<const float> changed);

struct SolverOptions {
  /// Added to the diagonal as a part of its mean; times ten until the matrix is positive definite.
  double damping = 0.01;
  /// Inputs in order of falling energy: the largest errors are made while most inputs can still
  /// make up for them. Not with N:M sparsity.
  bool order_by_energy = true;
};

/// Fixed grid that GPTQ rounds to: scales (and zero points, unless empty) are
/// [ceil(inputs / group), outputs], as from quantize_blocks; group >= inputs means per channel.
struct QuantGrid {
  std::span<const float> scales;
  std::span<const int32_t> zero_points = {};
  int64_t group = 0;  ///< 0 = all inputs
  IntRange range = kInt8SymmetricRange;
  /// Of each input the ones it is paired with (pair_rule.h), or empty. Zero points must be 0.
  std::span<const std::array<int64_t, 2>> partners = {};

  /// Parameters of a weight of a layer with so many inputs and outputs.
  QuantParams params(int64_t input, int64_t output, const LayerProblem& layer) const;
  /// The code nearest to `value` that the rule allows beside the codes of its partners in `values`
  /// [inputs, outputs].
  int32_t nearest(double value, int64_t input, int64_t output, const LayerProblem& layer,
                  std::span<const int8_t> values) const;
};

struct GptqResult {
  std::vector<int8_t> values;  ///< [inputs, outputs]
  /// False: the matrix could not be factored (NaN), and the weights were rounded to nearest.
  bool solved = true;
};

/// Rounds the inputs of each output one after the other and lets the rest make up for the error
/// (GPTQ, arXiv:2210.17323, with the scales fixed before). O(K^3 + N K^2). Inputs without energy
/// are rounded to nearest.
GptqResult gptq(const LayerProblem& layer, const QuantGrid& grid,
                const SolverOptions& options = {});
/// The same on several grids, for the price of one factorization.
std::vector<GptqResult> gptq(const LayerProblem& layer, std::span<const QuantGrid> grids,
                             const SolverOptions& options = {});

/// Gives one code after the other, up to `sweeps` times over all, the value that is best beside the
/// others: |X (W - Q)|^2 + damping * mean energy * |W - Q|^2 falls with each change. `values`
/// [inputs, outputs] must obey the grid's pairs. O(K N + K changes) a sweep after one K^2 N product.
void refine_codes(const LayerProblem& layer, const QuantGrid& grid, int sweeps, double damping,
                  std::span<int8_t> values);

struct SparseResult {
  std::vector<float> weights;  ///< [inputs, outputs], pruned ones exactly 0
  bool solved = true;          ///< false: magnitude pruning without update
};

/// Prunes prune_count(inputs * outputs, sparsity) weights, chosen in blocks of 128 inputs by
/// w^2 / [U_ii]^2, and updates the rest (SparseGPT, arXiv:2301.00774).
SparseResult sparse_gpt(const LayerProblem& layer, double sparsity,
                        const SolverOptions& options = {});
/// Keeps `n` of every `m` consecutive inputs of each output; inputs beyond the last whole group
/// stay.
SparseResult sparse_gpt_n_of_m(const LayerProblem& layer, int n, int m,
                               const SolverOptions& options = {});

}  // namespace mcompress::numerics
