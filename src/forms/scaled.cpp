// SPDX-License-Identifier: Apache-2.0
// Integers that fold to float at load: [Reshape](Mul([Mul](Sub(Cast(codes), zero points), scales))).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "forms/encodings.h"
#include "forms/nodes.h"
#include "forms/quantized_parts.h"

namespace mcompress::forms {
namespace {

constexpr auto kToFloat = static_cast<int64_t>(DataType::kFloat);

bool all_zero(const Tensor& tensor) {
  for (const int64_t v : tensor.to_int64()) {
    if (v != 0) return false;
  }
  return true;
}

/// The codes with an axis of its own for what is in a block.
Shape blocked_shape(Shape codes, int axis, int64_t block) {
  if (block == 0) return codes;
  codes[static_cast<size_t>(axis)] /= block;
  codes.insert(codes.begin() + axis + 1, block);
  return codes;
}

Shape blocked_shape(const QuantizedWeight& weight) {
  return blocked_shape(weight.codes.shape(), weight.axis, weight.block);
}

/// Dimensions with which scales broadcast against blocked_shape.
Shape broadcast_shape(const QuantizedWeight& weight) {
  if (weight.block > 0) {
    Shape shape = blocked_shape(weight);
    shape[static_cast<size_t>(weight.axis) + 1] = 1;
    return shape;
  }
  if (weight.scales.count() == 1) return {};
  Shape shape(weight.codes.shape().size() - static_cast<size_t>(weight.axis), 1);
  shape.front() = weight.scales.count();
  return shape;
}

int input_axis(int axis, int64_t block) { return block > 0 ? axis : 1 - axis; }

/// Dimensions with which input scales do: all of the codes but the outputs.
Shape input_shape(const Shape& codes, int axis, int64_t block) {
  Shape matrix = codes;
  matrix[static_cast<size_t>(1 - input_axis(axis, block))] = 1;
  return blocked_shape(matrix, axis, block);
}

void check(const QuantizedWeight& weight, std::string_view hint) {
  const auto axis = static_cast<size_t>(weight.axis);
  const bool whole = weight.block == 0 || weight.codes.shape()[axis] % weight.block == 0;
  const bool matrix = !weight.input_scales || weight.codes.shape().size() == 2;
  if (whole && matrix) return;
  throw Error(ErrorCode::kBug,
              fmt::format("{}: a scaled weight has whole blocks, and input scales as a matrix", hint));
}

/// Scales of a Mul: as many dimensions of 1 around one axis as broadcasting needs. Sets the axis.
bool match_channels(const Shape& scales, Parts& parts) {
  if (scales.size() > parts.shape.size()) return false;
  const size_t shift = parts.shape.size() - scales.size();
  int found = -1;
  for (size_t d = 0; d < scales.size(); ++d) {
    if (scales[d] == 1) continue;
    if (scales[d] != parts.shape[d + shift] || found >= 0) return false;
    found = static_cast<int>(d + shift);
  }
  parts.axis = std::max(found, 0);
  return true;
}

/// Scales that are the same along one dimension only: the blocks, which the one before it counts.
bool match_blocks(const Shape& scales, Parts& parts) {
  if (scales.size() != parts.shape.size()) return false;
  size_t found = 0;
  for (size_t d = 0; d < scales.size(); ++d) {
    if (scales[d] == parts.shape[d]) continue;
    if (scales[d] != 1 || found > 0 || d == 0) return false;
    found = d;
  }
  if (found == 0) return false;
  parts.axis = static_cast<int>(found) - 1;
  parts.block = parts.shape[found];
  parts.shape[found - 1] *= parts.block;
  parts.shape.erase(parts.shape.begin() + static_cast<int64_t>(found));
  return true;
}

bool is_float_constant(const ValueRef& value) {
  return value && value.is_constant() && value.constant_type() == DataType::kFloat;
}

/// A Mul by a constant: the other input, and the constant.
std::optional<std::pair<ValueRef, ValueRef>> match_factor(const NodeRef& mul) {
  if (!is_op(mul, "Mul")) return std::nullopt;
  for (const int at : {0, 1}) {
    const ValueRef other = mul.input(at), factor = mul.input(1 - at);
    if (is_float_constant(factor) && other && !other.is_constant()) return std::pair(other, factor);
  }
  return std::nullopt;
}

/// [Sub] and Cast above the codes.
bool match_integers(ValueRef value, const Shape& scales, Parts& parts) {
  NodeRef node = value.producer();
  if (is_op(node, "Sub")) {
    parts.zero_points = node.input(1);
    if (!is_float_constant(parts.zero_points)) return false;
    if (parts.zero_points.constant_shape() != scales) return false;
    parts.nodes.push_back(node);
    node = node.input(0).producer();
  }
  if (!is_op(node, "Cast") || node.attribute("to", int64_t{0}) != kToFloat) return false;
  parts.nodes.push_back(node);
  return match_codes_value(node.input(0), parts);
}

/// Below an optional Reshape: `outer` is the Mul at the end.
bool match_products(const NodeRef& outer, Parts& parts) {
  const auto last = match_factor(outer);
  if (!last) return false;
  parts.nodes.push_back(outer);
  const auto inner = match_factor(last->first.producer());
  parts.scales = inner ? inner->second : last->second;
  if (inner) parts.nodes.push_back(last->first.producer());
  const Shape scales = parts.scales.constant_shape();
  if (!match_integers(inner ? inner->first : last->first, scales, parts)) return false;
  if (!match_channels(scales, parts) && !match_blocks(scales, parts)) return false;
  if (!inner) return true;
  parts.input_scales = last->second;
  return parts.shape.size() == 2 && last->second.constant_shape() ==
                                        input_shape(parts.shape, parts.axis, parts.block);
}

}  // namespace

int QuantizedWeight::input_axis() const { return forms::input_axis(axis, block); }

std::optional<Parts> scaled_parts(const ValueRef& end) {
  Parts parts;
  parts.kind = FormKind::kScaled;
  NodeRef node = end.producer();
  std::optional<std::vector<int64_t>> target;
  if (is_op(node, "Reshape") && node.attribute("allowzero", int64_t{0}) == 0) {
    target = small_integers(node.input(1));
    if (!target || !node.input(0)) return std::nullopt;
    parts.target = node.input(1);
    parts.nodes.push_back(node);
    node = node.input(0).producer();
  }
  if (!match_products(node, parts)) return std::nullopt;
  parts.result = parts.shape;
  if (!target) return parts.block == 0 ? std::optional(parts) : std::nullopt;
  parts.result = *target;
  const bool whole = std::all_of(target->begin(), target->end(), [](int64_t d) { return d > 0; });
  if (!whole || element_count(*target) != element_count(parts.shape)) return std::nullopt;
  return parts;
}

ValueRef emit_scaled(Graph& graph, std::string_view hint, const QuantizedWeight& weight,
                     NodeRef before) {
  const ValueRef codes =
      graph.add_constant(std::string(hint) + "_q", weight.codes.reshaped(blocked_shape(weight)));
  return emit_scaled(graph, hint, codes, weight, before);
}

ValueRef emit_scaled(Graph& graph, std::string_view hint, const ValueRef& codes,
                     const QuantizedWeight& weight, NodeRef before) {
  check(weight, hint);
  const std::string name(hint);
  const Shape broadcast = broadcast_shape(weight);
  ValueRef value = insert_op(graph, "Cast", {codes}, before, {{"to", kToFloat}});
  if (weight.zero_points && !all_zero(*weight.zero_points)) {
    const Tensor zero = weight.zero_points->cast(DataType::kFloat).reshaped(broadcast);
    value = insert_op(graph, "Sub", {value, graph.add_constant(name + "_z", zero)}, before);
  }
  const ValueRef scales = graph.add_constant(name + "_s", weight.scales.reshaped(broadcast));
  value = insert_op(graph, "Mul", {value, scales}, before);
  if (weight.input_scales) {
    const Tensor factors = weight.input_scales->reshaped(
        input_shape(weight.codes.shape(), weight.axis, weight.block));
    value = insert_op(graph, "Mul", {value, graph.add_constant(name + "_i", factors)}, before);
  }
  const Shape result = weight.shape.empty() ? weight.codes.shape() : weight.shape;
  if (result == blocked_shape(weight)) return value;
  const Tensor target = Tensor::from({static_cast<int64_t>(result.size())}, result);
  return insert_op(graph, "Reshape", {value, graph.add_constant(name + "_d", target)}, before);
}

ValueRef emit_packed(Emitter& emitter, std::string_view hint, const QuantizedWeight& weight,
                     int bits, NodeRef before) {
  Graph& graph = emitter.graph();
  const Tensor codes = weight.codes.reshaped(blocked_shape(weight));
  const int64_t opset = graph.model().opset();
  if (bits == 4 && opset >= 21) {
    const Tensor packed = codes.cast(weight.zero_points ? DataType::kUint4 : DataType::kInt4);
    return emit_scaled(graph, hint, graph.add_constant(std::string(hint) + "_q", packed), weight,
                       before);
  }
  const uint64_t plain = initializer_bytes(codes.type(), codes.shape(), hint.size());
  const auto choice = smallest_encoding(examine(codes), emitter, hint.size(),
                                        {.opset = opset, .forms = {FormKind::kCodes}}, plain);
  if (!choice) return emit_scaled(graph, hint, weight, before);
  return emit_scaled(graph, hint, emitter.emit(choice->encoding.chain), weight, before);
}

}  // namespace mcompress::forms
