// SPDX-License-Identifier: Apache-2.0
#include "forms/quantized_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "forms/encodings.h"

namespace mcompress::forms {
namespace {

constexpr auto kToFloat = static_cast<int64_t>(DataType::kFloat);

bool is_code_type(DataType type) {
  switch (type) {
    case DataType::kInt8:
    case DataType::kUint8:
    case DataType::kInt16:
    case DataType::kUint16:
    case DataType::kInt32:
    case DataType::kInt4:
    case DataType::kUint4:
    case DataType::kInt2:
    case DataType::kUint2: return true;
    default: return false;
  }
}

int64_t wrap_axis(int64_t axis, size_t rank) {
  return axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
}

/// Index into the scales for element `i` of a tensor.
class ScaleIndex {
 public:
  ScaleIndex(const Shape& shape, const Shape& scales, int64_t axis, int64_t block) : block_(block) {
    if (element_count(scales) == 1) return;
    const auto at = static_cast<size_t>(axis);
    for (size_t d = at + 1; d < shape.size(); ++d) inner_ *= shape[d];
    size_ = shape[at];
    blocks_ = block > 0 ? (size_ + block - 1) / block : size_;
    blocked_ = block > 0;
    single_ = false;
  }
  size_t operator()(int64_t i) const {
    if (single_) return 0;
    const int64_t position = i / inner_ % size_;
    if (!blocked_) return static_cast<size_t>(position);
    const int64_t outer = i / (inner_ * size_);
    return static_cast<size_t>((outer * blocks_ + position / block_) * inner_ + i % inner_);
  }

 private:
  bool single_ = true;
  bool blocked_ = false;
  int64_t block_;
  int64_t inner_ = 1, size_ = 1, blocks_ = 1;
};

bool fits(const Shape& shape, const Shape& scales, int64_t axis, int64_t block) {
  if (block == 0 && element_count(scales) == 1 && scales.size() <= 1) return true;
  if (axis < 0 || axis >= static_cast<int64_t>(shape.size())) return false;
  const int64_t size = shape[static_cast<size_t>(axis)];
  if (block == 0) return scales.size() == 1 && scales[0] == size;
  Shape expected = shape;
  expected[static_cast<size_t>(axis)] = (size + block - 1) / block;
  return scales == expected;
}

/// Where the parts of a quantized form are.
struct Parts {
  FormKind kind = FormKind::kDequantize;
  NodeRef last;        ///< DequantizeLinear or Mul
  NodeRef cast;        ///< of a scaled form
  ValueRef codes, scales, zero_points;
  std::optional<StoredForm> encoded;  ///< codes behind an encoding
  DataType code_type = DataType::kInt8;
  Shape shape;
  int axis = 0;
  int64_t block = 0;
};

bool match_codes_value(const ValueRef& value, Parts& parts) {
  parts.codes = value;
  if (value.is_constant()) {
    parts.code_type = value.constant_type();
    parts.shape = value.constant_shape();
    return is_code_type(parts.code_type);
  }
  parts.encoded = recognise(value);
  if (!parts.encoded || !is_code_type(parts.encoded->type)) return false;
  parts.code_type = parts.encoded->type;
  parts.shape = parts.encoded->shape;
  return true;
}

std::optional<Parts> dequantize_parts(const ValueRef& end) {
  Parts parts;
  parts.last = end.producer();
  if (!is_op(parts.last, "DequantizeLinear")) return std::nullopt;
  parts.scales = parts.last.input(1);
  parts.zero_points = parts.last.input(2);
  if (!parts.scales.is_constant() || parts.scales.constant_type() != DataType::kFloat) {
    return std::nullopt;
  }
  const int64_t output = parts.last.attribute("output_dtype", int64_t{0});
  if (output != 0 && output != kToFloat) return std::nullopt;
  if (!match_codes_value(parts.last.input(0), parts)) return std::nullopt;
  parts.block = parts.last.attribute("block_size", int64_t{0});
  parts.axis = static_cast<int>(
      wrap_axis(parts.last.attribute("axis", int64_t{1}), parts.shape.size()));
  const Shape scales = parts.scales.constant_shape();
  if (!fits(parts.shape, scales, parts.axis, parts.block)) return std::nullopt;
  if (parts.zero_points) {
    if (!parts.zero_points.is_constant()) return std::nullopt;
    if (parts.zero_points.constant_type() != parts.code_type) return std::nullopt;
    if (element_count(parts.zero_points.constant_shape()) != element_count(scales)) {
      return std::nullopt;
    }
  }
  return parts;
}

/// Scales of a Mul: as many dimensions of 1 around one axis as broadcasting needs. Sets the axis.
bool match_broadcast(const Shape& scales, Parts& parts) {
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

std::optional<Parts> scaled_parts(const ValueRef& end) {
  Parts parts;
  parts.kind = FormKind::kScaled;
  parts.last = end.producer();
  if (!is_op(parts.last, "Mul")) return std::nullopt;
  for (const int cast_input : {0, 1}) {
    parts.cast = parts.last.input(cast_input).producer();
    parts.scales = parts.last.input(1 - cast_input);
    if (!is_op(parts.cast, "Cast") || parts.cast.attribute("to", int64_t{0}) != kToFloat) continue;
    if (!parts.scales.is_constant() || parts.scales.constant_type() != DataType::kFloat) continue;
    if (!match_codes_value(parts.cast.input(0), parts)) continue;
    if (match_broadcast(parts.scales.constant_shape(), parts)) return parts;
  }
  return std::nullopt;
}

QuantizedWeight read(const Parts& parts) {
  QuantizedWeight weight;
  weight.codes = parts.encoded ? parts.encoded->decode() : *parts.codes.constant();
  weight.scales = *parts.scales.constant();
  if (parts.kind == FormKind::kScaled) {
    const int64_t count = weight.scales.count();
    weight.scales = weight.scales.reshaped(count == 1 ? Shape{} : Shape{count});
  }
  if (parts.zero_points) weight.zero_points = parts.zero_points.constant();
  weight.axis = parts.axis;
  weight.block = parts.block;
  return weight;
}

StoredForm to_form(const ValueRef& end, const Parts& parts) {
  Trail trail;
  trail.add(parts.last);
  if (parts.cast) trail.add(parts.cast);
  if (parts.encoded) {
    for (const NodeRef& n : parts.encoded->nodes) trail.add(n);
    for (const ValueRef& c : parts.encoded->constants) trail.add(c);
  } else {
    trail.add(parts.codes);
  }
  trail.add(parts.scales);
  if (parts.zero_points) trail.add(parts.zero_points);
  StoredForm form =
      finish_form(parts.kind, end, DataType::kFloat, parts.shape, std::move(trail));
  if (parts.encoded) form.inner = parts.encoded->kind;
  form.decode = [parts] { return read(parts).dequantized(); };
  return form;
}

bool all_zero(const Tensor& tensor) {
  for (const int64_t v : tensor.to_int64()) {
    if (v != 0) return false;
  }
  return true;
}

}  // namespace

Tensor QuantizedWeight::dequantized() const {
  if (!fits(codes.shape(), scales.shape(), axis, block)) {
    throw Error(ErrorCode::kModel, fmt::format("scales {} do not fit codes {} along axis {}",
                                               to_string(scales.shape()), to_string(codes.shape()),
                                               axis));
  }
  Tensor result(DataType::kFloat, codes.shape());
  const std::span<float> out = result.mutate_as<float>();
  const std::span<const float> scale = scales.as<float>();
  const std::vector<int64_t> zero =
      zero_points ? zero_points->to_int64() : std::vector<int64_t>(scale.size(), 0);
  const std::vector<int64_t> q = codes.to_int64();
  const ScaleIndex index(codes.shape(), scales.shape(), axis, block);
  for (size_t i = 0; i < q.size(); ++i) {
    const size_t s = index(static_cast<int64_t>(i));
    out[i] = static_cast<float>(q[i] - zero[s]) * scale[s];
  }
  return result;
}

int64_t dequantize_opset(const QuantizedWeight& weight) {
  if (weight.block > 0 || data_type_bits(weight.codes.type()) < 8) return 21;
  return weight.scales.count() > 1 ? 13 : 10;
}

ValueRef emit_dequantize(Graph& graph, const ValueRef& codes, const ValueRef& scales,
                         const ValueRef& zero_points, int axis, int64_t block, bool per_tensor,
                         NodeRef before) {
  NodeSpec spec;
  spec.op = "DequantizeLinear";
  spec.inputs = {codes, scales};
  if (zero_points) spec.inputs.push_back(zero_points);
  if (!per_tensor && axis != 1) spec.attributes.push_back({"axis", int64_t{axis}});
  if (block > 0) spec.attributes.push_back({"block_size", block});
  return graph.insert(std::move(spec), before).output();
}

ValueRef emit_dequantize(Graph& graph, std::string_view hint, const QuantizedWeight& weight,
                         NodeRef before) {
  const std::string name(hint);
  const ValueRef codes = graph.add_constant(name + "_q", weight.codes);
  const ValueRef scales = graph.add_constant(name + "_s", weight.scales);
  ValueRef zero_points;
  if (weight.zero_points) zero_points = graph.add_constant(name + "_z", *weight.zero_points);
  return emit_dequantize(graph, codes, scales, zero_points, weight.axis, weight.block,
                         weight.scales.count() == 1 && weight.block == 0, before);
}

ValueRef emit_scaled(Graph& graph, std::string_view hint, const QuantizedWeight& weight,
                     NodeRef before) {
  if (weight.block > 0 || (weight.zero_points && !all_zero(*weight.zero_points))) {
    throw Error(ErrorCode::kBug, fmt::format("{}: a scaled weight has neither blocks nor zero points",
                                             hint));
  }
  const std::string name(hint);
  Shape broadcast;
  if (weight.scales.count() > 1) {
    broadcast.assign(weight.codes.shape().size() - static_cast<size_t>(weight.axis), 1);
    broadcast.front() = weight.scales.count();
  }
  NodeSpec cast;
  cast.op = "Cast";
  cast.inputs = {graph.add_constant(name + "_q", weight.codes)};
  cast.attributes = {{"to", kToFloat}};
  const ValueRef wide = graph.insert(std::move(cast), before).output();
  NodeSpec mul;
  mul.op = "Mul";
  mul.inputs = {wide, graph.add_constant(name + "_s", weight.scales.reshaped(broadcast))};
  return graph.insert(std::move(mul), before).output();
}

std::optional<StoredForm> match_dequantize(const ValueRef& end) {
  const auto parts = dequantize_parts(end);
  if (!parts) return std::nullopt;
  return to_form(end, *parts);
}

std::optional<StoredForm> match_scaled(const ValueRef& end) {
  const auto parts = scaled_parts(end);
  if (!parts) return std::nullopt;
  return to_form(end, *parts);
}

std::optional<QuantizedWeight> quantized_weight(const ValueRef& end) {
  if (const auto parts = dequantize_parts(end)) return read(*parts);
  if (const auto parts = scaled_parts(end)) return read(*parts);
  return std::nullopt;
}

ValueRef quantized_codes(const ValueRef& end) {
  if (const auto parts = dequantize_parts(end)) return parts->codes;
  if (const auto parts = scaled_parts(end)) return parts->codes;
  return {};
}

}  // namespace mcompress::forms
