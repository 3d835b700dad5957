// SPDX-License-Identifier: Apache-2.0
#include "quantization/bias_correction.h"

#include "analysis/layer_matrix.h"

namespace mcompress::quantization {

std::vector<float> mean_output_shift(const Layer& layer, std::span<const float> weight,
                                     std::span<const float> changed,
                                     std::span<const LayerMoments> moments) {
  if (moments.empty() || layer.kind == LayerKind::kConvTranspose ||
      !analysis::LayerMatrix::obstacle(layer).empty()) {
    return {};
  }
  const analysis::LayerMatrix before(layer, weight), after(layer, changed);
  const auto outputs = static_cast<size_t>(before.outputs());
  std::vector<double> shift(static_cast<size_t>(before.groups()) * outputs, 0.0);
  for (int64_t g = 0; g < before.groups(); ++g) {
    const auto old_weights = before.group(g), new_weights = after.group(g);
    const auto& mean = moments[static_cast<size_t>(g)].mean;
    double* const out = shift.data() + static_cast<size_t>(g) * outputs;
    for (size_t k = 0; k < mean.size(); ++k) {
      for (size_t o = 0; o < outputs; ++o) {
        const size_t at = k * outputs + o;
        out[o] -= (static_cast<double>(new_weights[at]) - old_weights[at]) * mean[k];
      }
    }
  }
  return {shift.begin(), shift.end()};
}

}  // namespace mcompress::quantization
