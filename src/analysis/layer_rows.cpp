// SPDX-License-Identifier: Apache-2.0
#include "analysis/layer_rows.h"

#include <algorithm>

#include "analysis/layer_matrix.h"
#include "mcompress/error.h"
#include "numerics/moments.h"

namespace mcompress::analysis {
namespace {

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

/// Pads that SAME_UPPER and SAME_LOWER stand for, given the input.
std::vector<int64_t> same_pads(const std::vector<int64_t>& kernel,
                               const std::vector<int64_t>& strides,
                               const std::vector<int64_t>& dilations,
                               std::span<const int64_t> spatial, bool upper) {
  const size_t axes = kernel.size();
  std::vector<int64_t> pads(2 * axes);
  for (size_t i = 0; i < axes; ++i) {
    const int64_t stride = strides.empty() ? 1 : strides[i];
    const int64_t dilation = dilations.empty() ? 1 : dilations[i];
    const int64_t outputs = (spatial[i] + stride - 1) / stride;
    const int64_t total =
        std::max<int64_t>(0, (outputs - 1) * stride + (kernel[i] - 1) * dilation + 1 - spatial[i]);
    const int64_t less = total / 2;
    pads[i] = upper ? less : total - less;
    pads[axes + i] = total - pads[i];
  }
  return pads;
}

}  // namespace

struct LayerRows::Geometry {
  int64_t batch = 1;
  std::vector<int64_t> spatial;
  numerics::ConvGeometry conv;
};

LayerRows::LayerRows(const Layer& layer) : kind_(layer.kind) {
  obstacle_ = LayerMatrix::obstacle(layer);
  if (!obstacle_.empty()) return;
  const ValueRef value = layer.node.input(layer.weight_input == 0 ? 1 : 0);
  if (!value || &layer.node.graph() != &layer.node.graph().model().graph()) {
    obstacle_ = "it is in the body of a control-flow node, where nothing is observed";
    return;
  }
  input_ = value.name();
  groups_ = layer.groups;
  channels_ = layer.inputs;
  columns_ = layer.inputs / layer.groups;
  if (kind_ == LayerKind::kConv) {
    columns_ *= layer.kernel;
    kernel_.assign(layer.weight_shape.begin() + 2, layer.weight_shape.end());
    strides_ = layer.node.attribute_ints("strides");
    dilations_ = layer.node.attribute_ints("dilations");
    pads_ = layer.node.attribute_ints("pads");
    auto_pad_ = layer.node.attribute("auto_pad", "NOTSET");
    if (auto_pad_ == "NOTSET") auto_pad_.clear();
  } else if (kind_ == LayerKind::kConvTranspose) {
    kernel_.assign(layer.weight_shape.size() - 2, 1);  // each input position is a row
  } else if (kind_ == LayerKind::kGemm) {
    const bool left = layer.weight_input == 0;
    transposed_ = layer.node.attribute(left ? "transB" : "transA", int64_t{0}) != 0 ? !left : left;
  } else {
    transposed_ = layer.weight_input == 0;
  }
}

LayerRows::Geometry LayerRows::geometry_for(const Shape& shape) const {
  const size_t axes = kernel_.size();
  if (shape.size() != axes + 2 || shape[1] != channels_) {
    throw Error(ErrorCode::kModel, "value '" + input_ + "': a layer of " +
                                       std::to_string(channels_) +
                                       " input channels cannot read its shape of rank " +
                                       std::to_string(shape.size()));
  }
  Geometry geometry;
  geometry.batch = shape[0];
  geometry.spatial.assign(shape.begin() + 2, shape.end());
  geometry.conv = {.kernel = kernel_,
                   .strides = strides_,
                   .dilations = dilations_,
                   .pads = pads_,
                   .groups = groups_};
  if (auto_pad_ == "VALID") geometry.conv.pads.clear();
  if (auto_pad_ == "SAME_UPPER" || auto_pad_ == "SAME_LOWER") {
    geometry.conv.pads =
        same_pads(kernel_, strides_, dilations_, geometry.spatial, auto_pad_ == "SAME_UPPER");
  }
  return geometry;
}

int64_t LayerRows::count(const Tensor& value) const {
  if (!kernel_.empty()) {
    const Geometry geometry = geometry_for(value.shape());
    int64_t rows = geometry.batch;
    for (const int64_t size : geometry.conv.output_shape(geometry.spatial)) rows *= size;
    return rows;
  }
  const Shape& shape = value.shape();
  const size_t axis = transposed_ ? shape.size() - 2 : shape.size() - 1;
  if (shape.empty() || axis >= shape.size() || shape[axis] != columns_) {
    throw Error(ErrorCode::kModel, "value '" + input_ + "': a layer of " +
                                       std::to_string(columns_) + " inputs cannot read its shape");
  }
  return value.count() / columns_;
}

std::vector<float> LayerRows::rows(const Tensor& value, int64_t group, int64_t every) const {
  const std::vector<float> converted =
      value.type() == DataType::kFloat ? std::vector<float>() : value.to_float();
  const std::span<const float> values =
      converted.empty() ? value.as<float>() : std::span<const float>(converted);
  if (!kernel_.empty()) {
    const Geometry geometry = geometry_for(value.shape());
    return numerics::im2col(values, geometry.batch, channels_, geometry.spatial, geometry.conv,
                            group, every);
  }
  const int64_t all = count(value);
  const int64_t kept = (all + every - 1) / every;
  std::vector<float> result(to_size(kept * columns_));
  const int64_t minor = transposed_ ? value.shape().back() : 1;  // rows next to each other
  for (int64_t row = 0; row < kept; ++row) {
    const int64_t from = row * every;
    const float* source = transposed_
                              ? values.data() + (from / minor) * columns_ * minor + from % minor
                              : values.data() + from * columns_;
    for (int64_t i = 0; i < columns_; ++i) {
      result[to_size(row * columns_ + i)] = source[i * minor];
    }
  }
  return result;
}

}  // namespace mcompress::analysis
