// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "train/op.h"
#include "train/ops/fused_activation.h"

namespace mcompress::train {
namespace {

at::Tensor transposed_if(const NodeRef& node, const char* attribute, const at::Tensor& x) {
  return node.attribute(attribute, int64_t{0}) != 0 && x.dim() >= 2 ? x.transpose(-1, -2) : x;
}

/// alpha A B + beta C, C broadcast.
Tensors gemm(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor a = transposed_if(node, "transA", inputs[0]);
  const at::Tensor b = transposed_if(node, "transB", inputs[1]);
  const double alpha = node.attribute("alpha", 1.0F), beta = node.attribute("beta", 1.0F);
  if (!a.is_floating_point()) {
    const at::Tensor product = at::matmul(a, b) * at::Scalar(static_cast<int64_t>(alpha));
    if (!has_input(inputs, 2)) return {product};
    return {product + inputs[2] * at::Scalar(static_cast<int64_t>(beta))};
  }
  if (has_input(inputs, 2) && beta != 0) return {at::addmm(inputs[2], a, b, beta, alpha)};
  const at::Tensor product = at::mm(a, b);
  return {alpha == 1 ? product : product * alpha};
}

Tensors fused_gemm(const NodeRef& node, Inputs inputs, Execution& execution) {
  return {fused_activation(node, gemm(node, inputs, execution)[0], "")};
}

Tensors matmul(const NodeRef&, Inputs inputs, Execution&) {
  return {at::matmul(inputs[0], inputs[1])};
}

/// [.., batch, m, k] with transBatch is stored as [m, .., batch, k].
at::Tensor batch_first(const NodeRef& node, const char* attribute, const at::Tensor& x) {
  if (node.attribute(attribute, int64_t{0}) == 0 || x.dim() < 3) return x;
  return x.movedim(0, -2);
}

Tensors fused_matmul(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor a = transposed_if(node, "transA", batch_first(node, "transBatchA", inputs[0]));
  const at::Tensor b = transposed_if(node, "transB", batch_first(node, "transBatchB", inputs[1]));
  const double alpha = node.attribute("alpha", 1.0F);
  const at::Tensor product = at::matmul(a, b);
  return {alpha == 1 ? product : product * alpha};
}

Tensors einsum(const NodeRef& node, Inputs inputs, Execution&) {
  std::string equation = node.attribute("equation", "");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
  return {at::einsum(equation, at::TensorList(inputs.data(), inputs.size()))};
}

}  // namespace

void add_matrix_ops(OpTable& table) {
  table["Gemm"] = {.run = gemm, .parameters = {0, 1, 2}};
  table["MatMul"] = {.run = matmul, .parameters = {0, 1}};
  table["Einsum"] = {.run = einsum, .parameters = {0, 1, 2, 3}};
  table["com.microsoft:FusedGemm"] = {
      .run = fused_gemm, .parameters = {0, 1, 2}, .obstacle = fused_activation_obstacle};
  table["com.microsoft:FusedMatMul"] = {.run = fused_matmul, .parameters = {0, 1}};
}

}  // namespace mcompress::train
