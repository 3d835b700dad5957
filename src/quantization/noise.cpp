// SPDX-License-Identifier: Apache-2.0
#include "quantization/noise.h"

#include <algorithm>

namespace mcompress::quantization {
namespace {

double rounding_variance(double scale) { return scale * scale / 12; }

}  // namespace

size_t weight_index(const Layer& layer, int64_t output, int64_t channel, int64_t tap) {
  if (layer.kind == LayerKind::kConv) {
    const int64_t channels = layer.inputs / layer.groups;
    return static_cast<size_t>((output * channels + channel) * layer.kernel + tap);
  }
  return static_cast<size_t>(layer.output_axis == 0 ? output * layer.inputs + channel
                                                    : channel * layer.outputs + output);
}

double expected_noise(const Unit& unit, std::span<const float> weight,
                      std::span<const float> scales, const numerics::QuantParams& input,
                      const ChannelStatistics& input_channels,
                      const std::optional<numerics::QuantParams>& output,
                      const ChannelStatistics& output_channels) {
  const Layer& layer = unit.layer;
  const int64_t channels = layer.inputs / layer.groups;
  const int64_t outputs_per_group = layer.outputs / layer.groups;
  const bool know_input = static_cast<int64_t>(input_channels.mean_square.size()) == layer.inputs;
  const bool know_output = static_cast<int64_t>(output_channels.mean.size()) == layer.outputs;
  if (!know_output) return 0;
  double total = 0;
  for (int64_t o = 0; o < layer.outputs; ++o) {
    const auto at = static_cast<size_t>(o);
    double weight_square = 0, energy = 0;
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t in = o / outputs_per_group * channels + c;
      for (int64_t t = 0; t < layer.kernel; ++t) {
        const double w = weight[weight_index(layer, o, c, t)];
        weight_square += w * w;
        if (know_input) energy += input_channels.mean_square[static_cast<size_t>(in)];
      }
    }
    double noise = rounding_variance(input.scale) * weight_square +
                   rounding_variance(scales[scales.size() == 1 ? 0 : at]) * energy;
    if (output) noise += rounding_variance(output->scale);
    const double mean = output_channels.mean[at];
    const double signal = output_channels.mean_square[at] - mean * mean;
    total += signal > 0 ? std::min(1.0, noise / signal) : 0.0;
  }
  return total / static_cast<double>(std::max<int64_t>(1, layer.outputs));
}

}  // namespace mcompress::quantization
