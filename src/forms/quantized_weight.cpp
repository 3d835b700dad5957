// SPDX-License-Identifier: Apache-2.0
#include "forms/quantized_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "forms/encodings.h"
#include "forms/quantized_parts.h"
#include "numerics/weight_quantize.h"
#include "support/parallel_for.h"

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

/// Of int8 or float.
Tensor transposed(const Tensor& matrix) {
  const int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  Tensor result(matrix.type(), {columns, rows});
  const auto turn = [&](auto from, auto to) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        to[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * columns + c)];
      }
    }
  };
  if (matrix.type() == DataType::kFloat) {
    turn(matrix.as<float>(), result.mutate_as<float>());
  } else {
    turn(matrix.as<int8_t>(), result.mutate_as<int8_t>());
  }
  return result;
}

void multiply_inputs(const QuantizedWeight& weight, std::span<float> values) {
  const std::span<const float> factors = weight.input_scales->as<float>();
  const auto columns = static_cast<size_t>(weight.codes.shape()[1]);
  const bool rows = weight.input_axis() == 0;
  for (size_t i = 0; i < values.size(); ++i) values[i] *= factors[rows ? i / columns : i % columns];
}

/// One scale for each channel, or one for all.
template <class T>
void fill_by_channel(const QuantizedWeight& weight, std::span<const T> codes,
                     std::span<const int64_t> zero_points, std::span<float> out) {
  constexpr int64_t kTaskElements = int64_t{1} << 18;
  const std::span<const float> scales = weight.scales.as<float>();
  const auto layout = scales.size() == 1
                          ? numerics::ChannelLayout{1, 1, weight.codes.count()}
                          : numerics::channel_layout(weight.codes.shape(), weight.axis);
  const auto put = [&](size_t at, size_t channel) {
    out[at] = static_cast<float>(codes[at] - zero_points[channel]) * scales[channel];
  };
  const int64_t size = layout.channels * layout.inner;
  parallel_for(0, layout.outer, std::max<int64_t>(1, kTaskElements / std::max<int64_t>(size, 1)),
               [&](int64_t first, int64_t last) {
                 auto at = static_cast<size_t>(first * size);
                 for (int64_t outer = first; outer < last; ++outer) {
                   for (size_t channel = 0; channel < scales.size(); ++channel) {
                     for (int64_t i = 0; i < layout.inner; ++i) put(at++, channel);
                   }
                 }
               });
}

bool fits(const Shape& shape, const Shape& scales, int64_t axis, int64_t block) {
  if (block == 0 && element_count(scales) == 1 && scales.size() <= 1) return true;
  if (axis < 0 || axis >= static_cast<int64_t>(shape.size())) return false;
  const int64_t size = shape[static_cast<size_t>(axis)];
  if (block == 0) return scales.size() == 1 && scales[0] == size;
  Shape expected = shape;
  expected[static_cast<size_t>(axis)] = (size + block - 1) / block;
  return scales == expected;
}

std::optional<Parts> dequantize_parts(const ValueRef& end) {
  Parts parts;
  const NodeRef last = end.producer();
  if (!is_op(last, "DequantizeLinear")) return std::nullopt;
  parts.nodes = {last};
  parts.scales = last.input(1);
  parts.zero_points = last.input(2);
  if (!parts.scales.is_constant() || parts.scales.constant_type() != DataType::kFloat) {
    return std::nullopt;
  }
  const int64_t output = last.attribute("output_dtype", int64_t{0});
  if (output != 0 && output != kToFloat) return std::nullopt;
  if (!match_codes_value(last.input(0), parts)) return std::nullopt;
  parts.block = last.attribute("block_size", int64_t{0});
  parts.axis = static_cast<int>(
      wrap_axis(last.attribute("axis", int64_t{1}), parts.shape.size()));
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

QuantizedWeight read(const Parts& parts) {
  QuantizedWeight weight;
  weight.codes = parts.encoded ? parts.encoded->decode() : *parts.codes.constant();
  weight.scales = *parts.scales.constant();
  if (parts.zero_points) weight.zero_points = parts.zero_points.constant();
  weight.axis = parts.axis;
  weight.block = parts.block;
  if (parts.kind == FormKind::kDequantize) return weight;
  // A Mul broadcasts what QuantizedWeight says by axis and block.
  weight.codes = weight.codes.reshaped(parts.shape);
  const Shape scales =
      scale_shape(parts.shape, weight.scales.count(), parts.axis, parts.block);
  weight.scales = weight.scales.reshaped(scales);
  if (weight.zero_points) {
    weight.zero_points = weight.zero_points->cast(parts.code_type).reshaped(scales);
  }
  if (parts.input_scales) {
    const Tensor factors = *parts.input_scales.constant();
    weight.input_scales = factors.reshaped({factors.count()});
  }
  if (parts.result != parts.shape) weight.shape = parts.result;
  return weight;
}

StoredForm to_form(const ValueRef& end, const Parts& parts) {
  Trail trail;
  for (const NodeRef& n : parts.nodes) trail.add(n);
  if (parts.encoded) {
    for (const NodeRef& n : parts.encoded->nodes) trail.add(n);
    for (const ValueRef& c : parts.encoded->constants) trail.add(c);
  } else {
    trail.add(parts.codes);
  }
  trail.add(parts.scales);
  for (const ValueRef& other : {parts.zero_points, parts.input_scales, parts.target}) {
    if (other) trail.add(other);
  }
  StoredForm form =
      finish_form(parts.kind, end, DataType::kFloat, parts.result, std::move(trail));
  if (parts.encoded) form.inner = parts.encoded->kind;
  form.decode = [parts] { return read(parts).dequantized(); };
  return form;
}

}  // namespace

bool match_codes_value(const ValueRef& value, Parts& parts) {
  parts.codes = value;
  if (value.is_constant()) {
    parts.code_type = value.constant_type();
    parts.shape = parts.result = value.constant_shape();
    return is_code_type(parts.code_type);
  }
  parts.encoded = recognise(value);
  if (!parts.encoded || !is_code_type(parts.encoded->type)) return false;
  parts.code_type = parts.encoded->type;
  parts.shape = parts.result = parts.encoded->shape;
  return true;
}

Shape scale_shape(const Shape& codes, int64_t scales, int axis, int64_t block) {
  if (block == 0) return scales == 1 ? Shape{} : Shape{scales};
  Shape shape = codes;
  int64_t& size = shape[static_cast<size_t>(axis)];
  size = (size + block - 1) / block;
  return shape;
}

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
  const auto fill = [&](auto q) {
    if (block == 0) {
      fill_by_channel(*this, q, zero, out);
      return;
    }
    const ScaleIndex index(codes.shape(), scales.shape(), axis, block);
    for (size_t i = 0; i < q.size(); ++i) {
      const size_t s = index(static_cast<int64_t>(i));
      out[i] = static_cast<float>(q[i] - zero[s]) * scale[s];
    }
  };
  if (codes.type() == DataType::kInt8) {
    fill(codes.as<int8_t>());
  } else {
    const std::vector<int64_t> wide = codes.to_int64();
    fill(std::span<const int64_t>(wide));
  }
  if (input_scales) multiply_inputs(*this, out);
  return shape.empty() ? result : result.reshaped(shape);
}

QuantizedWeight transposed(const QuantizedWeight& weight) {
  QuantizedWeight result = weight;
  result.codes = transposed(weight.codes);
  result.axis = 1 - weight.axis;
  if (weight.block == 0) return result;
  result.scales = transposed(weight.scales);
  if (weight.zero_points) result.zero_points = transposed(*weight.zero_points);
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
