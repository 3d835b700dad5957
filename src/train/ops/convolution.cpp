// SPDX-License-Identifier: Apache-2.0
#include "train/op.h"
#include "train/ops/fused_activation.h"
#include "train/ops/window.h"

namespace mcompress::train {
namespace {

at::Tensor optional(Inputs inputs, size_t index) {
  return has_input(inputs, index) ? inputs[index] : at::Tensor();
}

std::vector<int64_t> spatial(const at::Tensor& weight) {
  return {weight.sizes().begin() + 2, weight.sizes().end()};
}

Tensors conv(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const at::Tensor& weight = inputs[1];
  if (weight.dim() < 3) refuse(node, "its weight has no window");
  const Window window = make_window(node, x.sizes(), spatial(weight));
  const bool plain = window.is_plain(false);
  const std::vector<int64_t> none(window.rank(), 0);
  return {at::convolution(plain ? x : padded(x, window, 0), weight, optional(inputs, 2),
                          window.strides, plain ? window.begin : none, window.dilations, false,
                          none, node.attribute("group", int64_t{1}))};
}

/// Crops (negative padding) and extends the full transposed product, along each dimension.
struct Trim {
  std::vector<int64_t> begin, end;
};

/// full = stride (in - 1) + extent; the output is full + output_padding - begin - end.
Trim trim_of(const NodeRef& node, at::IntArrayRef sizes, const std::vector<int64_t>& kernel) {
  const size_t rank = kernel.size();
  const auto strides = for_each_dimension(node, "strides", rank, 1);
  const auto dilations = for_each_dimension(node, "dilations", rank, 1);
  const auto extra = for_each_dimension(node, "output_padding", rank, 0);
  const auto wanted = node.attribute_ints("output_shape");
  const std::string automatic = node.attribute("auto_pad", "NOTSET");
  auto pads = node.attribute_ints("pads");
  pads.resize(2 * rank, 0);
  Trim trim;
  for (size_t i = 0; i < rank; ++i) {
    const int64_t full = strides[i] * (sizes[i + 2] - 1) + (kernel[i] - 1) * dilations[i] + 1;
    int64_t begin = pads[i], end = pads[i + rank];
    const bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
    if (!wanted.empty() || same) {
      // output_shape may name the spatial dimensions alone or all of them.
      const int64_t target =
          wanted.empty() ? sizes[i + 2] * strides[i] : wanted.at(wanted.size() - rank + i);
      const int64_t total = std::max<int64_t>(0, full + extra[i] - target);
      begin = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      end = full + extra[i] - target - begin;
    } else if (automatic == "VALID") {
      begin = end = 0;
    }
    trim.begin.push_back(begin);
    trim.end.push_back(end - extra[i]);
  }
  return trim;
}

Tensors conv_transpose(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const at::Tensor& weight = inputs[1];
  if (weight.dim() < 3 || weight.dim() != x.dim())
    refuse(node, "its weight does not fit its input");
  const auto kernel = spatial(weight);
  const size_t rank = kernel.size();
  const auto strides = for_each_dimension(node, "strides", rank, 1);
  const auto dilations = for_each_dimension(node, "dilations", rank, 1);
  const int64_t groups = node.attribute("group", int64_t{1});
  const Trim trim = trim_of(node, x.sizes(), kernel);
  const std::vector<int64_t> none(rank, 0);
  if (trim.begin == trim.end &&
      std::all_of(trim.begin.begin(), trim.begin.end(), [](int64_t p) { return p >= 0; })) {
    return {at::convolution(x, weight, optional(inputs, 2), strides, trim.begin, dilations, true,
                            none, groups)};
  }
  at::Tensor result = at::convolution(x, weight, {}, strides, none, dilations, true, none, groups);
  std::vector<int64_t> amounts;
  for (size_t i = rank; i-- > 0;) {
    amounts.push_back(-trim.begin[i]);
    amounts.push_back(-trim.end[i]);
  }
  result = at::constant_pad_nd(result, amounts);
  if (has_input(inputs, 2)) {
    std::vector<int64_t> shape(rank + 2, 1);
    shape[1] = -1;
    result = result + inputs[2].reshape(shape);
  }
  return {result};
}

/// Conv, then a fourth input added, then an activation: what ONNX Runtime's optimizer writes.
Tensors fused_conv(const NodeRef& node, Inputs inputs, Execution& execution) {
  at::Tensor result = conv(node, inputs.first(std::min<size_t>(inputs.size(), 3)), execution)[0];
  if (has_input(inputs, 3)) result = result + inputs[3];
  return {fused_activation(node, result, "activation_params")};
}

}  // namespace

void add_convolution_ops(OpTable& table) {
  table["Conv"] = {.run = conv, .parameters = {1, 2}};
  table["ConvTranspose"] = {.run = conv_transpose, .parameters = {1, 2}};
  table["com.microsoft:FusedConv"] = {
      .run = fused_conv, .parameters = {1, 2}, .obstacle = fused_activation_obstacle};
}

}  // namespace mcompress::train
