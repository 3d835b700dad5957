// SPDX-License-Identifier: Apache-2.0
#include "train/op.h"
#include "train/ops/arguments.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

/// The second input of an operator of two, aligned at `axis` where an operator set below 7 says so.
at::Tensor aligned(const NodeRef& node, Inputs inputs) {
  const at::Tensor& a = inputs[0];
  at::Tensor b = inputs[1];
  if (!node.has_attribute("axis") || node.attribute("broadcast", int64_t{0}) == 0) return b;
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{0}), a.dim());
  while (b.dim() + axis < a.dim()) b = b.unsqueeze(-1);
  return b;
}

template <at::Tensor (*function)(const at::Tensor&, const at::Tensor&)>
Tensors binary(const NodeRef& node, Inputs inputs, Execution&) {
  return {function(inputs[0], aligned(node, inputs))};
}

at::Tensor add(const at::Tensor& a, const at::Tensor& b) { return at::add(a, b); }
at::Tensor sub(const at::Tensor& a, const at::Tensor& b) { return at::sub(a, b); }

at::Tensor div(const at::Tensor& a, const at::Tensor& b) {
  return at::isFloatingType(a.scalar_type()) ? at::div(a, b) : at::div(a, b, "trunc");
}

at::Tensor pow(const at::Tensor& a, const at::Tensor& b) {
  const at::ScalarType type = a.scalar_type();
  const bool plain = b.numel() == 1 && b.dim() <= a.dim() && !b.requires_grad();
  if (plain && at::isFloatingType(type) && !is_short_float(a)) return at::pow(a, b.item());
  if (type == b.scalar_type() && !is_short_float(a)) return at::pow(a, b);
  return at::pow(a.to(at::kDouble), b.to(at::kDouble)).to(type);
}

Tensors mod(const NodeRef& node, Inputs inputs, Execution&) {
  const auto function = [&](const at::Tensor& a) {
    const at::Tensor b = inputs[1].to(a.scalar_type());
    return node.attribute("fmod", int64_t{0}) != 0 ? at::fmod(a, b) : at::remainder(a, b);
  };
  return {in_float(inputs[0], function)};
}

Tensors bit_shift(const NodeRef& node, Inputs inputs, Execution&) {
  const bool left = node.attribute("direction", "") == "LEFT";
  return {left ? at::bitwise_left_shift(inputs[0], inputs[1])
               : at::bitwise_right_shift(inputs[0], inputs[1])};
}

template <at::Tensor (*function)(const at::Tensor&, const at::Tensor&)>
at::Tensor folded(Inputs inputs) {
  at::Tensor result = inputs[0];
  for (const at::Tensor& next : inputs.subspan(1)) result = function(result, next);
  return result;
}

template <at::Tensor (*function)(const at::Tensor&, const at::Tensor&)>
Tensors variadic(const NodeRef&, Inputs inputs, Execution&) {
  return {folded<function>(inputs)};
}

Tensors mean(const NodeRef&, Inputs inputs, Execution&) {
  return {folded<add>(inputs) / static_cast<double>(inputs.size())};
}

Tensors is_infinite(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const bool below = node.attribute("detect_negative", int64_t{1}) != 0;
  const bool above = node.attribute("detect_positive", int64_t{1}) != 0;
  const at::Tensor infinite = at::isinf(x);
  if (below && above) return {infinite};
  if (!below && !above) return {at::zeros_like(infinite)};
  return {at::logical_and(infinite, below ? x < 0 : x > 0)};
}

Tensors where(const NodeRef&, Inputs inputs, Execution&) {
  return {at::where(inputs[0], inputs[1], inputs[2])};
}

DataType cast_type(const NodeRef& node) {
  return static_cast<DataType>(node.attribute("to", int64_t{0}));
}

std::string cast_obstacle(const NodeRef& node) {
  try {
    torch_type(cast_type(node));
    return "";
  } catch (const Error& error) {
    return error.message();
  }
}

Tensors cast(const NodeRef& node, Inputs inputs, Execution&) {
  if (const std::string why = cast_obstacle(node); !why.empty()) refuse(node, why);
  return {inputs[0].to(torch_type(cast_type(node)))};
}

Tensors cast_like(const NodeRef&, Inputs inputs, Execution&) {
  return {inputs[0].to(inputs[1].scalar_type())};
}

void add_functions(OpTable& table) {
  table["Sqrt"] = {unary<at::sqrt>};
  table["Exp"] = {unary<at::exp>};
  table["Log"] = {unary<at::log>};
  table["Abs"] = {unary<at::abs>};
  table["Neg"] = {unary<at::neg>};
  table["Reciprocal"] = {unary<at::reciprocal>};
  table["Sin"] = {unary<at::sin>};
  table["Cos"] = {unary<at::cos>};
  table["Tan"] = {unary<at::tan>};
  table["Asin"] = {unary<at::asin>};
  table["Acos"] = {unary<at::acos>};
  table["Atan"] = {unary<at::atan>};
  table["Sinh"] = {unary<at::sinh>};
  table["Cosh"] = {unary<at::cosh>};
  table["Asinh"] = {unary<at::asinh>};
  table["Acosh"] = {unary<at::acosh>};
  table["Atanh"] = {unary<at::atanh>};
  // Their derivative is zero wherever there is one.
  table["Floor"] = {unary<at::floor>, false};
  table["Ceil"] = {unary<at::ceil>, false};
  table["Round"] = {unary<at::round>, false};
  table["Sign"] = {unary<at::sign>, false};
  table["IsNaN"] = {unary<at::isnan>, false};
  table["IsInf"] = {is_infinite, false};
}

void add_logic(OpTable& table) {
  table["Not"] = {unary<at::logical_not>, false};
  table["And"] = {binary<at::logical_and>, false};
  table["Or"] = {binary<at::logical_or>, false};
  table["Xor"] = {binary<at::logical_xor>, false};
  table["BitwiseNot"] = {unary<at::bitwise_not>, false};
  table["BitwiseAnd"] = {binary<at::bitwise_and>, false};
  table["BitwiseOr"] = {binary<at::bitwise_or>, false};
  table["BitwiseXor"] = {binary<at::bitwise_xor>, false};
  table["BitShift"] = {bit_shift, false};
  table["Equal"] = {binary<at::eq>, false};
  table["Less"] = {binary<at::lt>, false};
  table["LessOrEqual"] = {binary<at::le>, false};
  table["Greater"] = {binary<at::gt>, false};
  table["GreaterOrEqual"] = {binary<at::ge>, false};
}

}  // namespace

void add_elementwise_ops(OpTable& table) {
  table["Add"] = {binary<add>, true, {0, 1}};
  table["Sub"] = {binary<sub>, true, {0, 1}};
  table["Mul"] = {binary<at::mul>, true, {0, 1}};
  table["Div"] = {binary<div>, true, {0, 1}};
  table["Pow"] = {binary<pow>, true, {0}};
  table["Mod"] = {mod};
  table["Min"] = {variadic<at::minimum>, true, {0, 1}};
  table["Max"] = {variadic<at::maximum>, true, {0, 1}};
  table["Sum"] = {variadic<add>, true, {0, 1}};
  table["Mean"] = {mean, true, {0, 1}};
  table["Where"] = {where, true, {1, 2}};
  table["Cast"] = {.run = cast, .obstacle = cast_obstacle};
  table["CastLike"] = {cast_like};
  add_functions(table);
  add_logic(table);
}

}  // namespace mcompress::train
