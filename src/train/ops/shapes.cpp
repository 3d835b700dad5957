// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "train/op.h"
#include "train/ops/arguments.h"
#include "train/ops/shape_parts.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

using Sizes = std::vector<int64_t>;

Tensors identity(const NodeRef&, Inputs inputs, Execution&) { return {inputs[0]}; }

Tensors reshape(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  Sizes shape = integers_of(node, inputs, 1, "shape").value_or(Sizes{});
  const bool zero_is_zero = node.attribute("allowzero", int64_t{0}) != 0;
  for (size_t i = 0; i < shape.size() && !zero_is_zero; ++i) {
    if (shape[i] != 0) continue;
    if (static_cast<int64_t>(i) >= x.dim()) refuse(node, "a 0 beyond the input's dimensions");
    shape[i] = x.size(static_cast<int64_t>(i));
  }
  // libtorch cannot tell what -1 is for a tensor without elements.
  const auto open = std::find(shape.begin(), shape.end(), -1);
  if (open != shape.end() && x.numel() == 0) *open = 0;
  return {x.reshape(shape)};
}

Tensors transpose(const NodeRef& node, Inputs inputs, Execution&) {
  Sizes order = node.attribute_ints("perm");
  if (order.empty()) {
    order.resize(static_cast<size_t>(inputs[0].dim()));
    std::iota(order.rbegin(), order.rend(), 0);
  }
  return {inputs[0].permute(order)};
}

Tensors flatten(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  int64_t axis = node.attribute("axis", int64_t{1});
  if (axis < 0) axis += x.dim();
  if (axis < 0 || axis > x.dim()) refuse(node, "axis " + std::to_string(axis));
  int64_t rows = 1, columns = 1;
  for (int64_t i = 0; i < x.dim(); ++i) (i < axis ? rows : columns) *= x.size(i);
  return {x.reshape({rows, columns})};
}

Tensors squeeze(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const auto axes = integers_of(node, inputs, 1, "axes");
  if (!axes || axes->empty()) return {x.squeeze()};
  const Sizes chosen = wrap_axes(node, *axes, x.dim());
  Sizes shape;
  for (int64_t i = 0; i < x.dim(); ++i) {
    const bool gone = std::find(chosen.begin(), chosen.end(), i) != chosen.end();
    if (!gone) shape.push_back(x.size(i));
  }
  return {x.reshape(shape)};
}

Tensors unsqueeze(const NodeRef& node, Inputs inputs, Execution&) {
  at::Tensor x = inputs[0];
  Sizes axes = integers_of(node, inputs, 1, "axes").value_or(Sizes{});
  axes = wrap_axes(node, axes, x.dim() + static_cast<int64_t>(axes.size()));
  std::sort(axes.begin(), axes.end());
  for (const int64_t axis : axes) x = x.unsqueeze(axis);
  return {x};
}

Tensors expand(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  Sizes shape = integers(inputs[1]);
  while (static_cast<int64_t>(shape.size()) < x.dim()) shape.insert(shape.begin(), 1);
  const size_t lead = shape.size() - static_cast<size_t>(x.dim());
  for (size_t i = lead; i < shape.size(); ++i) {
    const int64_t size = x.size(static_cast<int64_t>(i - lead));
    if (shape[i] != size && shape[i] != 1 && size != 1) refuse(node, "shapes that do not fit");
    if (shape[i] == 1) shape[i] = size;
  }
  return {x.expand(shape)};
}

Tensors tile(const NodeRef& node, Inputs inputs, Execution& execution) {
  if (execution.opset < 6) refuse(node, "the form before operator set 6 is not covered");
  return {inputs[0].repeat(integers(inputs[1]))};
}

Tensors shape(const NodeRef& node, Inputs inputs, Execution&) {
  const Sizes sizes = inputs[0].sizes().vec();
  const auto rank = static_cast<int64_t>(sizes.size());
  const auto place = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank); };
  const int64_t start = place(node.attribute("start", int64_t{0}));
  const int64_t end = std::max(start, place(node.attribute("end", rank)));
  return {at::tensor(Sizes(sizes.begin() + start, sizes.begin() + end), at::kLong)};
}

Tensors size(const NodeRef&, Inputs inputs, Execution&) {
  return {at::scalar_tensor(inputs[0].numel(), at::kLong)};
}

std::string constant_obstacle(const NodeRef& node) {
  for (const char* const name : {"value_string", "value_strings", "sparse_value"}) {
    if (node.has_attribute(name)) return "strings and sparse tensors are not covered";
  }
  return "";
}

Tensors constant(const NodeRef& node, Inputs, Execution&) {
  if (node.has_attribute("value")) {
    const auto value = node.attribute_tensor("value");
    if (!value) refuse(node, "a constant of this type is not covered");
    return {to_torch(*value)};
  }
  if (node.has_attribute("value_int")) {
    return {at::scalar_tensor(node.attribute("value_int", int64_t{0}), at::kLong)};
  }
  if (node.has_attribute("value_ints"))
    return {at::tensor(node.attribute_ints("value_ints"), at::kLong)};
  if (node.has_attribute("value_float")) {
    return {at::scalar_tensor(node.attribute("value_float", 0.0F), at::kFloat)};
  }
  if (node.has_attribute("value_floats")) {
    return {at::tensor(node.attribute_floats("value_floats"), at::kFloat)};
  }
  refuse(node, constant_obstacle(node));
}

Tensors constant_of_shape(const NodeRef& node, Inputs inputs, Execution&) {
  const auto value = node.attribute_tensor("value");
  const at::Tensor one = value ? to_torch(*value).reshape(-1)[0] : at::zeros({}, at::kFloat);
  return {one.expand(integers(inputs[0])).contiguous()};
}

/// ceil((limit - start) / delta) numbers, none below that.
Tensors range(const NodeRef& node, Inputs inputs, Execution&) {
  const double start = doubles(inputs[0]).at(0), limit = doubles(inputs[1]).at(0);
  const double delta = doubles(inputs[2]).at(0);
  if (delta == 0) refuse(node, "a delta of 0");
  const auto count = static_cast<int64_t>(std::max(0.0, std::ceil((limit - start) / delta)));
  const at::ScalarType type = inputs[0].scalar_type();
  return {at::arange(count, at::kLong).to(type) * inputs[2].reshape({}) + inputs[0].reshape({})};
}

Tensors depth_to_space(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t b = node.attribute("blocksize", int64_t{1});
  const int64_t n = x.size(0), c = x.size(1) / (b * b), h = x.size(2), w = x.size(3);
  const bool depth_first = node.attribute("mode", "DCR") == "DCR";
  const at::Tensor blocks = depth_first ? x.reshape({n, b, b, c, h, w}).permute({0, 3, 4, 1, 5, 2})
                                        : x.reshape({n, c, b, b, h, w}).permute({0, 1, 4, 2, 5, 3});
  return {blocks.reshape({n, c, h * b, w * b})};
}

Tensors space_to_depth(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t b = node.attribute("blocksize", int64_t{1});
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2) / b, w = x.size(3) / b;
  return {x.reshape({n, c, h, b, w, b}).permute({0, 3, 5, 1, 2, 4}).reshape({n, c * b * b, h, w})};
}

Tensors triangle(const NodeRef& node, Inputs inputs, Execution&) {
  const int64_t k = has_input(inputs, 1) ? integers(inputs[1]).at(0) : 0;
  const bool upper = node.attribute("upper", int64_t{1}) != 0;
  return {upper ? at::triu(inputs[0], k) : at::tril(inputs[0], k)};
}

Tensors eye_like(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const at::ScalarType type =
      node.has_attribute("dtype")
          ? torch_type(static_cast<DataType>(node.attribute("dtype", int64_t{1})))
          : x.scalar_type();
  const int64_t k = node.attribute("k", int64_t{0});
  const at::Tensor columns = at::arange(x.size(1), at::kLong).unsqueeze(0);
  const at::Tensor rows = at::arange(x.size(0), at::kLong).unsqueeze(1);
  return {(columns - rows == k).to(type)};
}

}  // namespace

void add_shape_ops(OpTable& table) {
  table["Identity"] = {identity};
  table["Reshape"] = {reshape};
  table["Transpose"] = {transpose};
  table["Flatten"] = {flatten};
  table["Squeeze"] = {squeeze};
  table["Unsqueeze"] = {unsqueeze};
  table["Expand"] = {expand, true, {0}};
  table["Tile"] = {tile, true, {0}};
  table["Shape"] = {shape, false};
  table["Size"] = {size, false};
  table["Constant"] = {.run = constant, .obstacle = constant_obstacle};
  table["ConstantOfShape"] = {constant_of_shape, false};
  table["Range"] = {range, false};
  table["DepthToSpace"] = {depth_to_space};
  table["SpaceToDepth"] = {space_to_depth};
  table["Trilu"] = {triangle};
  table["EyeLike"] = {eye_like, false};
  add_index_ops(table);
  add_resize_ops(table);
}

}  // namespace mcompress::train
