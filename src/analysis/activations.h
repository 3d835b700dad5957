// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "mcompress/model.h"
#include "mcompress/value_types.h"

/// Activations and normalizations that exporters write in pieces. Each match starts at the last
/// node of the pattern; the nodes between it and `input` have no other readers, except where said.
namespace mcompress::analysis {

/// clip(x, low, high) as Clip, as Min and Max, or as Min of Relu.
struct ClipPattern {
  ValueRef input;
  double low = 0;
  double high = 0;
  DataType type = DataType::kFloat;  ///< of the bounds; kUndefined where they are attributes
  bool is_plain = false;             ///< a Clip node already
};
std::optional<ClipPattern> match_clip(const NodeRef& root);

/// clip(alpha x + beta, 0, 1), or x times that (HardSwish with alpha 1/6, beta 1/2).
struct HardSigmoidPattern {
  ValueRef input;
  double alpha = 0;
  double beta = 0;
  DataType type = DataType::kFloat;
  bool times_input = false;
};
std::optional<HardSigmoidPattern> match_hard_sigmoid(const NodeRef& root, const ValueTypes& types);

/// 1 / (1 + exp(-x)), or x times that.
struct SigmoidPattern {
  ValueRef input;
  bool times_input = false;
};
std::optional<SigmoidPattern> match_sigmoid(const NodeRef& root);

/// max(x, slope x) with 0 < slope < 1.
struct LeakyReluPattern {
  ValueRef input;
  double slope = 0;
  DataType type = DataType::kFloat;
};
std::optional<LeakyReluPattern> match_leaky_relu(const NodeRef& root);

/// x/2 (1 + erf(x / sqrt 2)), or its approximation x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
struct GeluPattern {
  ValueRef input;
  bool tanh = false;
  DataType type = DataType::kFloat;
  bool is_canonical = false;  ///< spelled as ONNX Runtime 1.30 recognises it
};
std::optional<GeluPattern> match_gelu(const NodeRef& root);

/// (x - mean) / sqrt(variance + epsilon) over the last axis, times scale, plus shift.
struct LayerNormPattern {
  ValueRef input;
  double epsilon = 0;
  std::optional<Tensor> scale;  ///< rank 1; absent in the pattern without affine part
  std::optional<Tensor> shift;  ///< rank 1
  DataType type = DataType::kFloat;
  NodeRef square;    ///< computes the squared difference
  NodeRef quotient;  ///< divides by the deviation
  ValueRef difference;
  ValueRef deviation;
  bool is_canonical = false;  ///< Pow and Div, with scale and shift: as the runtime recognises it
};
std::optional<LayerNormPattern> match_layer_norm(const NodeRef& root, const ValueTypes& types);

}  // namespace mcompress::analysis
