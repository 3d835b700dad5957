// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "train/op.h"
#include "train/ops/window.h"

namespace mcompress::train {
namespace {

std::vector<int64_t> spatial_axes(const at::Tensor& x) {
  std::vector<int64_t> axes;
  for (int64_t axis = 2; axis < x.dim(); ++axis) axes.push_back(axis);
  return axes;
}

Window pool_window(const NodeRef& node, const at::Tensor& x) {
  return make_window(node, x.sizes(), node.attribute_ints("kernel_shape"));
}

std::string max_pool_obstacle(const NodeRef& node) {
  return node.output_count() > 1 && !node.output_name(1).empty() ? "its indices are read" : "";
}

Tensors max_pool(const NodeRef& node, Inputs inputs, Execution&) {
  if (const auto why = max_pool_obstacle(node); !why.empty()) refuse(node, why);
  const bool integer = !inputs[0].is_floating_point();
  at::Tensor x = integer ? inputs[0].to(at::kFloat) : inputs[0];
  const Window window = pool_window(node, x);
  std::vector<int64_t> padding = window.begin;
  if (!window.is_plain(true)) {
    x = padded(x, window, -std::numeric_limits<double>::infinity());
    padding.assign(window.rank(), 0);
  }
  at::Tensor result;
  switch (window.rank()) {
    case 1:
      result = at::max_pool1d(x, window.kernel, window.strides, padding, window.dilations);
      break;
    case 2:
      result = at::max_pool2d(x, window.kernel, window.strides, padding, window.dilations);
      break;
    case 3:
      result = at::max_pool3d(x, window.kernel, window.strides, padding, window.dilations);
      break;
    default:
      refuse(node, "a window of rank " + std::to_string(window.rank()));
  }
  return {integer ? result.to(inputs[0].scalar_type()) : result};
}

/// Mean over the windows of an input that has its padding already.
at::Tensor mean_pool(const NodeRef& node, const at::Tensor& x, const Window& window,
                     at::IntArrayRef padding, bool count_padding) {
  switch (window.rank()) {
    case 1:
      return at::avg_pool1d(x, window.kernel, window.strides, padding, false, count_padding);
    case 2:
      return at::avg_pool2d(x, window.kernel, window.strides, padding, false, count_padding);
    case 3:
      return at::avg_pool3d(x, window.kernel, window.strides, padding, false, count_padding);
    default:
      refuse(node, "a window of rank " + std::to_string(window.rank()));
  }
}

/// Sum over the windows of an input that has its padding already.
at::Tensor sum_pool(const NodeRef& node, const at::Tensor& x, const Window& window) {
  const std::vector<int64_t> none(window.rank(), 0);
  if (!window.is_dilated()) {
    int64_t count = 1;
    for (const int64_t size : window.kernel) count *= size;
    return mean_pool(node, x, window, none, true) * static_cast<double>(count);
  }
  std::vector<int64_t> one_channel(x.sizes().begin(), x.sizes().end());
  one_channel[0] = -1;
  one_channel[1] = 1;
  std::vector<int64_t> shape = {1, 1};
  shape.insert(shape.end(), window.kernel.begin(), window.kernel.end());
  const at::Tensor sums = at::convolution(x.reshape(one_channel), at::ones(shape, x.options()), {},
                                          window.strides, none, window.dilations, false, none, 1);
  std::vector<int64_t> result(sums.sizes().begin(), sums.sizes().end());
  result[0] = x.size(0);
  result[1] = x.size(1);
  return sums.reshape(result);
}

Tensors average_pool(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const Window window = pool_window(node, x);
  const bool count_padding = node.attribute("count_include_pad", int64_t{0}) != 0;
  if (window.is_plain(true) && !window.is_dilated()) {
    return {mean_pool(node, x, window, window.begin, count_padding)};
  }
  // How many elements each window has: those of the input, or of the input and its padding, but
  // never what lies beyond both.
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  shape[0] = shape[1] = 1;
  Window beyond = window;
  if (count_padding) {
    for (size_t i = 0; i < window.rank(); ++i) {
      shape[i + 2] += window.begin[i] + window.end[i];
      beyond.begin[i] = beyond.end[i] = 0;
    }
  }
  const at::Tensor counts = sum_pool(node, padded(at::ones(shape, x.options()), beyond, 0), window);
  return {sum_pool(node, padded(x, window, 0), window) / counts};
}

at::Tensor root(const at::Tensor& sums, int64_t p) {
  return p == 1 ? sums : at::pow(sums, 1.0 / static_cast<double>(p));
}

at::Tensor power(const at::Tensor& x, int64_t p) {
  return p == 1 ? at::abs(x) : at::pow(p % 2 == 0 ? x : at::abs(x), p);
}

Tensors lp_pool(const NodeRef& node, Inputs inputs, Execution&) {
  const Window window = pool_window(node, inputs[0]);
  const int64_t p = node.attribute("p", int64_t{2});
  return {root(sum_pool(node, padded(power(inputs[0], p), window, 0), window), p)};
}

Tensors global_average_pool(const NodeRef&, Inputs inputs, Execution&) {
  return {at::mean(inputs[0], spatial_axes(inputs[0]), true)};
}

Tensors global_max_pool(const NodeRef&, Inputs inputs, Execution&) {
  return {at::amax(inputs[0], spatial_axes(inputs[0]), true)};
}

Tensors global_lp_pool(const NodeRef& node, Inputs inputs, Execution&) {
  const int64_t p = node.attribute("p", int64_t{2});
  return {root(at::sum(power(inputs[0], p), spatial_axes(inputs[0]), true), p)};
}

}  // namespace

void add_pool_ops(OpTable& table) {
  table["MaxPool"] = {.run = max_pool, .obstacle = max_pool_obstacle};
  table["AveragePool"] = {.run = average_pool};
  table["LpPool"] = {.run = lp_pool};
  table["GlobalAveragePool"] = {.run = global_average_pool};
  table["GlobalMaxPool"] = {.run = global_max_pool};
  table["GlobalLpPool"] = {.run = global_lp_pool};
}

}  // namespace mcompress::train
