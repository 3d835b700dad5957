// SPDX-License-Identifier: Apache-2.0
#include "quantization/input_scales.h"

#include <algorithm>
#include <cmath>

#include "analysis/layer_matrix.h"
#include "numerics/gptq.h"

namespace mcompress::quantization {
namespace {

using analysis::LayerMatrix;

constexpr int kExponents = 20;
/// Outputs that the search looks at; it costs inputs^2 for each.
constexpr int64_t kMostOutputs = 128;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

/// A part of a layer, as a MatMul of its own.
struct Sample {
  Layer layer;
  std::vector<float> weight;  ///< [inputs, outputs]
};

Sample sample_outputs(const Layer& layer, const LayerMatrix& matrix) {
  Sample sample;
  const int64_t outputs = std::min(kMostOutputs, matrix.outputs());
  const std::span<const float> from = matrix.group(0);
  sample.weight.resize(to_size(matrix.inputs() * outputs));
  for (int64_t k = 0; k < matrix.inputs(); ++k) {
    for (int64_t n = 0; n < outputs; ++n) {
      const int64_t column = n * matrix.outputs() / outputs;
      sample.weight[to_size(k * outputs + n)] = from[to_size(k * matrix.outputs() + column)];
    }
  }
  sample.layer = layer;
  sample.layer.kind = LayerKind::kMatMul;
  sample.layer.weight_shape = {matrix.inputs(), outputs};
  sample.layer.input_axis = 0;
  sample.layer.output_axis = 1;
  sample.layer.inputs = matrix.inputs();
  sample.layer.outputs = outputs;
  sample.layer.groups = sample.layer.kernel = 1;
  return sample;
}

/// rms^r, their geometric mean 1; inputs without energy keep 1.
std::vector<float> factors_at(const std::vector<double>& energy, double exponent) {
  double sum = 0, count = 0;
  for (const double e : energy) {
    if (e <= 0) continue;
    sum += std::log(e);
    count += 1;
  }
  const double mean = count > 0 ? sum / count : 0;
  std::vector<float> factors;
  for (const double e : energy) {
    const double log = e > 0 ? std::clamp(0.5 * exponent * (std::log(e) - mean), -7.0, 7.0) : 0;
    factors.push_back(static_cast<float>(std::exp(log)));
  }
  return factors;
}

}  // namespace

std::vector<float> find_input_scales(const Layer& layer, const Tensor& weight,
                                     std::span<const LayerMoments> moments,
                                     const WeightOnlyOptions& options, std::string& note) {
  const LayerMatrix matrix(layer, weight.as<float>());
  if (matrix.groups() > 1) {
    note = "its groups read different inputs: method mse";
    return {};
  }
  const Sample sample = sample_outputs(layer, matrix);
  const numerics::LayerProblem problem{sample.weight, matrix.inputs(), sample.layer.outputs,
                                       moments[0].gram};
  std::vector<double> energy;
  for (int64_t k = 0; k < matrix.inputs(); ++k) {
    energy.push_back(moments[0].gram[to_size(k * (matrix.inputs() + 1))]);
  }
  WeightOnlyOptions plain = options;
  plain.method = WeightMethod::kMse;
  std::vector<float> best;
  double least = -1;
  for (int step = 0; step < kExponents; ++step) {
    const auto factors = factors_at(energy, static_cast<double>(step) / kExponents);
    const Tensor whole = Tensor::from(sample.layer.weight_shape, sample.weight);
    const Tensor scaled = scale_inputs(sample.layer, whole, factors);
    Tensor changed = quantize_weight_only(sample.layer, scaled, {}, plain).weight.dequantized();
    std::vector<float> inverse;
    for (const float f : factors) inverse.push_back(1 / f);
    changed = scale_inputs(sample.layer, changed, inverse);
    const double error = numerics::output_error(problem, changed.as<float>());
    if (least >= 0 && error >= least) continue;
    least = error;
    best = step > 0 ? factors : std::vector<float>();
  }
  return best;
}

Tensor scale_inputs(const Layer& layer, const Tensor& weight, std::span<const float> factors) {
  LayerMatrix matrix(layer, weight.as<float>());
  const std::span<float> values = matrix.group(0);
  const size_t outputs = to_size(matrix.outputs());
  for (size_t at = 0; at < values.size(); ++at) values[at] *= factors[at / outputs];
  return Tensor::from(weight.shape(), matrix.weight());
}

}  // namespace mcompress::quantization
