// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcompress/error.h"
#include "train/op.h"

// What operators ask of their inputs and attributes again and again.
namespace mcompress::train {

using Inputs = std::span<const at::Tensor>;

/// Throws Unsupported: "Resize: mode area is not covered". Who runs the node says which one it is.
[[noreturn]] inline void refuse(const NodeRef& node, const std::string& why) {
  throw Unsupported(node.op() + ": " + why);
}

/// False for an absent optional input.
inline bool has_input(Inputs inputs, size_t index) {
  return index < inputs.size() && inputs[index].defined();
}

/// Values of an integer tensor of any rank, in row-major order.
inline std::vector<int64_t> integers(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().to(at::kLong).contiguous();
  const int64_t* const first = plain.data_ptr<int64_t>();
  return {first, first + plain.numel()};
}

/// Values of a floating tensor of any rank.
inline std::vector<double> doubles(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().to(at::kDouble).contiguous();
  const double* const first = plain.data_ptr<double>();
  return {first, first + plain.numel()};
}

/// What newer operator sets take as input `index` and older ones as the attribute `name`; nothing
/// where it is left out.
inline std::optional<std::vector<int64_t>> integers_of(const NodeRef& node, Inputs inputs,
                                                       size_t index, const char* name) {
  if (has_input(inputs, index)) return integers(inputs[index]);
  if (node.has_attribute(name)) return node.attribute_ints(name);
  return std::nullopt;
}

/// `axis` of a tensor of `rank` dimensions, counted from the front.
inline int64_t wrap_axis(const NodeRef& node, int64_t axis, int64_t rank) {
  const int64_t wrapped = axis < 0 ? axis + rank : axis;
  if (wrapped < 0 || wrapped >= std::max<int64_t>(rank, 1)) {
    refuse(node, "axis " + std::to_string(axis) + " of a tensor of rank " + std::to_string(rank));
  }
  return wrapped;
}

inline std::vector<int64_t> wrap_axes(const NodeRef& node, std::vector<int64_t> axes,
                                      int64_t rank) {
  for (int64_t& axis : axes) axis = wrap_axis(node, axis, rank);
  return axes;
}

/// libtorch computes few functions in 16 bits on a CPU: those go through float.
inline bool is_short_float(const at::Tensor& x) {
  return x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16;
}
template <class Function>
at::Tensor in_float(const at::Tensor& x, const Function& function) {
  return is_short_float(x) ? function(x.to(at::kFloat)).to(x.scalar_type()) : function(x);
}

/// An operator with one input and no attributes.
template <at::Tensor (*function)(const at::Tensor&)>
Tensors unary(const NodeRef&, Inputs inputs, Execution&) {
  return {in_float(inputs[0], function)};
}

}  // namespace mcompress::train
