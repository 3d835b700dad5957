// SPDX-License-Identifier: Apache-2.0
// QuantizeLinear and DequantizeLinear. Forward they are what ONNX says; backward they are straight
// through: with q = clip(round(x / s) + z) the pair passes the gradient of x where round(x / s) + z
// is inside the range of the integers and nothing outside, and the scale gets (LSQ,
// arXiv:1902.08153)
//
//   d/ds = round(x / s) - x / s inside, the end of the range less z outside,
//
// times 1 / sqrt(N Qp): N values of one sample share the scale, Qp is the largest code. The part
// with x / s comes from QuantizeLinear, the other from DequantizeLinear. In between codes are
// floats where somebody wants a gradient, and integers otherwise.
#include "mcompress/error.h"
#include "train/fake_quantize.h"
#include "train/op.h"
#include "train/ops/arguments.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

bool is_known(DataType type) {
  switch (type) {
    case DataType::kUint8:
    case DataType::kInt8:
    case DataType::kInt16:
    case DataType::kInt32:
    case DataType::kUint4:
    case DataType::kInt4:
    case DataType::kUint2:
    case DataType::kInt2:
      return true;
    default:
      return false;
  }
}

/// Of the codes, as far as the graph tells.
DataType declared_type(const NodeRef& node) {
  const ValueRef zero = node.input(2);
  if (zero && zero.is_constant()) return zero.constant_type();
  if (node.op() == "QuantizeLinear") {
    const int64_t wanted = node.attribute("output_dtype", int64_t{0});
    return wanted == 0 ? DataType::kUint8 : static_cast<DataType>(wanted);
  }
  const ValueRef codes = node.input(0);
  return codes && codes.is_constant() ? codes.constant_type() : DataType::kUint8;
}

std::string obstacle(const NodeRef& node) {
  const DataType type = declared_type(node);
  return is_known(type) ? "" : "codes of type " + data_type_name(type) + " are not covered";
}

at::Tensor spread_over(const NodeRef& node, const at::Tensor& values, const at::Tensor& x) {
  if (values.numel() == 1) return values.reshape({});
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{1}), x.dim());
  const int64_t block = node.attribute("block_size", int64_t{0});
  if (block == 0 && values.numel() != x.size(axis)) {
    refuse(node, std::to_string(values.numel()) + " scales for " + std::to_string(x.size(axis)) +
                     " channels");
  }
  return spread(values, x, axis, block);
}

at::Tensor with_lsq_factor(const at::Tensor& scale, const at::Tensor& x, const CodeRange& range) {
  if (!scale.requires_grad() || !at::GradMode::is_enabled()) return scale;
  const int64_t samples = x.dim() > 0 ? std::max<int64_t>(1, x.size(0)) : 1;
  const double largest = std::max(-range.low, range.high);
  return ScaledGradient::apply(scale, lsq_factor(x.numel() / samples, scale.numel(), largest));
}

at::Tensor round_to_codes(const at::Tensor& steps, const at::Tensor& zero, double low,
                          double high) {
  return at::round(steps).add_(zero).clamp_(low, high);
}

/// clip(round(x / s) + z) as floats.
class Quantize : public Function<Quantize> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale,
                            const at::Tensor& zero, double low, double high) {
    const at::Tensor steps = at::div(x, scale);
    context->save_for_backward({steps, scale, zero});
    context->saved_data["low"] = low;
    context->saved_data["high"] = high;
    return round_to_codes(steps, zero, low, high);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& steps = saved[0];
    const at::Tensor& scale = saved[1];
    const at::Tensor place = at::round(steps).add_(saved[2]);
    const at::Tensor inside =
        at::logical_and(at::ge(place, context->saved_data["low"].toDouble()),
                        at::le(place, context->saved_data["high"].toDouble()));
    const at::Tensor passed = at::div(at::mul(gradients[0], inside), scale);
    at::Tensor of_scale;
    if (scale.requires_grad()) {
      // x / s may be infinite where nothing passes.
      const at::Tensor finite = at::where(inside, steps, at::zeros_like(steps));
      of_scale = at::mul(passed, finite).neg_().sum_to_size(scale.sizes());
    }
    return {passed, of_scale, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

Tensors quantize(const NodeRef& node, Inputs inputs, Execution&) {
  if (const auto why = obstacle(node); !why.empty()) refuse(node, why);
  const DataType type = declared_type(node);
  const auto range = code_range(type);
  const at::Tensor x = inputs[0].to(at::kFloat);
  const at::Tensor zero = has_input(inputs, 2) ? spread_over(node, inputs[2].to(at::kFloat), x)
                                               : at::scalar_tensor(0, at::kFloat);
  if (at::GradMode::is_enabled() && (x.requires_grad() || inputs[1].requires_grad())) {
    const at::Tensor scale = spread_over(node, with_lsq_factor(inputs[1], x, range), x);
    return {Quantize::apply(x, scale, zero, range.low, range.high)};
  }
  const at::Tensor scale = spread_over(node, inputs[1].to(at::kFloat), x);
  return {round_to_codes(at::div(x, scale), zero, range.low, range.high).to(torch_type(type))};
}

Tensors dequantize(const NodeRef& node, Inputs inputs, Execution&) {
  if (const auto why = obstacle(node); !why.empty()) refuse(node, why);
  // Codes of 32 bits are subtracted as integers: a float does not hold them.
  at::Tensor codes = inputs[0].is_floating_point() ? inputs[0] : inputs[0].to(at::kInt);
  if (has_input(inputs, 2)) {
    codes = at::sub(codes, spread_over(node, inputs[2].to(codes.scalar_type()), codes));
  }
  const at::Tensor scale = with_lsq_factor(inputs[1], codes, code_range(declared_type(node)));
  return {at::mul(codes.to(scale.scalar_type()), spread_over(node, scale, codes))};
}

}  // namespace

void add_quantization_ops(OpTable& table) {
  for (const char* const domain : {"", "com.microsoft:"}) {
    table[std::string(domain) + "QuantizeLinear"] = {.run = quantize, .obstacle = obstacle};
    table[std::string(domain) + "DequantizeLinear"] = {.run = dequantize, .obstacle = obstacle};
  }
}

}  // namespace mcompress::train
