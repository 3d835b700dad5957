// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/layer_matrix.h"
#include "numerics/weight_quantize.h"
#include "quantization/rounding.h"

namespace mcompress::quantization {

/// Where the output channels that have a scale of their own are in the weight of a layer.
numerics::ChannelLayout channel_layout(const Layer& layer);

/// Scales and zero points of one group of a layer as numerics::QuantGrid wants them:
/// [ceil(inputs / block), outputs].
struct GroupGrid {
  std::vector<float> scales;
  std::vector<int32_t> zero_points;  ///< empty when symmetric
};

/// Between the scales of RoundedWeight and the columns of analysis::LayerMatrix. A channel is what
/// one set of scales belongs to: an entry of the weight's output axis.
class ScaleMap {
 public:
  /// Throws Unsupported for blocks of a ConvTranspose, whose taps share a scale.
  ScaleMap(const Layer& layer, const analysis::LayerMatrix& matrix, int64_t block);

  size_t channels() const { return channels_; }
  Shape scale_shape() const;
  size_t channel(int64_t group, int64_t column) const;
  /// Of an element in the order of the matrix, all groups one after the other.
  size_t channel_of_element(size_t at) const;
  size_t scale_index(int64_t group, int64_t input, int64_t column) const;
  /// `factor` times the scales.
  GroupGrid grid(int64_t group, const RoundedWeight& weight, float factor) const;
  /// Multiplies the scales of each channel.
  void scale(std::span<const float> factor_of_channel, std::vector<float>& scales) const;

 private:
  int64_t groups_, inputs_, columns_, block_, blocks_;
  int64_t columns_per_channel_ = 1;
  bool groups_share_ = false;   ///< ConvTranspose: one scale for a channel of all groups
  bool outputs_first_ = false;  ///< of blocked scales
  size_t channels_ = 0;
};

/// Scales per block of inputs and the codes of rounding to nearest.
RoundedWeight quantize_in_blocks(const Layer& layer, std::span<const float> weight, int64_t block,
                                 numerics::WeightQuantOptions options);

}  // namespace mcompress::quantization
