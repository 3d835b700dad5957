// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "train/op.h"
#include "train/ops/arguments.h"

namespace mcompress::train {
namespace {

Tensors leaky_relu(const NodeRef& node, Inputs inputs, Execution&) {
  const double alpha = node.attribute("alpha", 0.01F);
  return {in_float(inputs[0], [&](const at::Tensor& x) { return at::leaky_relu(x, alpha); })};
}

Tensors prelu(const NodeRef&, Inputs inputs, Execution& execution) {
  const at::Tensor& x = inputs[0];
  at::Tensor slope = inputs[1];
  // Before opset 7 a slope for each channel had one dimension.
  if (execution.opset < 7 && slope.dim() == 1 && x.dim() > 1) {
    std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
    shape[1] = slope.numel();
    slope = slope.reshape(shape);
  }
  return {at::where(x < 0, slope * x, x)};
}

Tensors elu(const NodeRef& node, Inputs inputs, Execution&) {
  const double alpha = node.attribute("alpha", 1.0F);
  return {in_float(inputs[0], [&](const at::Tensor& x) { return at::elu(x, alpha); })};
}

Tensors selu(const NodeRef& node, Inputs inputs, Execution&) {
  const double alpha = node.attribute("alpha", 1.67326319217681884765625F);
  const double gamma = node.attribute("gamma", 1.05070102214813232421875F);
  return {in_float(inputs[0], [&](const at::Tensor& x) { return at::elu(x, alpha, gamma); })};
}

Tensors celu(const NodeRef& node, Inputs inputs, Execution&) {
  const double alpha = node.attribute("alpha", 1.0F);
  return {in_float(inputs[0], [&](const at::Tensor& x) { return at::celu(x, alpha); })};
}

/// A bound of Clip where it is a number and not trained through.
c10::optional<at::Scalar> plain_bound(const NodeRef& node, Inputs inputs, size_t index,
                                      const char* name) {
  if (has_input(inputs, index)) return inputs[index].item();
  if (node.has_attribute(name)) return at::Scalar(node.attribute(name, 0.0F));
  return c10::nullopt;
}

Tensors clip(const NodeRef& node, Inputs inputs, Execution&) {
  at::Tensor x = inputs[0];
  const bool learned = (has_input(inputs, 1) && inputs[1].requires_grad()) ||
                       (has_input(inputs, 2) && inputs[2].requires_grad());
  if (learned) {
    if (has_input(inputs, 1)) x = at::maximum(x, inputs[1]);
    if (has_input(inputs, 2)) x = at::minimum(x, inputs[2]);
    return {x};
  }
  const auto low = plain_bound(node, inputs, 1, "min");
  const auto high = plain_bound(node, inputs, 2, "max");
  if (!low && !high) return {x};
  if (x.requires_grad()) {  // its gradient is one kernel, that of clamp four
    constexpr double kNone = std::numeric_limits<double>::infinity();
    return {at::hardtanh(x, low.value_or(-kNone), high.value_or(kNone))};
  }
  return {in_float(x, [&](const at::Tensor& values) { return at::clamp(values, low, high); })};
}

Tensors hard_sigmoid(const NodeRef& node, Inputs inputs, Execution&) {
  const double alpha = node.attribute("alpha", 0.2F);
  const double beta = node.attribute("beta", 0.5F);
  return {in_float(inputs[0],
                   [&](const at::Tensor& x) { return at::hardtanh(x * alpha + beta, 0, 1); })};
}

std::string gelu_obstacle(const NodeRef& node) {
  const std::string approximate = node.attribute("approximate", "none");
  const bool known = approximate == "none" || approximate == "tanh";
  return known ? "" : "approximation " + approximate + " is not covered";
}

Tensors gelu(const NodeRef& node, Inputs inputs, Execution&) {
  if (const std::string why = gelu_obstacle(node); !why.empty()) refuse(node, why);
  const std::string approximate = node.attribute("approximate", "none");
  return {in_float(inputs[0], [&](const at::Tensor& x) { return at::gelu(x, approximate); })};
}

at::Tensor with_bias(Inputs inputs) {
  return has_input(inputs, 1) ? inputs[0] + inputs[1] : inputs[0];
}

Tensors bias_gelu(const NodeRef&, Inputs inputs, Execution&) {
  return {in_float(with_bias(inputs), [](const at::Tensor& x) { return at::gelu(x); })};
}

Tensors fast_gelu(const NodeRef&, Inputs inputs, Execution&) {
  return {in_float(with_bias(inputs), [](const at::Tensor& x) { return at::gelu(x, "tanh"); })};
}

at::Tensor swish(const at::Tensor& input, double alpha) {
  return in_float(input, [&](const at::Tensor& x) {
    return alpha == 1 ? at::silu(x) : x * at::sigmoid(x * alpha);
  });
}

Tensors quick_gelu(const NodeRef& node, Inputs inputs, Execution&) {
  return {swish(inputs[0], node.attribute("alpha", 1.702F))};
}

Tensors swish(const NodeRef& node, Inputs inputs, Execution&) {
  return {swish(inputs[0], node.attribute("alpha", 1.0F))};
}

/// `function` along the axis of Softmax and its relatives: since opset 13 a dimension; before, all
/// dimensions from the axis on count as one.
template <class Function>
at::Tensor along_axis(const NodeRef& node, const at::Tensor& input, int64_t opset,
                      const Function& function) {
  const bool single = opset >= 13;
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{single ? -1 : 1}),
                                 std::max<int64_t>(input.dim(), 1));
  return in_float(input, [&](const at::Tensor& x) -> at::Tensor {
    if (single || axis == x.dim() - 1) return function(x, axis);
    return function(x.flatten(axis), axis).view_as(x);
  });
}

Tensors softmax(const NodeRef& node, Inputs inputs, Execution& execution) {
  return {along_axis(node, inputs[0], execution.opset,
                     [](const at::Tensor& x, int64_t axis) { return at::softmax(x, axis); })};
}

Tensors log_softmax(const NodeRef& node, Inputs inputs, Execution& execution) {
  return {along_axis(node, inputs[0], execution.opset,
                     [](const at::Tensor& x, int64_t axis) { return at::log_softmax(x, axis); })};
}

Tensors hardmax(const NodeRef& node, Inputs inputs, Execution& execution) {
  return {
      along_axis(node, inputs[0].detach(), execution.opset, [](const at::Tensor& x, int64_t axis) {
        const at::Tensor first = at::argmax(x, axis, true);
        return at::zeros_like(x).scatter_(axis, first, 1);
      })};
}

at::Tensor softsign(const at::Tensor& x) { return x / (x.abs() + 1); }
at::Tensor softplus(const at::Tensor& x) { return at::softplus(x, 1, 20); }

Tensors thresholded_relu(const NodeRef& node, Inputs inputs, Execution&) {
  const double alpha = node.attribute("alpha", 1.0F);
  return {in_float(inputs[0], [&](const at::Tensor& x) { return at::threshold(x, alpha, 0); })};
}

Tensors shrink(const NodeRef& node, Inputs inputs, Execution&) {
  const double lambda = node.attribute("lambd", 0.5F);
  const double bias = node.attribute("bias", 0.0F);
  return {in_float(inputs[0], [&](const at::Tensor& x) {
    const at::Tensor moved = at::where(x < -lambda, x + bias, x - bias);
    return at::where(x.abs() > lambda, moved, at::zeros_like(x));
  })};
}

/// Share of the values that Dropout drops: an attribute before opset 12, an input since.
double dropout_ratio(const NodeRef& node, Inputs inputs, int64_t opset) {
  if (opset < 12) return node.attribute("ratio", 0.5F);
  return has_input(inputs, 1) ? inputs[1].item<double>() : 0.5;
}

/// Drops in training whatever the file says of its mode, which was exported for inference.
Tensors dropout(const NodeRef& node, Inputs inputs, Execution& execution) {
  const at::Tensor& x = inputs[0];
  const double ratio = dropout_ratio(node, inputs, execution.opset);
  const at::ScalarType mask_type = execution.opset < 10 ? x.scalar_type() : at::kBool;
  if (!execution.training || ratio <= 0) return {x, at::ones_like(x, mask_type)};
  c10::optional<at::Generator> generator;
  if (execution.generator.defined()) generator = execution.generator;
  const at::Tensor kept =
      at::empty(x.sizes(), x.options().requires_grad(false)).bernoulli_(1 - ratio, generator);
  if (ratio >= 1) return {x * kept, kept.to(mask_type)};
  return {x * kept * (1 / (1 - ratio)), kept.to(mask_type)};
}

}  // namespace

void add_activation_ops(OpTable& table) {
  table["Relu"] = {unary<at::relu>};
  table["LeakyRelu"] = {leaky_relu};
  table["PRelu"] = {prelu, true, {1}};
  table["Elu"] = {elu};
  table["Selu"] = {selu};
  table["Celu"] = {celu};
  table["Clip"] = {clip};
  table["Sigmoid"] = {unary<at::sigmoid>};
  table["HardSigmoid"] = {hard_sigmoid};
  table["HardSwish"] = {unary<at::hardswish>};
  table["Gelu"] = {.run = gelu, .obstacle = gelu_obstacle};
  table["com.microsoft:Gelu"] = {gelu};
  table["com.microsoft:BiasGelu"] = {bias_gelu, true, {1}};
  table["com.microsoft:FastGelu"] = {fast_gelu, true, {1}};
  table["com.microsoft:QuickGelu"] = {quick_gelu};
  table["Swish"] = {swish};
  table["Softmax"] = {softmax};
  table["LogSoftmax"] = {log_softmax};
  table["Hardmax"] = {hardmax, false};
  table["Tanh"] = {unary<at::tanh>};
  table["Softplus"] = {unary<softplus>};
  table["Softsign"] = {unary<softsign>};
  table["Mish"] = {unary<at::mish>};
  table["ThresholdedRelu"] = {thresholded_relu};
  table["Shrink"] = {shrink};
  table["Erf"] = {unary<at::erf>};
  table["Dropout"] = {dropout};
}

}  // namespace mcompress::train
