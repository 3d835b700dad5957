// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mcompress/layer.h"
#include "mcompress/tensor.h"

namespace mcompress::analysis {

/// The rows that a layer multiplies with its weight, from the value that it reads (see
/// LayerMatrix for the order of their columns).
class LayerRows {
 public:
  explicit LayerRows(const Layer& layer);

  /// Why there are none ("its weight is a stack of matrices", "its input is not of the main
  /// graph"), or "".
  const std::string& obstacle() const { return obstacle_; }
  /// Name of the value to tap.
  const std::string& input() const { return input_; }
  int64_t groups() const { return groups_; }
  int64_t columns() const { return columns_; }
  /// Rows in one tensor. Throws Error(kModel) where the tensor does not fit the layer.
  int64_t count(const Tensor& value) const;
  /// Every `every`-th row of a group, [rows, columns()] row-major.
  std::vector<float> rows(const Tensor& value, int64_t group, int64_t every) const;

 private:
  struct Geometry;
  Geometry geometry_for(const Shape& shape) const;

  std::string obstacle_;
  std::string input_;
  LayerKind kind_;
  int64_t groups_ = 1, columns_ = 0, channels_ = 0;
  bool transposed_ = false;  ///< columns are the last axis but one of the value
  std::vector<int64_t> kernel_, strides_, dilations_, pads_;
  std::string auto_pad_;
};

}  // namespace mcompress::analysis
