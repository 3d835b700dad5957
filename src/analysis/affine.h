// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/patterns.h"
#include "mcompress/layer.h"
#include "mcompress/value_types.h"

namespace mcompress::analysis {

/// A Conv, ConvTranspose, Gemm or MatMul (constant on the right) that can take a per-channel affine
/// map of its output or of its input into its weight and bias. The Add of a constant after a MatMul
/// counts as its bias. Weight and bias are float or double; arithmetic is in double.
class AffineLayer {
 public:
  /// Nullopt, with the reason in `why` where one is worth telling, when the layer cannot take
  /// anything.
  static std::optional<AffineLayer> make(const Layer& layer, const ValueTypes& types,
                                         std::string* why = nullptr);

  const Layer& layer() const { return layer_; }
  /// The node whose output leaves the layer: the node itself, or the Add that holds a MatMul's
  /// bias.
  NodeRef result_node() const { return bias_add_ ? bias_add_ : layer_.node; }
  ValueRef result() const { return result_node().output(0); }
  /// The value that enters, and the input of the node that reads it.
  ValueRef entry() const { return layer_.node.input(0); }
  ChannelLayout output_layout() const { return output_; }
  ChannelLayout input_layout() const { return input_; }
  /// One entry per output channel; zeros without a bias.
  const std::vector<double>& bias() const { return bias_; }
  /// Zeros are put around the input, so a constant added to it cannot move into the bias.
  bool is_padded() const { return padded_; }

  /// Makes the layer compute scale * y + shift. Returns why not, before any edit, or "". A MatMul
  /// gets an Add for a shift where it has none. Nobody else may read the result meanwhile.
  std::string fold_after(const ChannelAffine& affine);
  /// Makes the layer compute y(scale * x + shift). Returns why not, before any edit, or "".
  std::string fold_before(const ChannelAffine& affine);

 private:
  AffineLayer(Layer layer) : layer_(std::move(layer)) {}
  bool read_bias();
  bool keeps_codebook(const ChannelAffine& affine) const;
  std::string store(std::vector<double> weight, const std::vector<double>& bias,
                    bool weight_changed);
  void store_bias(const Tensor& bias);

  Layer layer_;
  NodeRef bias_add_;
  bool has_bias_ = false;
  std::vector<double> bias_;    ///< one entry per output channel; zeros without a bias
  double product_scale_ = 1.0;  ///< alpha of a Gemm
  double bias_scale_ = 1.0;     ///< beta of a Gemm
  bool padded_ = false;
  ChannelLayout output_, input_;
};

}  // namespace mcompress::analysis
