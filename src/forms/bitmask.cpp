// SPDX-License-Identifier: Apache-2.0
// One bit per element says where the non-zeros are; their values follow in order, as they are or as codes.
//   bits  = Reshape(Mod(Div(Cast(mask), [1, 2, ..128]), 2), -1)
//   end   = Reshape(GatherElements(values, Mul(CumSum(bits), bits)), shape)   values[0] = 0
// Of single elements GatherElements takes a quarter of the time of Gather.
#include <fmt/format.h>

#include <cstring>

#include "forms/encodings.h"

namespace mcompress::forms {
namespace {

constexpr DigitLayout kBits{DataType::kUint8, 2, 8};

Tensor one_integer(int64_t value) { return Tensor::from(Shape{1}, std::vector<int64_t>{value}); }

int flatten(Chain& chain, int value) {
  return chain.node("Reshape", {value, chain.constant(one_integer(-1))});
}

/// Number of the element with code `order`: index 0 stands for zero, then the non-zeros.
DigitSource nonzero_codes(const std::shared_ptr<const std::vector<uint16_t>>& codes) {
  return [codes, next = size_t{0}](int64_t i) mutable -> int64_t {
    if (i == 0) {
      next = 0;
      return 0;
    }
    while (next < codes->size() && (*codes)[next] == 0) ++next;
    return next < codes->size() ? (*codes)[next++] : 0;
  };
}

Tensor nonzero_values(const Tensor& value, int64_t nonzeros) {
  Tensor result(value.type(), {nonzeros + 1});
  with_patterns(value, [&](auto patterns) {
    using Word = typename decltype(patterns)::value_type;
    auto* out = reinterpret_cast<std::remove_const_t<Word>*>(result.mutate().data()) + 1;
    for (const auto pattern : patterns) {
      if (pattern != 0) *out++ = pattern;
    }
  });
  return result;
}

int add_bits(Chain& chain, const Content& content, int64_t opset) {
  const int64_t count = content.count();
  const int bits = add_digits(chain, kBits, count, {}, opset, [value = content.value] {
    return [value](int64_t i) {
      if (i >= value.count()) return int64_t{0};
      return with_patterns(value, [i](auto patterns) {
        return int64_t{patterns[static_cast<size_t>(i)] != 0};
      });
    };
  });
  return flatten(chain, bits);
}

void finish_chain(Chain& chain, int values, int bits, const Content& content) {
  const int sums = chain.node("CumSum", {bits, chain.constant(Tensor::scalar(int64_t{0}))});
  const int index = chain.node("Mul", {sums, bits});
  const int all = chain.node("GatherElements", {values, index});
  const int64_t count = content.count();
  const int64_t padded = kBits.padded(count);
  if (padded == count) {
    if (content.value.shape().size() != 1) add_trim(chain, all, count, count, {count}, content.value.shape());
    return;
  }
  const int cut = chain.node("Slice", {all, chain.constant(one_integer(0)),
                                       chain.constant(one_integer(count))});
  if (content.value.shape().size() != 1) add_trim(chain, cut, count, count, {count}, content.value.shape());
}

Encoding start(const Content& content, std::string detail) {
  Encoding encoding;
  encoding.kind = FormKind::kBitmask;
  encoding.detail = std::move(detail);
  encoding.chain.require_opset(content.value.type() == DataType::kBfloat16 ? 13 : 11);
  return encoding;
}

struct Values {
  ValueRef data;  ///< the codebook, or the values
  std::optional<DigitMatch> digits;

  /// As a plain tensor of rank 1.
  Tensor read(const std::string& name) const {
    const Tensor plain = *data.constant();
    if (!digits) return plain;
    Tensor result(plain.type(), {element_count(digits->shape)});
    const size_t width = plain.byte_size() / static_cast<size_t>(plain.count());
    std::byte* out = result.mutate().data();
    for_each_digit(*digits, [&](int64_t i, int64_t code) {
      if (code >= plain.count()) {
        throw Error(ErrorCode::kModel, fmt::format("{}: code {} points outside its codebook of {}",
                                                   name, code, plain.count()));
      }
      std::memcpy(out + static_cast<size_t>(i) * width,
                  plain.bytes().data() + static_cast<size_t>(code) * width, width);
    });
    return result;
  }
};

std::optional<Values> match_values(const ValueRef& value, Trail& trail) {
  if (value.is_constant()) {
    if (!is_encodable(value.constant_type()) || value.constant_shape().size() != 1) {
      return std::nullopt;
    }
    trail.add(value);
    return Values{value, std::nullopt};
  }
  const Peeled flat = peel(value, trail);
  if (flat.limit || (flat.shape && *flat.shape != Shape{-1})) return std::nullopt;
  const auto found = match_look_up(flat.value.producer(), trail);
  if (!found) return std::nullopt;
  return Values{found->book, found->digits};
}

Tensor place(const Tensor& values, const DigitMatch& bits, const Shape& shape,
             const std::string& name) {
  Tensor result(values.type(), shape);
  const size_t width = values.byte_size() / static_cast<size_t>(values.count());
  std::byte* out = result.mutate().data();
  const int64_t count = result.count();
  int64_t next = 0;
  for_each_digit(bits, [&](int64_t i, int64_t bit) {
    next += bit;
    if (i >= count) return;
    if (next >= values.count()) {
      throw Error(ErrorCode::kModel, fmt::format("{}: the mask has more than the {} values stored",
                                                 name, values.count() - 1));
    }
    std::memcpy(out + static_cast<size_t>(i) * width,
                values.bytes().data() + static_cast<size_t>(bit * next) * width, width);
  });
  return result;
}

}  // namespace

void propose_bitmask(const Content& content, const EncodingLimits& limits,
                     std::vector<Encoding>& out) {
  if (!limits.allows(FormKind::kBitmask) || content.zeros == 0 || content.nonzeros() == 0) return;
  if (!folds(DataType::kInt32, content.count())) return;
  const DataType type = content.value.type();
  const int64_t nonzeros = content.nonzeros();
  Encoding plain = start(content, "bitmask and values");
  const int values = plain.chain.constant(type, {nonzeros + 1}, [value = content.value, nonzeros] {
    return nonzero_values(value, nonzeros);
  });
  finish_chain(plain.chain, values, add_bits(plain.chain, content, limits.opset), content);
  out.push_back(std::move(plain));
  if (!content.has_codes()) return;

  const auto radix = static_cast<int64_t>(content.patterns.size());
  for (const DigitLayout& layout : layouts_for(radix, nonzeros + 1)) {
    Encoding coded = start(content, fmt::format("bitmask and codes of {} values", radix - 1));
    Chain& chain = coded.chain;
    const int book = chain.constant(pattern_tensor(type, content.patterns));
    int stored = add_look_up(chain, book, layout, nonzeros + 1, {nonzeros + 1}, limits.opset,
                             [codes = content.codes] { return nonzero_codes(codes); });
    if (layout.per_word > 1) stored = flatten(chain, stored);
    finish_chain(chain, stored, add_bits(chain, content, limits.opset), content);
    out.push_back(std::move(coded));
  }
}

std::optional<StoredForm> match_bitmask(const ValueRef& end) {
  Trail trail;
  // The mask is flat, so a Slice follows the Gather directly.
  ValueRef value = end;
  Peeled peeled{end, std::nullopt, std::nullopt};
  NodeRef node = value.producer();
  if (is_op(node, "Reshape")) {
    const auto shape = small_integers(node.input(1));
    if (!shape) return std::nullopt;
    trail.add(node);
    trail.add(node.input(1));
    peeled.shape = *shape;
    node = node.input(0).producer();
  }
  if (is_op(node, "Slice") && node.input_count() == 3) {
    const auto last = scalar_constant(node.input(2));
    if (scalar_constant(node.input(1)) != int64_t{0} || !last || *last < 0) return std::nullopt;
    trail.add(node);
    trail.add(node.input(1));
    trail.add(node.input(2));
    peeled.limit = *last;
    node = node.input(0).producer();
  }
  if (!is_op(node, "GatherElements") || node.attribute("axis", int64_t{0}) != 0) {
    return std::nullopt;
  }
  const NodeRef index = node.input(1).producer();
  if (!is_op(index, "Mul")) return std::nullopt;
  const NodeRef sums = index.input(0).producer();
  const ValueRef bits = index.input(1);
  if (!is_op(sums, "CumSum") || sums.input(0) != bits) return std::nullopt;
  if (sums.attribute("exclusive", int64_t{0}) != 0 || sums.attribute("reverse", int64_t{0}) != 0) {
    return std::nullopt;
  }
  if (scalar_constant(sums.input(1)) != int64_t{0}) return std::nullopt;
  for (const NodeRef& n : {node, index, sums}) trail.add(n);
  trail.add(sums.input(1));
  const auto values = match_values(node.input(0), trail);
  const Peeled flat = peel(bits, trail);
  if (!values || flat.limit || flat.shape != Shape{-1}) return std::nullopt;
  const auto digits = match_digits(flat.value, trail);
  if (!digits || digits->layout.radix != 2) return std::nullopt;
  const auto shape = peeled_shape(peeled, {element_count(digits->shape)});
  if (!shape) return std::nullopt;
  StoredForm form = finish_form(FormKind::kBitmask, end, values->data.constant_type(), *shape,
                                std::move(trail));
  form.digits = StoredDigits{digits->words, digits->layout};
  if (values->digits) {
    form.survivors = StoredDigits{values->digits->words, values->digits->layout};
  }
  form.decode = [values = *values, digits = *digits, shape = *shape, name = end.name()] {
    return place(values.read(name), digits, shape, name);
  };
  return form;
}

}  // namespace mcompress::forms
