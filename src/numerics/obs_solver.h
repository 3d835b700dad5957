// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "numerics/gptq.h"
#include "numerics/sparsity.h"

namespace mcompress::numerics {

/// Which weights of a layer stay, by scores >= 0 in the order of its groups, [inputs, outputs] each.
using MaskRule = std::function<Mask(std::span<const float> scores)>;

/// prune_count(all, sparsity) of all weights go.
MaskRule sparsity_rule(double sparsity);
/// `n` of every `m` consecutive channels; an input is channel * taps + tap.
MaskRule n_of_m_rule(int64_t inputs, int64_t outputs, int64_t taps, int n, int m);

/// Values that the weights of a layer may take beside zero: values[c] * scale of the output.
struct SharedGrid {
  std::vector<float> values;  ///< ascending, none of them 0
  std::vector<float> scales;  ///< one per output of every group; empty: all 1
  bool refit_values = true;   ///< by least squares on the layer's output
  bool refit_scales = false;  ///< likewise
  int whole_steps = 0;        ///< values end as whole multiples of the largest over this; 0: any
};

struct ObsOptions {
  double damping = 0.05;  ///< added to the diagonal of the gram matrix, as a part of its mean
  int mask_steps = 30;    ///< to find the mask, two products of that size each
  int refit_sweeps = 8;   ///< with the mask fixed
  int round_sweeps = 8;   ///< over rounded weights
};
/// Fewer sweeps for layers where one takes long.
ObsOptions obs_options(int64_t inputs, int64_t all_outputs, double damping);

/// Least-squares compression of one layer: minimizes |X (W - changed)|^2 over weights with zeros and
/// few values, by its second moments alone. The mask is found by alternating directions: the layer
/// without a mask and its projection onto the mask pull at each other ever harder (ADMM; Meng et al.,
/// arXiv:2406.07831), in units in which each input has energy 1. What stays is refitted by coordinate
/// descent: one weight after the other takes its best allowed value given all others, so that the
/// error never rises; a sweep costs inputs^2 * outputs. Rounding starts from GPTQ (arXiv:2210.17323)
/// and is improved in the same way, under the grid.
/// All groups of a layer have the same shape; masks and values are chosen over all of them.
/// Results do not depend on the number of threads.
class ObsLayer {
 public:
  ObsLayer(std::span<const LayerProblem> groups, const ObsOptions& options = {});

  /// False: the moments or weights are not finite, nothing can be done.
  bool usable() const { return usable_; }
  /// Prunes and refits what is left. A later call starts from the dense weights again.
  void prune(const MaskRule& rule);
  /// Zeros that are there stay zeros.
  void keep_zeros();
  /// Zeros stay; the others take values of the grid or 0. Returns the grid as refitted.
  SharedGrid round(const SharedGrid& grid);

  /// By group, [inputs, outputs] each.
  std::vector<float> weights() const;
  /// H_ii of each weight's input: what its squared error costs at least.
  std::vector<float> importance() const;
  /// |X (W - weights)|^2 and |X W|^2 at the scale of the gram matrix, damping included.
  double error() const;
  double energy() const;

 private:
  /// Some outputs of one group, so that threads and caches have something to share.
  struct Chunk {
    const double* gram = nullptr;    ///< damped, of the group
    const double* factor = nullptr;  ///< Cholesky factor of its inverse, where it has one
    size_t group = 0;
    int64_t first = 0;               ///< of all outputs of all groups
    size_t offset = 0;               ///< of its first weight among all, in rows of `stride`
    int64_t outputs = 0;
    std::vector<double> original, weights, gradient;  ///< [inputs, outputs]; H (weights - original)
  };
  template <class Choose>
  void sweep(Chunk& chunk, Choose choose);
  template <class Choose>
  void sweep_all(Choose choose);
  /// out += H[:, begin..begin+count) delta.
  void add_product(const Chunk& chunk, std::span<const double> delta, int64_t begin, int64_t count,
                   std::span<double> out) const;
  void recompute_gradient(Chunk& chunk) const;
  void factor_grams();
  void round_in_order(Chunk& chunk, const SharedGrid& grid) const;
  void polish(const SharedGrid& grid, int sweeps);
  void refit_values(SharedGrid& grid);
  void refit_scales(SharedGrid& grid);
  void snap_values(SharedGrid& grid);
  void replace_values(SharedGrid& grid, const std::vector<float>& values);
  void prepare_spectra();
  void find_mask(const MaskRule& rule);
  /// Of a weight of a chunk among all weights.
  size_t position(const Chunk& chunk, int64_t input, int64_t output) const {
    return chunk.offset + static_cast<size_t>(input * outputs_ + output);
  }
  template <class Fn>
  void for_each_chunk(Fn fn);

  int64_t inputs_ = 0, outputs_ = 0;  ///< of one group
  ObsOptions options_;
  bool usable_ = false;
  /// Eigenvectors, one per row, and eigenvalues of the gram matrix in units of `scale`.
  struct Spectrum {
    std::vector<double> vectors, values, scale;
  };
  std::shared_ptr<std::vector<Spectrum>> spectra_;
  /// By group; shared by copies.
  std::shared_ptr<std::vector<std::vector<double>>> grams_, factors_;
  std::vector<Chunk> chunks_;
  Mask mask_;
};

}  // namespace mcompress::numerics
