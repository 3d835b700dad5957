// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "numerics/gptq.h"
#include "numerics/linear_algebra.h"
#include "numerics/pair_rule.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kColumnsPerTask = 128;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

// The codes of one output, and how far the output is from where it should be.
class ColumnRefinement {
 public:
  ColumnRefinement(const LayerProblem& layer, const QuantGrid& grid, std::span<const double> energy,
                   int64_t output, std::span<double> gradient, std::span<int8_t> values)
      : layer_(layer),
        grid_(grid),
        energy_(energy),
        output_(output),
        gradient_(gradient),
        values_(values) {}

  // Returns whether a code changed.
  bool sweep() {
    bool changed = false;
    for (int64_t k = 0; k < layer_.inputs; ++k) changed |= improve(k);
    return changed;
  }

 private:
  bool improve(int64_t k) {
    const double damped = energy_[to_size(k)];
    if (damped <= 0) return false;
    const QuantParams params = grid_.params(k, output_, layer_);
    int8_t& code = values_[to_size(k * layer_.outputs + output_)];
    const double now = dequantize_value(code, params);
    const double wanted = now + gradient_[to_size(k)] / damped;
    const int32_t better = grid_.nearest(wanted, k, output_, layer_, values_);
    if (better == code) return false;
    const double step = dequantize_value(better, params) - now;
    const double gain = 2 * step * gradient_[to_size(k)] - step * step * damped;
    // The code that the rule allows may be worse than the one that is there.
    if (gain <= 1e-9 * step * step * damped) return false;
    code = static_cast<int8_t>(better);
    const double* row = layer_.gram.data() + k * layer_.inputs;
    for (int64_t i = 0; i < layer_.inputs; ++i) gradient_[to_size(i)] -= row[i] * step;
    gradient_[to_size(k)] -= (damped - row[k]) * step;
    return true;
  }

  const LayerProblem& layer_;
  const QuantGrid& grid_;
  std::span<const double> energy_;
  int64_t output_;
  std::span<double> gradient_;
  std::span<int8_t> values_;
};

}  // namespace

QuantParams QuantGrid::params(int64_t input, int64_t output, const LayerProblem& layer) const {
  const int64_t block = group > 0 ? input / group : 0;
  const size_t at = to_size(block * layer.outputs + output);
  return {scales[at], zero_points.empty() ? 0 : zero_points[at]};
}

int32_t QuantGrid::nearest(double value, int64_t input, int64_t output, const LayerProblem& layer,
                           std::span<const int8_t> values) const {
  int32_t code = quantize_value(static_cast<float>(value), params(input, output, layer), range);
  if (partners.empty()) return code;
  for (const int64_t partner : partners[to_size(input)]) {
    if (partner < 0) continue;
    const int limit = pair_limit(code, values[to_size(partner * layer.outputs + output)]);
    code = std::clamp(code, -limit, limit);
  }
  return code;
}

void refine_codes(const LayerProblem& layer, const QuantGrid& grid, int sweeps, double damping,
                  std::span<int8_t> values) {
  const int64_t n = layer.inputs;
  std::vector<double> energy(to_size(n));
  double mean_energy = 0;
  for (int64_t k = 0; k < n; ++k) {
    energy[to_size(k)] = layer.gram[to_size(k * (n + 1))];
    mean_energy += energy[to_size(k)] / static_cast<double>(n);
  }
  if (!std::isfinite(mean_energy) || mean_energy <= 0) return;
  for (double& e : energy) e += damping * mean_energy;
  parallel_for(0, layer.outputs, kColumnsPerTask, [&](int64_t first, int64_t last) {
    const int64_t width = last - first;
    std::vector<double> errors(to_size(n * width)), gradients(to_size(n * width));
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t j = first; j < last; ++j) {
        const size_t at = to_size(k * layer.outputs + j);
        errors[to_size(k * width + j - first)] =
            layer.weights[at] - dequantize_value(values[at], grid.params(k, j, layer));
      }
    }
    multiply(layer.gram, errors, n, n, width, gradients);
    std::vector<double> gradient(to_size(n));
    for (int64_t j = first; j < last; ++j) {
      for (int64_t k = 0; k < n; ++k) {
        const size_t at = to_size(k * width + j - first);
        gradient[to_size(k)] = gradients[at] + damping * mean_energy * errors[at];
      }
      ColumnRefinement column(layer, grid, energy, j, gradient, values);
      for (int i = 0; i < sweeps && column.sweep(); ++i) {
      }
    }
  });
}

}  // namespace mcompress::numerics
