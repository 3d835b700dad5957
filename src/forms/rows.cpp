// SPDX-License-Identifier: Apache-2.0
#include "forms/rows.h"

#include <utility>

#include "forms/digits.h"
#include "forms/nodes.h"

namespace mcompress::forms {
namespace {

ValueRef cast_to(Graph& graph, const ValueRef& value, DataType type, NodeRef before) {
  return insert_op(graph, "Cast", {value}, before, {{"to", static_cast<int64_t>(type)}});
}

int pieces(int bits) { return 8 / bits; }
int64_t offset(int bits) { return int64_t{1} << (bits - 1); }

/// Byte j of a row holds columns j, j + n, ... of n = width / pieces, low bits first.
Tensor pack(const Tensor& codes, int bits) {
  const int64_t rows = codes.shape()[0], width = codes.shape()[1];
  const int64_t bytes = width / pieces(bits);
  Tensor packed(DataType::kUint8, {rows, bytes});
  const std::span<uint8_t> out = packed.mutate_as<uint8_t>();
  const std::span<const int8_t> in = codes.as<int8_t>();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < width; ++c) {
      const auto code = static_cast<uint32_t>(in[static_cast<size_t>(r * width + c)] + offset(bits));
      uint8_t& byte = out[static_cast<size_t>(r * bytes + c % bytes)];
      byte = static_cast<uint8_t>(byte | (code << (c / bytes * bits)));
    }
  }
  return packed;
}

/// int32 bytes to float codes.
ValueRef unpack(Graph& graph, const ValueRef& bytes, int bits, NodeRef before) {
  const auto constant = [&](const char* hint, int64_t value) {
    return graph.add_constant(hint, Tensor::scalar(static_cast<int32_t>(value)));
  };
  const int64_t radix = int64_t{1} << bits;
  const ValueRef base = constant("radix", radix);
  NodeSpec concat;
  concat.op = "Concat";
  concat.attributes = {{"axis", int64_t{-1}}};
  ValueRef rest = bytes;
  for (int i = 0; i + 1 < pieces(bits); ++i) {
    concat.inputs.push_back(insert_op(graph, "Mod", {rest, base}, before));
    rest = insert_op(graph, "Div", {rest, base}, before);
  }
  concat.inputs.push_back(rest);
  const ValueRef all = graph.insert(std::move(concat), before).output();
  const ValueRef wide = cast_to(graph, all, DataType::kFloat, before);
  const auto middle = static_cast<float>(offset(bits));
  return insert_op(graph, "Sub", {wide, graph.add_constant("middle", Tensor::scalar(middle))},
                   before);
}

NodeRef only_reader(const ValueRef& value, std::string_view op) {
  const std::vector<Use> uses = value.uses();
  if (uses.empty() || value.is_graph_output()) return {};
  return is_op(uses.front().node, op) ? uses.front().node : NodeRef();
}

/// Bits of what follows the Cast to int32, whose end is set.
std::optional<int> match_unpacking(const ValueRef& bytes, ValueRef& end) {
  const std::vector<Use> uses = bytes.uses();
  if (uses.empty() || !is_op(uses.front().node, "Mod")) return std::nullopt;
  const auto radix = scalar_constant(uses.front().node.input(1));
  if (radix != 16 && radix != 4) return std::nullopt;
  const NodeRef concat = only_reader(uses.front().node.output(), "Concat");
  if (!concat) return std::nullopt;
  const NodeRef cast = only_reader(concat.output(), "Cast");
  if (!cast) return std::nullopt;
  const NodeRef sub = only_reader(cast.output(), "Sub");
  if (!sub) return std::nullopt;
  end = sub.output();
  return radix == 16 ? 4 : 2;
}

}  // namespace

bool fits_row_table(int64_t width, int bits) {
  return bits == 8 || ((bits == 4 || bits == 2) && width % pieces(bits) == 0);
}

RowTable add_row_table(Graph& graph, std::string_view hint, const QuantizedWeight& weight,
                       int bits) {
  const std::string name(hint);
  const Shape& shape = weight.codes.shape();
  RowTable table;
  table.bits = bits;
  table.width = shape[1];
  table.codes =
      graph.add_constant(name + "_q", bits == 8 ? weight.codes : pack(weight.codes, bits));
  table.scales = graph.add_constant(name + "_s", weight.scales.reshaped({shape[0], 1}));
  return table;
}

ValueRef emit_rows(const RowTable& table, const NodeRef& gather) {
  Graph& graph = gather.graph();
  const ValueRef indices = gather.input(1);
  const ValueRef codes = insert_op(graph, "Gather", {table.codes, indices}, gather);
  const ValueRef scales = insert_op(graph, "Gather", {table.scales, indices}, gather);
  ValueRef value;
  if (table.bits == 8) {
    value = cast_to(graph, codes, DataType::kFloat, gather);
  } else {
    value = unpack(graph, cast_to(graph, codes, DataType::kInt32, gather), table.bits, gather);
  }
  return insert_op(graph, "Mul", {value, scales}, gather);
}

std::optional<RowTable> match_rows(const NodeRef& gather) {
  if (!is_op(gather, "Gather")) return std::nullopt;
  RowTable table;
  table.codes = gather.input(0);
  const auto stored = table.codes.is_constant()
                          ? std::optional(std::pair(table.codes.constant_type(),
                                                    table.codes.constant_shape()))
                          : std::nullopt;
  const auto form = stored ? std::nullopt : recognise(table.codes);
  if (!stored && !form) return std::nullopt;
  const DataType type = stored ? stored->first : form->type;
  const Shape shape = stored ? stored->second : form->shape;
  if ((type != DataType::kInt8 && type != DataType::kUint8) || shape.size() != 2) return std::nullopt;
  const NodeRef cast = only_reader(gather.output(), "Cast");
  if (!cast) return std::nullopt;
  ValueRef end = cast.output();
  if (type == DataType::kUint8) {
    const auto bits = match_unpacking(cast.output(), end);
    if (!bits) return std::nullopt;
    table.bits = *bits;
  }
  table.width = shape[1] * pieces(table.bits);
  const NodeRef mul = only_reader(end, "Mul");
  if (!mul) return std::nullopt;
  const NodeRef scales = mul.input(mul.input(0) == end ? 1 : 0).producer();
  if (!is_op(scales, "Gather") || scales.input(1) != gather.input(1)) return std::nullopt;
  table.scales = scales.input(0);
  const auto factors = constant_or_form(table.scales);
  if (!factors || factors->type() != DataType::kFloat) return std::nullopt;
  if (factors->shape() != Shape{shape[0], 1}) return std::nullopt;
  return table;
}

Tensor dequantized(const RowTable& table) {
  const Tensor codes = *constant_or_form(table.codes);
  const Tensor scales = *constant_or_form(table.scales);
  const int64_t rows = codes.shape()[0], bytes = codes.shape()[1];
  Tensor result(DataType::kFloat, {rows, table.width});
  const std::span<float> out = result.mutate_as<float>();
  const std::vector<int64_t> stored = codes.to_int64();
  const std::span<const float> scale = scales.as<float>();
  const int64_t mask = (int64_t{1} << table.bits) - 1;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < table.width; ++c) {
      int64_t code = stored[static_cast<size_t>(r * bytes + c % bytes)];
      if (table.bits < 8) code = ((code >> (c / bytes * table.bits)) & mask) - offset(table.bits);
      out[static_cast<size_t>(r * table.width + c)] =
          static_cast<float>(code) * scale[static_cast<size_t>(r)];
    }
  }
  return result;
}

}  // namespace mcompress::forms
