// SPDX-License-Identifier: Apache-2.0
#include "quantization/rounding_grid.h"

#include "mcompress/error.h"

namespace mcompress::quantization {
namespace {

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

}  // namespace

numerics::ChannelLayout channel_layout(const Layer& layer) {
  return numerics::channel_layout(layer.weight_shape, layer.output_axis);
}

ScaleMap::ScaleMap(const Layer& layer, const analysis::LayerMatrix& matrix, int64_t block)
    : groups_(matrix.groups()),
      inputs_(matrix.inputs()),
      columns_(matrix.outputs()),
      block_(block > 0 ? block : matrix.inputs()),
      blocks_(block > 0 ? (matrix.inputs() + block - 1) / block : 1) {
  const bool transposed = layer.kind == LayerKind::kConvTranspose;
  if (transposed && block > 0) throw Unsupported("blocks of inputs of a ConvTranspose");
  if (transposed) {
    columns_per_channel_ = layer.kernel;
    groups_share_ = true;
  }
  outputs_first_ = layer.kind == LayerKind::kConv || layer.output_axis < layer.input_axis;
  channels_ = to_size(columns_ / columns_per_channel_ * (groups_share_ ? 1 : groups_));
}

Shape ScaleMap::scale_shape() const {
  const auto channels = static_cast<int64_t>(channels_);
  if (blocks_ == 1 && block_ == inputs_) return {channels};
  return outputs_first_ ? Shape{channels, blocks_} : Shape{blocks_, channels};
}

size_t ScaleMap::channel(int64_t group, int64_t column) const {
  const int64_t own = column / columns_per_channel_;
  return to_size(groups_share_ ? own : group * columns_ + own);
}

size_t ScaleMap::channel_of_element(size_t at) const {
  const auto element = static_cast<int64_t>(at);
  return channel(element / (inputs_ * columns_), element % columns_);
}

size_t ScaleMap::scale_index(int64_t group, int64_t input, int64_t column) const {
  const size_t of_channel = channel(group, column);
  const int64_t block = input / block_;
  return outputs_first_ ? of_channel * to_size(blocks_) + to_size(block)
                        : to_size(block) * channels_ + of_channel;
}

GroupGrid ScaleMap::grid(int64_t group, const RoundedWeight& weight, float factor) const {
  GroupGrid grid;
  for (int64_t block = 0; block < blocks_; ++block) {
    for (int64_t column = 0; column < columns_; ++column) {
      const size_t at = scale_index(group, block * block_, column);
      grid.scales.push_back(weight.scales[at] * factor);
      if (!weight.zero_points.empty()) grid.zero_points.push_back(weight.zero_points[at]);
    }
  }
  return grid;
}

void ScaleMap::scale(std::span<const float> factor_of_channel, std::vector<float>& scales) const {
  for (size_t at = 0; at < scales.size(); ++at) {
    scales[at] *= factor_of_channel[outputs_first_ ? at / to_size(blocks_) : at % channels_];
  }
}

RoundedWeight quantize_in_blocks(const Layer& layer, std::span<const float> weight, int64_t block,
                                 numerics::WeightQuantOptions options) {
  const analysis::LayerMatrix matrix(layer, weight);
  const ScaleMap map(layer, matrix, block);
  RoundedWeight result;
  result.scale_shape = map.scale_shape();
  const size_t scales = to_size(element_count(result.scale_shape));
  result.scales.resize(scales);
  if (!options.symmetric) result.zero_points.resize(scales);
  std::vector<float> importance;
  if (!options.importance.empty()) {
    const analysis::LayerMatrix ordered(layer, options.importance);
    for (int64_t g = 0; g < ordered.groups(); ++g) {
      const auto part = ordered.group(g);
      importance.insert(importance.end(), part.begin(), part.end());
    }
  }
  std::vector<int8_t> codes;
  const size_t group_size = to_size(matrix.inputs() * matrix.outputs());
  for (int64_t g = 0; g < matrix.groups(); ++g) {
    options.importance = {};
    if (!importance.empty()) {
      options.importance = std::span(importance).subspan(to_size(g) * group_size, group_size);
    }
    const auto part = numerics::quantize_blocks(matrix.group(g), matrix.inputs(), matrix.outputs(),
                                                block, options);
    codes.insert(codes.end(), part.values.begin(), part.values.end());
    for (size_t at = 0; at < part.scales.size(); ++at) {
      const auto index = static_cast<int64_t>(at);
      const size_t to =
          map.scale_index(g, index / matrix.outputs() * block, index % matrix.outputs());
      result.scales[to] = part.scales[at];
      if (!options.symmetric) result.zero_points[to] = part.zero_points[at];
    }
  }
  result.codes = matrix.in_weight_order(std::span<const int8_t>(codes));
  return result;
}

}  // namespace mcompress::quantization
