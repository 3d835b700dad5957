// SPDX-License-Identifier: Apache-2.0
#include "numerics/adaptive_rounding.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "numerics/linear_algebra.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

// The sigmoid is stretched to [kLow, kHigh] and cut to [0, 1], so that it reaches both ends.
constexpr double kLow = -0.1, kHigh = 1.1;
constexpr int64_t kTask = 1 << 14;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

// One variable per weight, in units of the weight's scale.
class Relaxation {
 public:
  Relaxation(const LayerProblem& layer, const QuantGrid& grid) : layer_(layer), grid_(grid) {
    const size_t count = layer.weights.size();
    floor_.resize(count);
    scale_.resize(count);
    v_.resize(count);
    first_.assign(count, 0.0);
    second_.assign(count, 0.0);
    error_.resize(count);
    product_.resize(count);
    normal_.assign(to_size(layer.outputs), 0.0);
    for (int64_t i = 0; i < layer.inputs; ++i) {
      for (int64_t j = 0; j < layer.outputs; ++j) start(i, j);
    }
    // The loss in units of the scale and of the energy of one input: then its gradient is of the
    // order of 1, whatever the layer.
    double energy = 0;
    for (int64_t i = 0; i < layer.inputs; ++i)
      energy += layer.gram[to_size(i * (layer.inputs + 1))];
    energy /= static_cast<double>(layer.inputs);
    const auto inputs = static_cast<double>(layer.inputs);
    for (double& n : normal_) n = n > 0 && energy > 0 ? 1 / (energy * n / inputs) : 0.0;
  }

  void step(int number, const AdaptiveOptions& options) {
    measure();
    const double progress = static_cast<double>(number) / options.steps;
    const bool warm = progress >= options.warm_up;
    const double phase = warm ? (progress - options.warm_up) / (1 - options.warm_up) : 0.0;
    const double beta = options.last_beta + (options.first_beta - options.last_beta) * 0.5 *
                                                (1 + std::cos(phase * std::numbers::pi));
    const double pull = warm ? options.regularization : 0.0;
    const double correction =
        std::sqrt(1 - std::pow(0.999, number + 1)) / (1 - std::pow(0.9, number + 1));
    const double rate = options.learning_rate * correction;
    parallel_for(0, static_cast<int64_t>(v_.size()), kTask, [&](int64_t first, int64_t last) {
      for (int64_t at = first; at < last; ++at) update(to_size(at), beta, pull, rate);
    });
  }

  std::vector<int8_t> codes() const {
    std::vector<int8_t> result(v_.size());
    for (int64_t i = 0; i < layer_.inputs; ++i) {
      for (int64_t j = 0; j < layer_.outputs; ++j) {
        const size_t at = to_size(i * layer_.outputs + j);
        const double code =
            floor_[at] + (v_[at] >= 0 ? 1 : 0) + grid_.params(i, j, layer_).zero_point;
        result[at] =
            static_cast<int8_t>(std::clamp(code, double(grid_.range.min), double(grid_.range.max)));
      }
    }
    return result;
  }

 private:
  void start(int64_t i, int64_t j) {
    const size_t at = to_size(i * layer_.outputs + j);
    const QuantParams params = grid_.params(i, j, layer_);
    scale_[at] = params.scale;
    normal_[to_size(j)] += scale_[at] * scale_[at];
    const double low = grid_.range.min - params.zero_point;
    const double high = grid_.range.max - params.zero_point;
    const double ratio = std::clamp(layer_.weights[at] / scale_[at], low, high);
    floor_[at] = std::min(std::floor(ratio), high - 1);
    const double h = std::clamp(ratio - floor_[at], 1e-4, 1 - 1e-4);
    const double sigmoid = (h - kLow) / (kHigh - kLow);
    v_[at] = std::log(sigmoid / (1 - sigmoid));
  }

  static double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }
  static double soft(double v) { return std::clamp(sigmoid(v) * (kHigh - kLow) + kLow, 0.0, 1.0); }

  // product_ = H (Q - W).
  void measure() {
    parallel_for(0, static_cast<int64_t>(v_.size()), kTask, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const size_t at = to_size(i);
        error_[at] = scale_[at] * (floor_[at] + soft(v_[at])) - layer_.weights[at];
      }
    });
    multiply(layer_.gram, error_, layer_.inputs, layer_.inputs, layer_.outputs, product_);
  }

  void update(size_t at, double beta, double pull, double rate) {
    const double s = sigmoid(v_[at]);
    const double stretched = s * (kHigh - kLow) + kLow;
    const double slope = (kHigh - kLow) * s * (1 - s);
    double gradient = 0;
    const bool inside = stretched > 0 && stretched < 1;
    const double loss = 2 * scale_[at] * product_[at] * normal_[at % to_size(layer_.outputs)];
    if (inside) {
      gradient = loss;
      const double away = 2 * stretched - 1;
      // d/dh of 1 - |2h - 1|^beta
      gradient -= pull * 2 * beta * std::pow(std::abs(away), beta - 1) * (away > 0 ? 1 : -1);
    } else if ((loss > 0) == (stretched >= 1)) {
      gradient = loss;  // at an end, and the data pulls it back inside
    }
    gradient *= slope;
    first_[at] = 0.9 * first_[at] + 0.1 * gradient;
    second_[at] = 0.999 * second_[at] + 0.001 * gradient * gradient;
    v_[at] -= rate * first_[at] / (std::sqrt(second_[at]) + 1e-8);
  }

  const LayerProblem& layer_;
  const QuantGrid& grid_;
  std::vector<double> floor_, scale_, v_, first_, second_, error_, product_;
  std::vector<double> normal_;  // by output
};

// Squared error of each output.
std::vector<double> output_errors(const LayerProblem& layer, const QuantGrid& grid,
                                  const std::vector<int8_t>& codes) {
  std::vector<double> error(codes.size()), product(codes.size());
  for (int64_t i = 0; i < layer.inputs; ++i) {
    for (int64_t j = 0; j < layer.outputs; ++j) {
      const size_t at = to_size(i * layer.outputs + j);
      error[at] = dequantize_value(codes[at], grid.params(i, j, layer)) - layer.weights[at];
    }
  }
  multiply(layer.gram, error, layer.inputs, layer.inputs, layer.outputs, product);
  std::vector<double> result(to_size(layer.outputs), 0.0);
  for (size_t at = 0; at < error.size(); ++at) {
    result[at % result.size()] += error[at] * product[at];
  }
  return result;
}

}  // namespace

std::vector<int8_t> adaptive_round(const LayerProblem& layer, const QuantGrid& grid,
                                   const AdaptiveOptions& options) {
  Relaxation relaxation(layer, grid);
  for (int i = 0; i < options.steps; ++i) relaxation.step(i, options);
  std::vector<int8_t> codes = relaxation.codes();
  std::vector<int8_t> nearest(codes.size());
  for (int64_t i = 0; i < layer.inputs; ++i) {
    for (int64_t j = 0; j < layer.outputs; ++j) {
      const size_t at = to_size(i * layer.outputs + j);
      nearest[at] = static_cast<int8_t>(
          quantize_value(layer.weights[at], grid.params(i, j, layer), grid.range));
    }
  }
  const auto found = output_errors(layer, grid, codes);
  const auto plain = output_errors(layer, grid, nearest);
  for (size_t at = 0; at < codes.size(); ++at) {
    const size_t output = at % found.size();
    if (!(found[output] <= plain[output])) codes[at] = nearest[at];
  }
  return codes;
}

}  // namespace mcompress::numerics
