// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "analysis/layer_matrix.h"
#include "forms/quantized_weight.h"
#include "mcompress/pass_context.h"
#include "numerics/gptq.h"
#include "numerics/obs_solver.h"
#include "quantization/paired_moments.h"

namespace mcompress::quantization {

/// A layer with the moments of its inputs, for the solvers of numerics, and the way back. Where the
/// layer has a bias of its own, moments are taken about the mean: the bias makes up for that part.
class LayerFit {
 public:
  /// Throws Unsupported where the weight is no matrix, is empty or not finite.
  LayerFit(const Layer& layer, const Tensor& weight, std::span<const LayerMoments> groups);

  /// From moments of `pairs.changed`: problems() then ask for the outputs that the layer had before the
  /// layers above it changed, |X_before W - X changed|^2 + damping |W - changed|^2, by another W.
  void aim_at_outputs_before(const PairedMoments& pairs, double damping);

  int64_t groups() const { return matrix_.groups(); }
  int64_t inputs() const { return matrix_.inputs(); }
  int64_t outputs() const { return matrix_.outputs(); }  ///< of one group
  /// By group; spans into this object.
  std::vector<numerics::LayerProblem> problems() const;
  /// The same with about `most` outputs, evenly chosen, to try things out on.
  struct Sample {
    std::vector<std::vector<float>> weights;
    std::vector<numerics::LayerProblem> problems;
  };
  Sample sample(int64_t most) const;

  /// `changed`: by group, [inputs, outputs]. In the layout and type of the layer's weight.
  Tensor weight(std::span<const float> changed) const;
  /// What the bias gains by the change, by output channel; empty where it stays.
  std::vector<float> bias_shift(std::span<const float> changed) const;
  /// Integers and scales of a weight rounded on `grid` (with scales, whole values), one scale for
  /// each channel of the layer's output.
  forms::QuantizedWeight quantized(std::span<const float> changed,
                                   const numerics::SharedGrid& grid) const;

 private:
  const Layer& layer_;
  DataType type_;
  Shape shape_;
  analysis::LayerMatrix matrix_;
  std::vector<std::vector<double>> grams_, means_, before_means_;
  std::vector<std::vector<float>> targets_;  ///< empty: the layer's own weights
  bool centred_ = false;
};

/// Values of a codebook for the weights that are not zero: optimal k-means by importance, per output
/// in units of its scale where the grid has scales. `values` entries at most.
std::vector<float> codebook_values(std::span<const float> weights, std::span<const float> importance,
                                   int64_t outputs, std::span<const float> scales, int values);
/// Scale of each output, of every group: root mean square of its non-zeros.
std::vector<float> output_scales(std::span<const float> weights, int64_t inputs, int64_t outputs);
/// Scale of each output at which rounding to -limit..limit errs least.
std::vector<float> integer_scales(std::span<const float> weights, std::span<const float> importance,
                                  int64_t inputs, int64_t outputs, int limit);

/// Adds `shift` to the bias of a layer; nothing for an empty one.
void shift_bias(const Layer& layer, std::span<const float> shift);
/// Puts integers and scales, which fold at load, in the place of a weight.
void store_scaled(const Layer& layer, const forms::QuantizedWeight& weight);

}  // namespace mcompress::quantization
