// SPDX-License-Identifier: Apache-2.0
#include "numerics/pair_quantize.h"

#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "numerics/pair_rule.h"

namespace mcompress::numerics {
namespace {

constexpr std::array<float, 5> kFactors{1.0F, 1.1892071F, 1.4142135F, 1.6817928F, 2.0F};

std::vector<float> scaled(const std::vector<float>& scales, float factor) {
  std::vector<float> result = scales;
  for (float& scale : result) scale *= factor;
  return result;
}

/// Squared error of each channel.
std::vector<double> errors(std::span<const float> weights, ChannelLayout layout,
                           std::span<const int8_t> stored, const std::vector<float>& scales) {
  std::vector<double> result(scales.size(), 0.0);
  size_t at = 0;
  for (int64_t outer = 0; outer < layout.outer; ++outer) {
    for (size_t channel = 0; channel < scales.size(); ++channel) {
      for (int64_t inner = 0; inner < layout.inner; ++inner, ++at) {
        const double error = weights[at] - static_cast<float>(stored[at]) * scales[channel];
        result[channel] += error * error;
      }
    }
  }
  return result;
}

}  // namespace

QuantizedWeights quantize_in_pairs(std::span<const float> weights, ChannelLayout layout,
                                   const ReductionLayout& reduction,
                                   const WeightQuantOptions& options, int64_t& moved) {
  QuantizedWeights best = quantize_weights(weights, layout, options);
  moved = 0;
  if (count_pair_violations(best.values, reduction) == 0) return best;
  const std::vector<float> own = best.scales;
  std::vector<double> least(own.size(), std::numeric_limits<double>::infinity());
  std::vector<int8_t> stored(weights.size());
  for (const float factor : kFactors) {
    const std::vector<float> scales = scaled(own, factor);
    quantize_channels(weights, layout, scales, {}, options.range, stored);
    enforce_pair_rule(stored, reduction);
    const std::vector<double> error = errors(weights, layout, stored, scales);
    for (size_t channel = 0; channel < own.size(); ++channel) {
      if (error[channel] >= least[channel]) continue;
      least[channel] = error[channel];
      best.scales[channel] = scales[channel];
    }
  }
  quantize_channels(weights, layout, best.scales, {}, options.range, best.values);
  moved = enforce_pair_rule(best.values, reduction);
  return best;
}

}  // namespace mcompress::numerics
