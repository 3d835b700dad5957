// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "mcompress/tensor.h"

// What quantized weights and quantized activations have in common when they are trained.
namespace mcompress::train {

/// Codes that a type of integers can hold.
struct CodeRange {
  double low = 0, high = 255;
};
inline CodeRange code_range(DataType type) {
  const bool is_signed = type == DataType::kInt8 || type == DataType::kInt16 ||
                         type == DataType::kInt32 || type == DataType::kInt4 ||
                         type == DataType::kInt2;
  const double count = std::ldexp(1.0, data_type_bits(type));
  return is_signed ? CodeRange{-count / 2, count / 2 - 1} : CodeRange{0, count - 1};
}

/// Scales or zero points in a shape that broadcasts with `x`: one for all, one for each entry of
/// `axis`, or (rank of x) one for each block of `block` entries. The caller has seen that they fit.
inline at::Tensor spread(const at::Tensor& values, const at::Tensor& x, int64_t axis,
                         int64_t block) {
  if (values.numel() == 1) return values.reshape({});
  if (block > 0) return values.repeat_interleave(block, axis).narrow(axis, 0, x.size(axis));
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[static_cast<size_t>(axis)] = values.numel();
  return values.reshape(shape);
}

/// Passes its input on and multiplies the gradient.
class ScaledGradient : public torch::autograd::Function<ScaledGradient> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& factor) {
    context->saved_data["factor"] = factor;
    return x.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    return {gradients[0] * context->saved_data["factor"].toTensor(), at::Tensor()};
  }
};

/// 1 / sqrt(N Qp) of LSQ (arXiv:1902.08153): N values share a scale, Qp is the largest code.
inline at::Tensor lsq_factor(int64_t values, int64_t scales, double largest_code) {
  const double sharing = static_cast<double>(std::max<int64_t>(1, values)) /
                         static_cast<double>(std::max<int64_t>(1, scales));
  return at::scalar_tensor(1 / std::sqrt(std::max(1.0, sharing) * largest_code), at::kFloat);
}

}  // namespace mcompress::train
