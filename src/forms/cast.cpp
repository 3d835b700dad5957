// SPDX-License-Identifier: Apache-2.0
#include "forms/cast.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "support/half.h"

namespace mcompress::forms {
namespace {

bool is_narrow(DataType type) {
  return type == DataType::kFloat16 || type == DataType::kBfloat16;
}

constexpr auto kToFloat = static_cast<int64_t>(DataType::kFloat);

int64_t least_opset(DataType narrow) { return narrow == DataType::kBfloat16 ? 13 : 6; }

Tensor widen(const Tensor& narrow) {
  Tensor result(DataType::kFloat, narrow.shape());
  const std::span<float> out = result.mutate_as<float>();
  const bool half = narrow.type() == DataType::kFloat16;
  with_patterns(narrow, [&](auto bits) {
    for (size_t i = 0; i < bits.size(); ++i) {
      const auto word = static_cast<uint16_t>(bits[i]);
      out[i] = half ? half_to_float(word) : bfloat16_to_float(word);
    }
  });
  return result;
}

Encoding plain_cast(const Tensor& narrow) {
  Encoding encoding;
  encoding.kind = FormKind::kCast;
  encoding.detail = narrow.type() == DataType::kFloat16 ? "half, exactly" : "bfloat16, exactly";
  encoding.chain.require_opset(least_opset(narrow.type()));
  encoding.chain.node("Cast", {encoding.chain.constant(narrow)}, {{"to", kToFloat}});
  return encoding;
}

}  // namespace

ValueRef emit_cast(Graph& graph, std::string_view hint, const Tensor& narrow, NodeRef before) {
  NodeSpec spec;
  spec.op = "Cast";
  spec.inputs = {graph.add_constant(hint, narrow)};
  spec.attributes = {{"to", kToFloat}};
  return graph.insert(std::move(spec), before).output();
}

std::optional<Tensor> narrow_exactly(const Tensor& value, DataType type) {
  if (value.type() != DataType::kFloat || !is_narrow(type)) return std::nullopt;
  const std::span<const float> in = value.as<float>();
  const bool half = type == DataType::kFloat16;
  const auto narrow = [half](float x) { return half ? float_to_half(x) : float_to_bfloat16(x); };
  for (const float x : in) {
    const uint16_t bits = narrow(x);
    const float back = half ? half_to_float(bits) : bfloat16_to_float(bits);
    // The runtime may turn one NaN into another.
    if (std::isnan(x) || std::bit_cast<uint32_t>(back) != std::bit_cast<uint32_t>(x)) {
      return std::nullopt;
    }
  }
  std::vector<uint16_t> bits(in.size());
  std::transform(in.begin(), in.end(), bits.begin(), narrow);
  return Tensor(type, value.shape(), std::as_bytes(std::span(bits)));
}

void propose_cast(const Content& content, const EncodingLimits& limits,
                  std::vector<Encoding>& out) {
  if (!limits.allows(FormKind::kCast)) return;
  for (const DataType type : {DataType::kFloat16, DataType::kBfloat16}) {
    const auto narrow = narrow_exactly(content.value, type);
    if (!narrow) continue;
    out.push_back(plain_cast(*narrow));
    Content inside = content;  // same codes, same gaps: the conversion is one to one
    inside.value = *narrow;
    if (content.has_codes()) {
      inside = examine(*narrow);
    }
    std::vector<Encoding> encoded;
    propose_codes(inside, limits, encoded);
    propose_gap(inside, limits, encoded);
    propose_bitmask(inside, limits, encoded);
    for (Encoding& encoding : encoded) {
      const int last = static_cast<int>(encoding.chain.values().size()) - 1;
      encoding.chain.require_opset(least_opset(type));
      encoding.chain.node("Cast", {last}, {{"to", kToFloat}});
      encoding.detail += ", in 16 bits";
      out.push_back(std::move(encoding));
    }
    return;
  }
}

std::optional<StoredForm> match_cast(const ValueRef& end) {
  const NodeRef node = end.producer();
  if (!is_op(node, "Cast") || node.attribute("to", int64_t{0}) != kToFloat) return std::nullopt;
  const ValueRef from = node.input(0);
  Trail trail;
  trail.add(node);
  if (from.is_constant()) {
    if (!is_narrow(from.constant_type())) return std::nullopt;
    trail.add(from);
    StoredForm form = finish_form(FormKind::kCast, end, DataType::kFloat, from.constant_shape(),
                                  std::move(trail));
    form.decode = [from] { return widen(*from.constant()); };
    return form;
  }
  const auto inner = recognise(from);
  if (!inner || !is_narrow(inner->type)) return std::nullopt;
  for (const NodeRef& n : inner->nodes) trail.add(n);
  for (const ValueRef& c : inner->constants) trail.add(c);
  StoredForm form =
      finish_form(FormKind::kCast, end, DataType::kFloat, inner->shape, std::move(trail));
  form.inner = inner->kind;
  form.decode = [decode = inner->decode] { return widen(decode()); };
  return form;
}

}  // namespace mcompress::forms
