// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcompress/layer.h"
#include "mcompress/pass_context.h"
#include "numerics/quantize.h"

namespace mcompress::quantization {

/// How the integers of a weight are chosen (algorithms.md section 3).
enum class Rounding {
  kNearest,  ///< the largest weight representable, each weight rounded by itself
  kMse,      ///< scales of least squared error, by the energy of the inputs where moments are known
  kGptq,     ///< the rest of an output's inputs makes up for what one of them loses
  kAdaptive,  ///< up or down, whichever together change the output least (AdaRound)
};

/// True for the methods that need LayerMoments to be more than kMse.
constexpr bool needs_moments(Rounding method) {
  return method == Rounding::kGptq || method == Rounding::kAdaptive;
}

struct RoundingOptions {
  Rounding method = Rounding::kNearest;
  /// Codes that may be used: numerics::int_range(bits, true, narrow).
  numerics::IntRange range = numerics::kInt8SymmetricRange;
  /// Zero point 0 everywhere; otherwise one per scale.
  bool symmetric = true;
  /// Inputs (K of analysis::LayerMatrix) that share a scale within one output; 0: all of them.
  int64_t block = 0;
  /// Obey numerics/pair_rule.h. Only with symmetric 8 bits and block 0.
  bool pair_rule = false;
  /// A correction of the bias will take the mean of the error out (bias_correction.h): only what
  /// varies about the mean counts.
  bool bias_takes_mean = false;
  /// Not empty: these scales (and zero points), in the order of RoundedWeight, are kept.
  std::span<const float> scales = {};
  std::span<const int32_t> zero_points = {};
  /// Of kAdaptive; fewer for layers where so many take too long.
  int steps = 600;
};

/// value = (codes - zero_points) * scales.
struct RoundedWeight {
  std::vector<int8_t> codes;  ///< in the layout of the layer's weight, one byte each
  /// block 0: one per entry of the weight's output axis. Else, for [inputs, outputs] weights
  /// [ceil(K / block), outputs], for weights with the outputs in front [outputs, ceil(K / block)].
  std::vector<float> scales;
  std::vector<int32_t> zero_points;  ///< as `scales`; empty when symmetric
  Shape scale_shape;
  /// What a person should know of it ("60 rows for 512 inputs: damped"), or "".
  std::string note;
};

/// Rounds the weight (float) of a layer. `moments`: of each group of the layer (with block 0 also of
/// equal parts of its inputs, one after the other, which are then rounded by themselves), or empty; then the
/// methods that need them are kMse, and `note` says so. With blocks, or a method that needs
/// moments, throws Unsupported for layers that have no analysis::LayerMatrix. Deterministic,
/// independent of threads.
RoundedWeight round_weight(const Layer& layer, const Tensor& weight,
                           std::span<const LayerMoments> moments, const RoundingOptions& options);

/// The float weight that the codes stand for, in the layout of the layer. `block` as in the
/// options.
std::vector<float> dequantized(const Layer& layer, const RoundedWeight& rounded, int64_t block = 0);

/// |X (W - changed)|^2 / |X W|^2 over the rows behind the moments, all groups together.
double relative_output_error(const Layer& layer, const Tensor& weight,
                             std::span<const float> changed, std::span<const LayerMoments> moments);

}  // namespace mcompress::quantization
