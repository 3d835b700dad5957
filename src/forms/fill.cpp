// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstring>

#include "forms/encodings.h"

namespace mcompress::forms {
namespace {

Tensor filled(const Tensor& one, const Shape& shape) {
  Tensor result(one.type(), shape);
  const size_t width = one.byte_size();
  const std::span<std::byte> out = result.mutate();
  for (size_t at = 0; at < out.size(); at += width) {
    std::memcpy(out.data() + at, one.bytes().data(), width);
  }
  return result;
}

}  // namespace

void propose_fill(const Content& content, const EncodingLimits& limits,
                  std::vector<Encoding>& out) {
  if (!limits.allows(FormKind::kFill) || content.patterns.size() != 1) return;
  if (content.value.type() == DataType::kBfloat16) return;  // the runtime has no kernel
  const Shape& shape = content.value.shape();
  Encoding encoding;
  encoding.kind = FormKind::kFill;
  encoding.detail = "one value";
  Chain& chain = encoding.chain;
  chain.require_opset(8);
  const int one = chain.constant(
      pattern_tensor(content.value.type(), content.patterns).reshaped({}));
  const Shape own = {static_cast<int64_t>(shape.size())};
  chain.node("Expand", {one, chain.constant(Tensor::from(own, shape))});
  out.push_back(std::move(encoding));
}

std::optional<StoredForm> match_fill(const ValueRef& end) {
  const NodeRef node = end.producer();
  if (!is_op(node, "Expand")) return std::nullopt;
  const ValueRef one = node.input(0);
  if (!one.is_constant() || !is_encodable(one.constant_type())) return std::nullopt;
  const auto shape = small_integers(node.input(1));
  if (!shape || element_count(one.constant_shape()) != 1) return std::nullopt;
  if (one.constant_shape().size() > shape->size()) return std::nullopt;
  for (const int64_t d : *shape) {
    if (d < 1) return std::nullopt;
  }
  Trail trail;
  trail.add(node);
  trail.add(one);
  trail.add(node.input(1));
  StoredForm form =
      finish_form(FormKind::kFill, end, one.constant_type(), *shape, std::move(trail));
  form.decode = [one, shape = *shape] { return filled(*one.constant(), shape); };
  return form;
}

}  // namespace mcompress::forms
