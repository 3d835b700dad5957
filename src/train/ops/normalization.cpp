// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "train/op.h"
#include "train/ops/arguments.h"

namespace mcompress::train {
namespace {

double epsilon(const NodeRef& node) { return node.attribute("epsilon", 1e-5F); }

std::vector<int64_t> axes_from(const at::Tensor& x, int64_t first) {
  std::vector<int64_t> axes;
  for (int64_t axis = first; axis < x.dim(); ++axis) axes.push_back(axis);
  return axes;
}

std::string batch_norm_obstacle(const NodeRef& node) {
  return node.attribute("spatial", int64_t{1}) == 0 ? "statistics for each element are not covered"
                                                    : "";
}

/// With statistics of the batch; the biased variance of the batch is the last result.
struct BatchStatistics {
  at::Tensor result, mean, variance;
};
BatchStatistics normalize_batch(const NodeRef& node, Inputs inputs) {
  const auto [result, mean, inverse_deviation] =
      at::native_batch_norm(inputs[0], inputs[1], inputs[2], {}, {}, true, 0.1, epsilon(node));
  const at::Tensor variance = at::pow(inverse_deviation.detach(), -2) - epsilon(node);
  return {result, mean.detach(), variance};
}

Tensors batch_norm(const NodeRef& node, Inputs inputs, Execution& execution) {
  if (const auto why = batch_norm_obstacle(node); !why.empty()) refuse(node, why);
  const at::Tensor& x = inputs[0];
  const int64_t count = x.dim() < 2 || x.size(1) == 0 ? 0 : x.numel() / x.size(1);
  if (node.attribute("training_mode", int64_t{0}) != 0) {
    const BatchStatistics batch = normalize_batch(node, inputs);
    const double kept = node.attribute("momentum", 0.9F);
    return {batch.result, inputs[3] * kept + batch.mean * (1 - kept),
            inputs[4] * kept + batch.variance * (1 - kept)};
  }
  if (execution.batch_statistics && count > 1) {
    const BatchStatistics batch = normalize_batch(node, inputs);
    const double unbiased = static_cast<double>(count) / static_cast<double>(count - 1);
    execution.recorded_statistics[node.input_name(3)] = batch.mean;
    execution.recorded_statistics[node.input_name(4)] = batch.variance * unbiased;
    return {batch.result};
  }
  if (inputs[3].requires_grad() || inputs[4].requires_grad()) {  // of values, not of constants
    std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
    shape[1] = -1;
    const at::Tensor scale = inputs[1] * at::rsqrt(inputs[4] + epsilon(node));
    return {(x - inputs[3].reshape(shape)) * scale.reshape(shape) + inputs[2].reshape(shape)};
  }
  return {at::batch_norm(x, inputs[1], inputs[2], inputs[3], inputs[4], false, 0.1, epsilon(node),
                         false)};
}

/// Over the dimensions from `axis` on; scale and shift of just that shape, or broadcast. Mean and
/// inverse deviation, where the node gives them, are computed again: those of the kernel take no
/// gradient.
Tensors normalize_layer(const NodeRef& node, const at::Tensor& x, const at::Tensor& scale,
                        const at::Tensor& shift, int64_t axis) {
  const at::IntArrayRef shape = x.sizes().slice(static_cast<size_t>(axis));
  const int64_t count = c10::multiply_integers(shape);
  const auto fits = [&](const at::Tensor& vector) {
    return !vector.defined() || vector.numel() == count;
  };
  const auto shaped = [&](const at::Tensor& vector) {
    return vector.defined() ? vector.reshape(shape) : vector;
  };
  Tensors results(3);
  if (fits(scale) && fits(shift)) {
    results[0] = at::layer_norm(x, shape, shaped(scale), shaped(shift), epsilon(node));
  } else {
    results[0] = at::layer_norm(x, shape, {}, {}, epsilon(node));
    if (scale.defined()) results[0] = results[0] * scale;
    if (shift.defined()) results[0] = results[0] + shift;
  }
  if (node.output_count() > 1) {
    const auto axes = axes_from(x, axis);
    results[1] = at::mean(x, axes, true);
    results[2] = at::rsqrt(at::var(x, axes, false, true) + epsilon(node));
  }
  return results;
}

at::Tensor optional(Inputs inputs, size_t index) {
  return has_input(inputs, index) ? inputs[index] : at::Tensor();
}

Tensors layer_norm(const NodeRef& node, Inputs inputs, Execution&) {
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{-1}), inputs[0].dim());
  return normalize_layer(node, inputs[0], optional(inputs, 1), optional(inputs, 2), axis);
}

at::Tensor normalize_root_mean_square(const NodeRef& node, const at::Tensor& x, int64_t axis) {
  return x * at::rsqrt(at::mean(x * x, axes_from(x, axis), true) + epsilon(node));
}

Tensors rms_norm(const NodeRef& node, Inputs inputs, Execution&) {
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{-1}), inputs[0].dim());
  return {normalize_root_mean_square(node, inputs[0], axis) * inputs[1]};
}

/// Inputs: x, skip, scale, shift, bias; the sum is the fourth output.
Tensors skip_layer_norm(const NodeRef& node, Inputs inputs, Execution&) {
  at::Tensor sum = inputs[0] + inputs[1];
  if (has_input(inputs, 4)) sum = sum + inputs[4];
  Tensors results = normalize_layer(node, sum, inputs[2], optional(inputs, 3), sum.dim() - 1);
  results.push_back(sum);
  return results;
}

/// Inputs: x, skip, scale, bias; the sum is the fourth output.
Tensors skip_rms_norm(const NodeRef& node, Inputs inputs, Execution&) {
  at::Tensor sum = inputs[0] + inputs[1];
  if (has_input(inputs, 3)) sum = sum + inputs[3];
  return {normalize_root_mean_square(node, sum, sum.dim() - 1) * inputs[2], {}, {}, sum};
}

Tensors instance_norm(const NodeRef& node, Inputs inputs, Execution&) {
  return {
      at::instance_norm(inputs[0], inputs[1], inputs[2], {}, {}, true, 0.1, epsilon(node), false)};
}

/// Scale and shift are for each group before opset 21, for each channel from then on.
Tensors group_norm(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t groups = node.attribute("num_groups", int64_t{1});
  const auto per_channel = [&](const at::Tensor& vector) {
    if (vector.numel() == x.size(1)) return vector;
    return vector.repeat_interleave(x.size(1) / groups);
  };
  return {at::group_norm(x, groups, per_channel(inputs[1]), per_channel(inputs[2]), epsilon(node),
                         false)};
}

/// x / (bias + alpha / size * sum of squares over `size` channels)^beta.
Tensors local_response_norm(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t size = node.attribute("size", int64_t{1});
  std::vector<int64_t> amounts(static_cast<size_t>(2 * (x.dim() - 1)), 0);
  amounts[amounts.size() - 2] = (size - 1) / 2;
  amounts[amounts.size() - 1] = size - 1 - (size - 1) / 2;
  const at::Tensor squares = at::constant_pad_nd(x * x, amounts);
  at::Tensor sum = squares.narrow(1, 0, x.size(1));
  for (int64_t i = 1; i < size; ++i) sum = sum + squares.narrow(1, i, x.size(1));
  const double alpha = node.attribute("alpha", 1e-4F) / static_cast<float>(size);
  const double beta = node.attribute("beta", 0.75F), bias = node.attribute("bias", 1.0F);
  return {x * at::pow(sum * alpha + bias, -beta)};
}

Tensors mean_variance_norm(const NodeRef& node, Inputs inputs, Execution&) {
  auto axes = node.attribute_ints("axes");
  if (axes.empty()) axes = {0, 2, 3};
  const at::Tensor centred = inputs[0] - at::mean(inputs[0], axes, true);
  return {centred / (at::sqrt(at::mean(centred * centred, axes, true)) + 1e-9)};
}

}  // namespace

void add_normalization_ops(OpTable& table) {
  table["BatchNormalization"] = {
      .run = batch_norm, .parameters = {1, 2}, .obstacle = batch_norm_obstacle};
  table["LayerNormalization"] = {.run = layer_norm, .parameters = {1, 2}};
  table["RMSNormalization"] = {.run = rms_norm, .parameters = {1}};
  table["SimplifiedLayerNormalization"] = {.run = rms_norm, .parameters = {1}};
  table["com.microsoft:SkipLayerNormalization"] = {.run = skip_layer_norm, .parameters = {2, 3, 4}};
  table["com.microsoft:SkipSimplifiedLayerNormalization"] = {.run = skip_rms_norm,
                                                             .parameters = {2, 3}};
  table["InstanceNormalization"] = {.run = instance_norm, .parameters = {1, 2}};
  table["GroupNormalization"] = {.run = group_norm, .parameters = {1, 2}};
  table["LRN"] = {.run = local_response_norm};
  table["MeanVarianceNormalization"] = {.run = mean_variance_norm};
}

}  // namespace mcompress::train
