// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "train/op.h"
#include "train/ops/arguments.h"

namespace mcompress::train {
namespace {

using Axes = std::vector<int64_t>;

/// All axes where none are named; nothing where that leaves the input as it is.
std::optional<Axes> reduced_axes(const NodeRef& node, Inputs inputs) {
  Axes axes = integers_of(node, inputs, 1, "axes").value_or(Axes{});
  const int64_t rank = inputs[0].dim();
  if (axes.empty()) {
    if (node.attribute("noop_with_empty_axes", int64_t{0}) != 0) return std::nullopt;
    axes.resize(static_cast<size_t>(rank));
    std::iota(axes.begin(), axes.end(), 0);
  }
  return wrap_axes(node, axes, rank);
}

/// A Reduce operator: `function(x, axes, keep)`, in float for 16 bits.
template <at::Tensor (*function)(const at::Tensor&, const Axes&, bool)>
Tensors reduce(const NodeRef& node, Inputs inputs, Execution&) {
  const std::optional<Axes> axes = reduced_axes(node, inputs);
  if (!axes || inputs[0].dim() == 0) {
    // Of one value, too: L2 is the absolute value, SumSquare the square.
    const at::Tensor one = inputs[0].unsqueeze(-1);
    return {in_float(one, [](const at::Tensor& x) { return function(x, {x.dim() - 1}, false); })};
  }
  const bool keep = node.attribute("keepdims", int64_t{1}) != 0;
  return {in_float(inputs[0], [&](const at::Tensor& x) { return function(x, *axes, keep); })};
}

bool is_float(const at::Tensor& x) { return at::isFloatingType(x.scalar_type()); }

at::Tensor sum(const at::Tensor& x, const Axes& axes, bool keep) {
  return at::sum(x, axes, keep, x.scalar_type());
}

at::Tensor mean(const at::Tensor& x, const Axes& axes, bool keep) {
  if (is_float(x)) return at::mean(x, axes, keep);
  int64_t count = 1;
  for (const int64_t axis : axes) count *= x.size(axis);
  return at::div(sum(x, axes, keep), count, "trunc").to(x.scalar_type());
}

at::Tensor largest(const at::Tensor& x, const Axes& axes, bool keep) {
  return at::amax(x, axes, keep);
}
at::Tensor smallest(const at::Tensor& x, const Axes& axes, bool keep) {
  return at::amin(x, axes, keep);
}

at::Tensor product(const at::Tensor& x, const Axes& axes, bool keep) {
  Axes order = axes;
  std::sort(order.rbegin(), order.rend());  // the last first: earlier axes keep their number
  at::Tensor result = x;
  for (const int64_t axis : order) result = at::prod(result, axis, keep, x.scalar_type());
  return result;
}

at::Tensor l1(const at::Tensor& x, const Axes& axes, bool keep) {
  return sum(at::abs(x), axes, keep);
}

/// The norm's own gradient is 0 and not NaN at 0.
at::Tensor l2(const at::Tensor& x, const Axes& axes, bool keep) {
  const at::Tensor real = is_float(x) ? x : x.to(at::kDouble);
  return at::linalg_vector_norm(real, 2, axes, keep).to(x.scalar_type());
}

at::Tensor sum_of_squares(const at::Tensor& x, const Axes& axes, bool keep) {
  return sum(x * x, axes, keep);
}

at::Tensor log_sum(const at::Tensor& x, const Axes& axes, bool keep) {
  return at::log(sum(is_float(x) ? x : x.to(at::kDouble), axes, keep)).to(x.scalar_type());
}

at::Tensor log_sum_exp(const at::Tensor& x, const Axes& axes, bool keep) {
  return at::logsumexp(is_float(x) ? x : x.to(at::kDouble), axes, keep).to(x.scalar_type());
}

template <at::Tensor (*function)(const at::Tensor&, c10::optional<int64_t>, bool)>
Tensors arg(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor x = is_short_float(inputs[0]) ? inputs[0].to(at::kFloat) : inputs[0];
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{0}), x.dim());
  const bool keep = node.attribute("keepdims", int64_t{1}) != 0;
  if (node.attribute("select_last_index", int64_t{0}) == 0) return {function(x, axis, keep)};
  return {x.size(axis) - 1 - function(x.flip(axis), axis, keep)};
}

Tensors cumulative_sum(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t axis = wrap_axis(node, integers(inputs[1]).at(0), x.dim());
  const bool reverse = node.attribute("reverse", int64_t{0}) != 0;
  at::Tensor sums = reverse ? x.flip(axis) : x;
  sums = at::cumsum(sums, axis, x.scalar_type());
  if (node.attribute("exclusive", int64_t{0}) != 0) {
    const at::Tensor none =
        at::zeros_like(sums.narrow(axis, 0, std::min<int64_t>(x.size(axis), 1)));
    sums = at::cat({none, sums.narrow(axis, 0, std::max<int64_t>(x.size(axis) - 1, 0))}, axis);
  }
  return {reverse ? sums.flip(axis) : sums};
}

/// Of equal values the one with the lower index comes first.
Tensors top_k(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t count =
      has_input(inputs, 1) ? integers(inputs[1]).at(0) : node.attribute("k", int64_t{1});
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{-1}), x.dim());
  const bool descending = node.attribute("largest", int64_t{1}) != 0;
  const auto [values, indices] = at::sort(x, true, axis, descending);
  return {values.narrow(axis, 0, count), indices.narrow(axis, 0, count)};
}

}  // namespace

void add_reduction_ops(OpTable& table) {
  table["ReduceSum"] = {reduce<sum>};
  table["ReduceMean"] = {reduce<mean>};
  table["ReduceMax"] = {reduce<largest>};
  table["ReduceMin"] = {reduce<smallest>};
  table["ReduceProd"] = {reduce<product>};
  table["ReduceL1"] = {reduce<l1>};
  table["ReduceL2"] = {reduce<l2>};
  table["ReduceSumSquare"] = {reduce<sum_of_squares>};
  table["ReduceLogSum"] = {reduce<log_sum>};
  table["ReduceLogSumExp"] = {reduce<log_sum_exp>};
  table["ArgMax"] = {arg<at::argmax>, false};
  table["ArgMin"] = {arg<at::argmin>, false};
  table["CumSum"] = {cumulative_sum};
  table["TopK"] = {top_k};
}

}  // namespace mcompress::train
