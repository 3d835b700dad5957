// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/gptq.h"

namespace mcompress::numerics {

struct AdaptiveOptions {
  int steps = 600;
  double learning_rate = 0.1;  ///< of Adam, whose variable decides between up and down
  double regularization = 0.2;
  double first_beta = 20, last_beta = 2;  ///< of the pull to 0 or 1, along a cosine
  double warm_up = 0.2;                   ///< part of the steps without that pull
};

/// Chooses for each weight the code below or above it, so that |X (W - Q)|^2 is least (AdaRound,
/// arXiv:2004.10568). The loss and its gradient 2 H (Q - W) h'(V) are known in closed form from
/// H = X^T X, one product of H with the error a step, so that all rows count in every step and the
/// result is deterministic. Outputs for which nearest rounding turns out better keep that. `grid`
/// without pairs. O(steps K^2 N). Returns [inputs, outputs].
std::vector<int8_t> adaptive_round(const LayerProblem& layer, const QuantGrid& grid,
                                   const AdaptiveOptions& options = {});

}  // namespace mcompress::numerics
