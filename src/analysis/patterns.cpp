// SPDX-License-Identifier: Apache-2.0
#include "analysis/patterns.h"

#include <algorithm>
#include <cmath>

namespace mcompress::analysis {
namespace {

bool is_real(DataType type) { return type == DataType::kFloat || type == DataType::kDouble; }

/// The constant's entries along the channel axis of x (one for a constant of one element).
std::optional<std::vector<double>> channel_entries(const ValueRef& constant,
                                                   const ChannelLayout& layout) {
  const Shape shape = constant.constant_shape();
  const int rank = static_cast<int>(shape.size());
  if (layout.rank < 0 ? rank > 1 : rank > layout.rank) return std::nullopt;
  const int x_rank = layout.rank < 0 ? 1 : layout.rank;
  const int axis = layout.rank < 0 ? 0 : layout.axis;
  for (int i = 0; i < rank; ++i) {
    const int64_t size = shape[static_cast<size_t>(i)];
    const bool is_channel = i + x_rank - rank == axis;
    if (size != 1 && !(is_channel && size == layout.channels)) return std::nullopt;
  }
  return read_floats(constant);
}

}  // namespace

NodeRef sole_consumer(const ValueRef& value) {
  if (!is_used_once(value)) return {};
  return value.uses()[0].node;
}

bool is_used_once(const ValueRef& value) {
  if (!value || value.is_graph_output()) return false;
  const std::vector<Use> uses = value.uses();
  return uses.size() == 1 && &uses[0].node.graph() == &value.scope();
}

NodeRef producer_of(const ValueRef& value, std::string_view op) {
  if (!value) return {};
  const NodeRef node = value.producer();
  return node && node.is(op) ? node : NodeRef{};
}

std::optional<std::vector<double>> read_floats(const ValueRef& value) {
  if (!value || !value.is_constant() || !is_real(value.constant_type())) return std::nullopt;
  const std::optional<Tensor> tensor = value.constant();
  if (!tensor) return std::nullopt;
  if (tensor->type() == DataType::kFloat) {
    const auto floats = tensor->as<float>();
    return std::vector<double>(floats.begin(), floats.end());
  }
  const auto doubles = tensor->as<double>();
  return std::vector<double>(doubles.begin(), doubles.end());
}

std::optional<double> read_scalar(const ValueRef& value) {
  if (!value || !value.is_constant() || element_count(value.constant_shape()) != 1) {
    return std::nullopt;
  }
  const auto values = read_floats(value);
  if (!values) return std::nullopt;
  return (*values)[0];
}

std::optional<std::vector<int64_t>> read_integers(const ValueRef& value) {
  if (!value || !value.is_constant()) return std::nullopt;
  const DataType type = value.constant_type();
  if (type != DataType::kInt64 && type != DataType::kInt32) return std::nullopt;
  const std::optional<Tensor> tensor = value.constant();
  if (!tensor) return std::nullopt;
  return tensor->to_int64();
}

Tensor make_floats(DataType type, Shape shape, const std::vector<double>& values) {
  if (type == DataType::kDouble) return Tensor::from(std::move(shape), values);
  std::vector<float> floats(values.size());
  std::transform(values.begin(), values.end(), floats.begin(),
                 [](double v) { return static_cast<float>(v); });
  return Tensor::from(std::move(shape), floats);
}

bool is_close(double a, double b) { return std::abs(a - b) <= 2e-5 * std::abs(b); }

std::optional<ConstantOperand> constant_operand(const NodeRef& node) {
  if (node.input_count() != 2) return std::nullopt;
  const ValueRef a = node.input(0), b = node.input(1);
  if (!a || !b || a.is_constant() == b.is_constant()) return std::nullopt;
  if (b.is_constant()) return ConstantOperand{b, a, 1};
  return ConstantOperand{a, b, 0};
}

bool ChannelAffine::has_shift() const {
  return std::any_of(shift.begin(), shift.end(), [](double v) { return v != 0.0; });
}

bool ChannelAffine::has_scale() const {
  return std::any_of(scale.begin(), scale.end(), [](double v) { return v != 1.0; });
}

std::optional<ChannelAffine> as_affine(const NodeRef& node, const ChannelLayout& layout) {
  if (!node || !node.domain().empty()) return std::nullopt;
  const std::string& op = node.op();
  const bool is_sum = op == "Add" || op == "Sub";
  if (!is_sum && op != "Mul" && op != "Div") return std::nullopt;
  if (node.has_attribute("broadcast")) return std::nullopt;  // opset 6 aligned axes differently
  const auto operand = constant_operand(node);
  if (!operand) return std::nullopt;
  if (op == "Div" && operand->constant_input == 0) return std::nullopt;
  auto values = channel_entries(operand->constant, layout);
  if (!values || values->empty()) return std::nullopt;
  ChannelAffine result;
  if (is_sum) {
    if (op == "Sub" && operand->constant_input == 0) {
      result.scale = {-1.0};
    } else if (op == "Sub") {
      for (double& v : *values) v = -v;
    }
    result.shift = std::move(*values);
  } else {
    if (op == "Div") {
      for (double& v : *values) v = 1.0 / v;
    }
    result.scale = std::move(*values);
  }
  const auto finite = [](double v) { return std::isfinite(v); };
  if (!std::all_of(result.scale.begin(), result.scale.end(), finite) ||
      !std::all_of(result.shift.begin(), result.shift.end(), finite)) {
    return std::nullopt;
  }
  return result;
}

void take_over(const NodeRef& heir, const ValueRef& old) {
  const NodeRef former = old.producer();
  heir.graph().supersede(old, heir.output(0));
  erase_unread(former);
}

void erase_unread(NodeRef node) {
  if (!node || !node.alive()) return;
  for (int i = 0; i < node.output_count(); ++i) {
    const ValueRef output = node.output(i);
    if (output && (output.is_graph_output() || !output.uses().empty())) return;
  }
  std::vector<NodeRef> feeders;
  std::vector<std::string> constants;
  for (int i = 0; i < node.input_count(); ++i) {
    const ValueRef input = node.input(i);
    if (!input || &input.scope() != &node.graph()) continue;
    const NodeRef producer = input.producer();
    if (producer) {
      if (std::find(feeders.begin(), feeders.end(), producer) == feeders.end()) {
        feeders.push_back(producer);
      }
    } else if (input.is_constant()) {
      constants.push_back(input.name());
    }
  }
  Graph& graph = node.graph();
  graph.erase(node);
  for (const NodeRef& feeder : feeders) erase_unread(feeder);
  for (const std::string& name : constants) {
    const ValueRef constant = graph.find(name);
    if (constant && &constant.scope() == &graph && constant.is_constant() &&
        !constant.is_graph_output() && constant.uses().empty()) {
      graph.erase_initializer(name);
    }
  }
}

}  // namespace mcompress::analysis
