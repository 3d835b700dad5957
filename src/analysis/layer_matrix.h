// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcompress/layer.h"
#include "numerics/reduction_layout.h"

namespace mcompress::analysis {

/// Where the inputs of each output are in the weight of a layer. Directions of a recurrent layer
/// and matrices of a stack count as outputs where that is possible, else a stack is taken as one
/// long list.
numerics::ReductionLayout reduction_layout(const Layer& layer);

/// Calls `visit(index, output channel, input channel)` for each weight of a layer, in the order of
/// its weight; channels are counted over all groups.
template <class Visit>
void for_each_weight(const Layer& layer, Visit visit) {
  const Shape& shape = layer.weight_shape;
  const auto size_of = [&](int axis) { return shape[static_cast<size_t>(axis)]; };
  const auto stride_of = [&](int axis) {
    int64_t stride = 1;
    for (size_t i = static_cast<size_t>(axis) + 1; i < shape.size(); ++i) stride *= shape[i];
    return stride;
  };
  const int64_t out_stride = stride_of(layer.output_axis), out_size = size_of(layer.output_axis);
  const int64_t in_stride = stride_of(layer.input_axis), in_size = size_of(layer.input_axis);
  const int64_t count = element_count(shape);
  const bool transposed = layer.kind == LayerKind::kConvTranspose;
  for (int64_t i = 0; i < count; ++i) {
    int64_t out = (i / out_stride) % out_size;
    int64_t in = (i / in_stride) % in_size;
    if (transposed) {
      out += in / (layer.inputs / layer.groups) * out_size;
    } else if (layer.groups > 1) {
      in += out / (layer.outputs / layer.groups) * in_size;
    }
    visit(static_cast<size_t>(i), out, in);
  }
}

/// The weight of a layer as what its input rows are multiplied with: Y_g = X_g W_g for each group,
/// W_g [inputs, outputs] row-major.
///   Conv           inputs = channels of a group x taps, in the order of numerics::im2col
///   ConvTranspose  inputs = channels of a group; outputs = channels of a group x taps
///   MatMul, Gemm   inputs = K, outputs = N, whichever operand the weight is and however transposed
class LayerMatrix {
 public:
  /// Why a layer has no such matrix ("its weight is a stack of matrices"), or "".
  static std::string obstacle(const Layer& layer);
  /// `weight` in the layout of the layer. Throws Unsupported with the obstacle.
  LayerMatrix(const Layer& layer, std::span<const float> weight);

  int64_t groups() const { return groups_; }
  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return outputs_; }
  /// [inputs, outputs] of one group.
  std::span<float> group(int64_t index);
  std::span<const float> group(int64_t index) const;
  /// Position in the layer's weight of (group, input, output).
  size_t index_in_weight(int64_t group, int64_t input, int64_t output) const;
  /// Back in the layout of the layer.
  std::vector<float> weight() const;
  /// Any array in the order of this matrix ([groups][inputs, outputs]) in the layout of the layer.
  template <class T>
  std::vector<T> in_weight_order(std::span<const T> values) const {
    std::vector<T> result(values.size());
    size_t at = 0;
    for (int64_t g = 0; g < groups_; ++g) {
      for (int64_t i = 0; i < inputs_; ++i) {
        for (int64_t o = 0; o < outputs_; ++o) result[index_in_weight(g, i, o)] = values[at++];
      }
    }
    return result;
  }

 private:
  int64_t groups_ = 1, inputs_ = 0, outputs_ = 0;
  int64_t group_stride_ = 0, input_stride_ = 0, output_stride_ = 0;  ///< in the layer's weight
  std::vector<float> values_;
};

}  // namespace mcompress::analysis
