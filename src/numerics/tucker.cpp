// SPDX-License-Identifier: Apache-2.0
#include "numerics/tucker.h"

#include <algorithm>
#include <cmath>

#include "numerics/linear_algebra.h"

namespace mcompress::numerics {
namespace {

constexpr double kUnusedDirection = 1e-6;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

/// [a, b, taps] -> [b, a, taps].
std::vector<double> swapped(std::span<const double> tensor, int64_t a, int64_t b, int64_t taps) {
  std::vector<double> result(tensor.size());
  for (int64_t i = 0; i < a; ++i) {
    for (int64_t j = 0; j < b; ++j) {
      std::copy_n(tensor.begin() + (i * b + j) * taps, taps, result.begin() + (j * a + i) * taps);
    }
  }
  return result;
}

/// Eigenvectors, one per row, of the Gram matrix of the rows of [rows, columns].
std::vector<double> mode_vectors(std::span<const double> unfolded, int64_t rows) {
  const int64_t columns = static_cast<int64_t>(unfolded.size()) / std::max<int64_t>(rows, 1);
  std::vector<double> turned(unfolded.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      turned[to_size(c * rows + r)] = unfolded[to_size(r * columns + c)];
    }
  }
  std::vector<double> gram(to_size(rows * rows));
  multiply_transposed(turned, turned, rows, columns, rows, gram);
  symmetric_eigen(gram, rows);
  return gram;
}

/// The first `rank` rows of `vectors` [n, n] times [n, columns].
std::vector<double> project(std::span<const double> vectors, int64_t rank, int64_t n,
                            std::span<const double> unfolded) {
  const int64_t columns = static_cast<int64_t>(unfolded.size()) / n;
  std::vector<double> result(to_size(rank * columns));
  multiply(vectors.subspan(0, to_size(rank * n)), unfolded, rank, n, columns, result);
  return result;
}

/// Symmetric root of G, and the inverse of the root where directions are used.
void roots(std::span<const double> gram, int64_t n, std::vector<double>& root,
           std::vector<double>& inverse) {
  std::vector<double> vectors(gram.begin(), gram.end());
  const auto energies = symmetric_eigen(vectors, n);
  double trace = 0;
  for (const double energy : energies) trace += std::max(energy, 0.0);
  const double floor = kUnusedDirection * trace / static_cast<double>(n);
  std::vector<double> forward(vectors), backward(vectors);
  for (int64_t i = 0; i < n; ++i) {
    const double energy = energies[to_size(i)];
    const double scale = energy > floor ? std::sqrt(energy) : 0.0;
    for (int64_t j = 0; j < n; ++j) {
      forward[to_size(i * n + j)] *= scale;
      backward[to_size(i * n + j)] *= scale > 0 ? 1.0 / scale : 0.0;
    }
  }
  root.resize(vectors.size());
  inverse.resize(vectors.size());
  multiply_transposed(vectors, forward, n, n, n, root);
  multiply_transposed(vectors, backward, n, n, n, inverse);
}

}  // namespace

Tucker::Tucker(std::span<const float> weights, int64_t outputs, int64_t channels, int64_t taps,
               std::span<const double> channel_gram)
    : outputs_(outputs), channels_(channels), taps_(taps), weights_(to_double(weights)) {
  if (!channel_gram.empty()) {
    std::vector<double> root;
    roots(channel_gram, channels, root, unweigh_);
    const auto by_channel = swapped(weights_, outputs, channels, taps);
    weights_ = swapped(project(root, channels, channels, by_channel), channels, outputs, taps);
  }
  outer_ = mode_vectors(weights_, outputs);
  inner_ = mode_vectors(swapped(weights_, outputs, channels, taps), channels);
  const auto half = project(outer_, outputs, outputs, weights_);
  const auto core = project(inner_, channels, channels, swapped(half, outputs, channels, taps));
  kept_.assign(to_size((outputs + 1) * (channels + 1)), 0.0);
  for (int64_t a = 0; a < outputs; ++a) {
    for (int64_t b = 0; b < channels; ++b) {
      double squares = 0;
      for (int64_t t = 0; t < taps; ++t) {
        const double value = core[to_size((b * outputs + a) * taps + t)];
        squares += value * value;
      }
      const auto at = [&](int64_t i, int64_t j) -> double& {
        return kept_[to_size(i * (channels + 1) + j)];
      };
      at(a + 1, b + 1) = squares + at(a, b + 1) + at(a + 1, b) - at(a, b);
    }
  }
}

double Tucker::lost(int64_t outer, int64_t inner) const {
  const double total = kept_.back();
  if (total <= 0) return 0;
  return std::clamp(1 - kept_[to_size(outer * (channels_ + 1) + inner)] / total, 0.0, 1.0);
}

TuckerFactors Tucker::factors(int64_t outer, int64_t inner, int iterations) const {
  std::vector<double> outer_vectors = outer_, inner_vectors = inner_;
  const auto by_channel = swapped(weights_, outputs_, channels_, taps_);
  for (int i = 0; i < iterations; ++i) {
    const auto without_inner =
        swapped(project(inner_vectors, inner, channels_, by_channel), inner, outputs_, taps_);
    outer_vectors = mode_vectors(without_inner, outputs_);
    const auto without_outer =
        swapped(project(outer_vectors, outer, outputs_, weights_), outer, channels_, taps_);
    inner_vectors = mode_vectors(without_outer, channels_);
  }
  const auto half = project(outer_vectors, outer, outputs_, weights_);
  const auto core =
      swapped(project(inner_vectors, inner, channels_, swapped(half, outer, channels_, taps_)),
              inner, outer, taps_);
  std::vector<double> first(inner_vectors.begin(), inner_vectors.begin() + inner * channels_);
  if (!unweigh_.empty())
    first = [&] {
      std::vector<double> result(first.size());
      multiply(first, unweigh_, inner, channels_, channels_, result);
      return result;
    }();
  TuckerFactors factors{outer, inner, to_float(first), to_float(core), {}};
  const std::vector<double> last(outer_vectors.begin(), outer_vectors.begin() + outer * outputs_);
  factors.last = transposed(to_float(last), outer, outputs_);
  return factors;
}

}  // namespace mcompress::numerics
