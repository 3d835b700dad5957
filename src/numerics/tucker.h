// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::numerics {

/// W [outputs, channels, taps] ~ core [r1, r2, taps] with `last` [outputs, r1] and `first`
/// [r2, channels]: W_oct = sum_ab last_oa core_abt first_bc.
struct TuckerFactors {
  int64_t outer = 0;  ///< r1
  int64_t inner = 0;  ///< r2
  std::vector<float> first, core, last;
};

/// Tucker-2 of a convolution's kernel: both channel modes projected, taps kept. Starts from the
/// eigenvectors of each mode's Gram matrix (HOSVD), which gives the loss of every pair of ranks at
/// once; `factors` improves a pair by alternating (HOOI). (algorithms.md section 6)
class Tucker {
 public:
  /// With `channel_gram` [channels, channels], not empty, the error is weighed by the inputs'
  /// second moments. Directions with less than 1e-6 of their mean energy count as unused.
  Tucker(std::span<const float> weights, int64_t outputs, int64_t channels, int64_t taps,
         std::span<const double> channel_gram);

  /// Part of the (weighed) squares that ranks r1 and r2 lose before they are improved, 0..1.
  double lost(int64_t outer, int64_t inner) const;
  TuckerFactors factors(int64_t outer, int64_t inner, int iterations = 5) const;

 private:
  int64_t outputs_, channels_, taps_;
  std::vector<double> weights_;        ///< weighed
  std::vector<double> unweigh_;        ///< [channels, channels]; empty: identity
  std::vector<double> outer_, inner_;  ///< eigenvectors of the modes, one per row
  std::vector<double> kept_;           ///< squares of the core within [r1, r2], (outputs + 1) rows
};

}  // namespace mcompress::numerics
