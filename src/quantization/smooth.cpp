// SPDX-License-Identifier: Apache-2.0
#include "quantization/smooth.h"

#include <algorithm>
#include <cmath>

#include "analysis/layer_matrix.h"
#include "quantization/equalize.h"
#include "quantization/rounding.h"

namespace mcompress::quantization {
namespace {

constexpr double kMostBelow = 1000;

void normalize(std::vector<double>& factors) {
  const double largest = *std::max_element(factors.begin(), factors.end());
  double logs = 0;
  for (double& f : factors) {
    f = largest > 0 ? std::max(f, largest / kMostBelow) : 1.0;
    logs += std::log(f);
  }
  const double mean = std::exp(logs / static_cast<double>(factors.size()));
  for (double& f : factors) f /= mean;
}

/// Multiplies input j of the weight by factors[j], or divides.
std::vector<float> scaled(const Layer& layer, std::span<const float> weight,
                          std::span<const double> factors, bool divide) {
  analysis::LayerMatrix matrix(layer, weight);
  const auto values = matrix.group(0);
  const auto outputs = static_cast<size_t>(matrix.outputs());
  for (size_t at = 0; at < values.size(); ++at) {
    const double f = factors[at / outputs];
    values[at] = static_cast<float>(divide ? values[at] / f : values[at] * f);
  }
  return matrix.weight();
}

}  // namespace

std::vector<double> smoothing_factors(std::span<const double> range, std::span<const double> weight,
                                      double alpha) {
  std::vector<double> factors(range.size(), 0.0);
  for (size_t j = 0; j < range.size(); ++j) {
    if (!(range[j] > 0)) continue;
    factors[j] = std::pow(range[j], alpha);
    if (weight[j] > 0) factors[j] /= std::pow(weight[j], 1 - alpha);
  }
  normalize(factors);
  return factors;
}

std::vector<double> aware_factors(std::span<const double> mean_square, int step) {
  std::vector<double> factors(mean_square.size());
  const double exponent = static_cast<double>(step) / kSmoothSteps / 2;  // of the square
  for (size_t j = 0; j < factors.size(); ++j) factors[j] = std::pow(mean_square[j], exponent);
  normalize(factors);
  return factors;
}

std::vector<double> largest_read(const ScaleGraph& graph, const ScaleClass& scale_class) {
  std::vector<double> largest(static_cast<size_t>(scale_class.channels), 0.0);
  for (const auto& row : readers_of(graph, scale_class).rows) {
    for (size_t j = 0; j < largest.size(); ++j) largest[j] = std::max(largest[j], row.largest[j]);
  }
  return largest;
}

double aware_error(const Layer& layer, const Tensor& weight, std::span<const LayerMoments> moments,
                   std::span<const double> factors, int bits) {
  RoundingOptions how;
  how.range = numerics::int_range(bits, true, true);
  const Tensor grown =
      Tensor::from<float>(layer.weight_shape, scaled(layer, weight.as<float>(), factors, false));
  const auto rounded = dequantized(layer, round_weight(layer, grown, {}, how));
  return relative_output_error(layer, weight, scaled(layer, rounded, factors, true), moments);
}

}  // namespace mcompress::quantization
