// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "train/ops/arguments.h"

namespace mcompress::train {

/// How a window goes over the spatial dimensions of [batch, channels, d1, d2, ...], with the
/// padding that auto_pad and ceil_mode come to for one input.
struct Window {
  std::vector<int64_t> kernel, strides, dilations;
  std::vector<int64_t> begin, end;  ///< padding as the model says, or as auto_pad chooses
  std::vector<int64_t> outputs;     ///< positions along each dimension
  std::vector<int64_t>
      beyond;  ///< elements that the last window reads past the padding (ceil_mode)

  size_t rank() const { return kernel.size(); }
  int64_t extent(size_t i) const { return (kernel[i] - 1) * dilations[i] + 1; }
  bool is_dilated() const {
    return std::any_of(dilations.begin(), dilations.end(), [](int64_t d) { return d != 1; });
  }
  /// The same on both sides, at most half of the window: what libtorch takes as it is.
  bool is_plain(bool at_most_half) const {
    for (size_t i = 0; i < rank(); ++i) {
      if (begin[i] != end[i] || begin[i] < 0 || beyond[i] > 0) return false;
      if (at_most_half && begin[i] > kernel[i] / 2) return false;
    }
    return true;
  }
};

/// Attribute `name` or `fallback` for each of `rank` dimensions.
inline std::vector<int64_t> for_each_dimension(const NodeRef& node, const char* name, size_t rank,
                                               int64_t fallback) {
  std::vector<int64_t> values = node.attribute_ints(name);
  if (values.empty()) values.assign(rank, fallback);
  if (values.size() != rank) {
    refuse(node, std::string(name) + " has " + std::to_string(values.size()) + " values for " +
                     std::to_string(rank) + " dimensions");
  }
  return values;
}

/// `sizes`: of the input, batch and channels first.
inline Window make_window(const NodeRef& node, at::IntArrayRef sizes, std::vector<int64_t> kernel) {
  const size_t rank = kernel.size();
  if (sizes.size() != rank + 2) {
    refuse(node, "an input of rank " + std::to_string(sizes.size()) + " under a window of rank " +
                     std::to_string(rank));
  }
  Window window;
  window.kernel = std::move(kernel);
  window.strides = for_each_dimension(node, "strides", rank, 1);
  window.dilations = for_each_dimension(node, "dilations", rank, 1);
  window.begin.assign(rank, 0);
  window.end.assign(rank, 0);
  const std::string automatic = node.attribute("auto_pad", "NOTSET");
  if (automatic == "NOTSET" && node.has_attribute("pads")) {
    const auto pads = node.attribute_ints("pads");
    if (pads.size() != 2 * rank) refuse(node, "pads do not fit its window");
    window.begin.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(rank));
    window.end.assign(pads.begin() + static_cast<std::ptrdiff_t>(rank), pads.end());
  }
  const bool ceil = node.attribute("ceil_mode", int64_t{0}) != 0;
  for (size_t i = 0; i < rank; ++i) {
    const int64_t size = sizes[i + 2], stride = window.strides[i];
    if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
      const int64_t positions = (size + stride - 1) / stride;
      const int64_t padding =
          std::max<int64_t>(0, (positions - 1) * stride + window.extent(i) - size);
      window.begin[i] = automatic == "SAME_UPPER" ? padding / 2 : padding - padding / 2;
      window.end[i] = padding - window.begin[i];
    }
    const int64_t room = size + window.begin[i] + window.end[i] - window.extent(i);
    if (room < 0) refuse(node, "its window is larger than its input");
    int64_t positions = (room + (ceil ? stride - 1 : 0)) / stride + 1;
    // The last window starts inside of the image.
    if ((positions - 1) * stride >= size + window.begin[i]) --positions;
    window.outputs.push_back(positions);
    window.beyond.push_back(std::max<int64_t>(0, (positions - 1) * stride - room));
  }
  return window;
}

/// The input with its padding, and what the last windows reach beyond it, filled with `value`.
inline at::Tensor padded(const at::Tensor& x, const Window& window, double value) {
  std::vector<int64_t> amounts;  // last dimension first
  for (size_t i = window.rank(); i-- > 0;) {
    amounts.push_back(window.begin[i]);
    amounts.push_back(window.end[i] + window.beyond[i]);
  }
  return at::constant_pad_nd(x, amounts, value);
}

}  // namespace mcompress::train
