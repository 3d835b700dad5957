// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "mcompress/pass_context.h"
#include "quantization/equalize_classes.h"

namespace mcompress::quantization {

/// Candidates for the exponent of activation-aware scales: 0, 1/20 ... 19/20.
inline constexpr int kSmoothSteps = 20;

/// s_j = max|X_j|^a / max|W_j|^(1 - a) over all layers that read the class (SmoothQuant,
/// arXiv:2211.10438), their geometric mean 1, none below a thousandth of the largest. `range` holds
/// max|X_j|, `weight` max|W_j| in turn.
std::vector<double> smoothing_factors(std::span<const double> range, std::span<const double> weight,
                                      double alpha);

/// s_j = rms(X_j)^r with r = step / kSmoothSteps (AWQ, arXiv:2306.00978), normalized likewise.
std::vector<double> aware_factors(std::span<const double> mean_square, int step);

/// max|W_j| of each channel over all layers that read the class.
std::vector<double> largest_read(const ScaleGraph& graph, const ScaleClass& scale_class);

/// |X (W - Q(W s) / s)|^2 / |X W|^2 of a MatMul or Gemm whose weight is rounded to nearest with
/// `bits`, symmetric, one scale per output.
double aware_error(const Layer& layer, const Tensor& weight, std::span<const LayerMoments> moments,
                   std::span<const double> factors, int bits);

}  // namespace mcompress::quantization
