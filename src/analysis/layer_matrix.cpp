// SPDX-License-Identifier: Apache-2.0
#include "analysis/layer_matrix.h"

#include "mcompress/error.h"

namespace mcompress::analysis {

using numerics::ReductionLayout;

ReductionLayout reduction_layout(const Layer& layer) {
  const Shape& s = layer.weight_shape;
  const int64_t count = layer.weight_count();
  switch (layer.kind) {
    case LayerKind::kConv:
      return ReductionLayout::conv(s[0], s[1], layer.kernel);
    case LayerKind::kConvTranspose:
      return {s[1], s[0], layer.kernel, layer.kernel, s[1] * layer.kernel, 1};
    default:
      break;
  }
  const int64_t inputs = s[static_cast<size_t>(layer.input_axis)];
  if (layer.input_axis > layer.output_axis) {
    return ReductionLayout::transposed_matrix(count / inputs, inputs);
  }
  return ReductionLayout::matrix(count / s.back(), s.back());
}

std::string LayerMatrix::obstacle(const Layer& layer) {
  switch (layer.kind) {
    case LayerKind::kConv:
    case LayerKind::kConvTranspose:
      return "";
    case LayerKind::kGemm:
    case LayerKind::kMatMul:
      return layer.weight_shape.size() == 2 ? "" : "its weight is a stack of matrices";
    default:
      return "the weight of " + std::string(layer_kind_name(layer.kind)) +
             " layers is no single matrix";
  }
}

LayerMatrix::LayerMatrix(const Layer& layer, std::span<const float> weight) {
  if (std::string why = obstacle(layer); !why.empty()) throw Unsupported(std::move(why));
  const Shape& s = layer.weight_shape;
  if (layer.kind == LayerKind::kConv) {
    groups_ = layer.groups;
    inputs_ = s[1] * layer.kernel;
    outputs_ = s[0] / groups_;
    group_stride_ = outputs_ * inputs_;
    input_stride_ = 1;
    output_stride_ = inputs_;
  } else if (layer.kind == LayerKind::kConvTranspose) {
    groups_ = layer.groups;
    inputs_ = s[0] / groups_;
    outputs_ = s[1] * layer.kernel;
    group_stride_ = inputs_ * outputs_;
    input_stride_ = outputs_;
    output_stride_ = 1;
  } else {
    inputs_ = s[static_cast<size_t>(layer.input_axis)];
    outputs_ = s[static_cast<size_t>(layer.output_axis)];
    input_stride_ = layer.input_axis == 0 ? s[1] : 1;
    output_stride_ = layer.output_axis == 0 ? s[1] : 1;
  }
  values_.resize(weight.size());
  size_t at = 0;
  for (int64_t g = 0; g < groups_; ++g) {
    for (int64_t i = 0; i < inputs_; ++i) {
      for (int64_t o = 0; o < outputs_; ++o) values_[at++] = weight[index_in_weight(g, i, o)];
    }
  }
}

std::span<float> LayerMatrix::group(int64_t index) {
  const auto size = static_cast<size_t>(inputs_ * outputs_);
  return std::span(values_).subspan(static_cast<size_t>(index) * size, size);
}

std::span<const float> LayerMatrix::group(int64_t index) const {
  const auto size = static_cast<size_t>(inputs_ * outputs_);
  return std::span(values_).subspan(static_cast<size_t>(index) * size, size);
}

size_t LayerMatrix::index_in_weight(int64_t group, int64_t input, int64_t output) const {
  return static_cast<size_t>(group * group_stride_ + input * input_stride_ +
                             output * output_stride_);
}

std::vector<float> LayerMatrix::weight() const {
  return in_weight_order(std::span<const float>(values_));
}

}  // namespace mcompress::analysis
