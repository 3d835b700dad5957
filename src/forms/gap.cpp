// SPDX-License-Identifier: Apache-2.0
// Distances between non-zeros (Deep Compression's relative index), each with its value or its code.
//   entry    = distance * codes + code, one digit; a zero is written where a distance would not fit
//   position = CumSum(Div(entry, codes)), value = Gather(codebook, Mod(entry, codes))
//   end      = Reshape(ScatterElements(ConstantOfShape(count), position, value), shape)
// With values as they are, the entry is the distance.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "forms/encodings.h"

namespace mcompress::forms {
namespace {

Tensor one_integer(int64_t value) { return Tensor::from(Shape{1}, std::vector<int64_t>{value}); }

/// Entries that `content` takes when distances stay below `reach`.
int64_t entries_for(const Content& content, int64_t reach) {
  int64_t entries = 0;
  for (const auto& [gap, times] : content.gaps) {
    const int64_t fillers = gap == 0 ? 0 : (gap + reach - 2) / (reach - 1) - 1;
    entries += times * (fillers + 1);
  }
  return entries;
}

/// Walks the entries: distance and index of the element, -1 for a filler. After the last entry it
/// repeats the last element at distance 0, which writes the same value once more.
template <class IsZero>
class EntryWalk {
 public:
  EntryWalk(int64_t count, int64_t reach, IsZero is_zero)
      : count_(count), reach_(reach), is_zero_(std::move(is_zero)) {
    advance();
  }
  std::pair<int64_t, int64_t> next() {
    if (at_ >= count_) return {0, position_};
    int64_t distance = at_ - position_;
    if (distance >= reach_) {
      distance = reach_ - 1;
      position_ += distance;
      return {distance, -1};
    }
    position_ = at_++;
    advance();
    return {distance, position_};
  }

 private:
  void advance() {
    while (at_ < count_ && is_zero_(at_)) ++at_;
  }
  int64_t count_;
  int64_t reach_;
  IsZero is_zero_;
  int64_t at_ = 0;
  int64_t position_ = 0;
};

/// Distance (times the number of codes, plus the code).
DigitFactory entry_source(const Content& content, int64_t reach, bool coded) {
  return [codes = content.codes, value = content.value, reach, coded,
          radix = static_cast<int64_t>(content.patterns.size())]() -> DigitSource {
    const auto zero_at = [value](int64_t i) {
      return with_patterns(value, [i](auto p) { return p[static_cast<size_t>(i)] == 0; });
    };
    EntryWalk walk(value.count(), reach, zero_at);
    return [walk, codes, coded, radix](int64_t) mutable -> int64_t {
      const auto [distance, index] = walk.next();
      if (!coded) return distance;
      return distance * radix + (index < 0 ? 0 : (*codes)[static_cast<size_t>(index)]);
    };
  };
}

/// Values of `entries` entries, fillers being zero.
Tensor entry_values(const Tensor& value, int64_t reach, int64_t entries) {
  Tensor result(value.type(), {entries});
  with_patterns(value, [&](auto patterns) {
    using Word = std::remove_const_t<typename decltype(patterns)::value_type>;
    auto* out = reinterpret_cast<Word*>(result.mutate().data());
    EntryWalk walk(value.count(), reach,
                   [&](int64_t i) { return patterns[static_cast<size_t>(i)] == 0; });
    for (int64_t e = 0; e < entries; ++e) {
      const int64_t index = walk.next().second;
      out[e] = index < 0 ? Word{0} : patterns[static_cast<size_t>(index)];
    }
  });
  return result;
}

struct GapLayout {
  DigitLayout digits;
  int64_t reach;    ///< distances stay below
  int64_t entries;
};

/// The best reach for each word type and number of digits.
std::vector<GapLayout> gap_layouts(const Content& content, int64_t codes, size_t value_bytes) {
  std::vector<GapLayout> result;
  const int64_t longest = content.gaps.empty() ? 0 : content.gaps.rbegin()->first;
  for (const DataType word : word_types()) {
    const auto word_bytes = static_cast<int64_t>(data_type_bits(word) / 8);
    std::optional<GapLayout> best;
    int64_t best_bytes = 0;
    for (int64_t per_word = 1;; ++per_word) {
      if (per_word == 1 && word_bytes > 2) continue;  // always wider than needed
      const int64_t reach =
          std::min(largest_radix(word, per_word) / codes, std::max<int64_t>(longest + 1, 2));
      if (reach < 2) break;
      const int64_t entries = entries_for(content, reach);
      const DigitLayout digits{word, reach * codes, per_word};
      const int64_t bytes = digits.words(entries) * word_bytes +
                            digits.padded(entries) * static_cast<int64_t>(value_bytes) +
                            per_word * std::max<int64_t>(word_bytes, 4);
      if (!folds(word, digits.padded(entries))) continue;
      if (!best || bytes < best_bytes) {
        best = GapLayout{digits, reach, entries};
        best_bytes = bytes;
      }
    }
    if (best) result.push_back(*best);
  }
  return result;
}

Encoding encode(const Content& content, const EncodingLimits& limits, const GapLayout& layout,
                bool coded) {
  const DataType type = content.value.type();
  const auto codes = static_cast<int64_t>(content.patterns.size());
  const int64_t padded = layout.digits.padded(layout.entries);
  Encoding encoding;
  encoding.kind = FormKind::kGap;
  encoding.detail = coded ? fmt::format("distances below {} and codes of {} values", layout.reach,
                                        codes - 1)
                          : fmt::format("distances below {} and values", layout.reach);
  Chain& chain = encoding.chain;
  // ConstantOfShape makes bfloat16 from 20 on.
  chain.require_opset(type == DataType::kBfloat16 ? 20 : 11);
  int entry = add_digits(chain, layout.digits, layout.entries, {layout.entries}, limits.opset,
                         entry_source(content, layout.reach, coded));
  if (layout.digits.per_word > 1) {
    entry = chain.node("Reshape", {entry, chain.constant(one_integer(-1))});
  }
  int distance = entry;
  int values = -1;
  if (coded) {
    const DataType integer =
        layout.digits.word == DataType::kInt64 ? DataType::kInt64 : DataType::kInt32;
    const int radix = chain.constant(Tensor::scalar(codes).cast(integer));
    distance = chain.node("Div", {entry, radix});
    const int code = chain.node("Mod", {entry, radix});
    values = chain.node("Gather", {chain.constant(pattern_tensor(type, content.patterns)), code});
  } else {
    values = chain.constant(type, {padded}, [value = content.value, reach = layout.reach, padded] {
      return entry_values(value, reach, padded);
    });
  }
  const int position =
      chain.node("CumSum", {distance, chain.constant(Tensor::scalar(int64_t{0}))});
  std::vector<Attribute> zero;
  if (type != DataType::kFloat) zero.push_back({"value", Tensor(type, {1})});
  const int zeros =
      chain.node("ConstantOfShape", {chain.constant(one_integer(content.count()))}, zero);
  const int flat = chain.node("ScatterElements", {zeros, position, values});
  add_trim(chain, flat, content.count(), content.count(), {content.count()},
           content.value.shape());
  return encoding;
}

struct GapMatch {
  DigitMatch digits;
  int64_t codes = 1;   ///< 1: the entry is the distance
  ValueRef values;     ///< the codebook, or the values
};

Tensor place(const GapMatch& match, const Shape& shape, const std::string& name) {
  const Tensor values = *match.values.constant();
  Tensor result(values.type(), shape);
  const size_t width = values.byte_size() / static_cast<size_t>(values.count());
  std::byte* out = result.mutate().data();
  const int64_t count = result.count();
  int64_t position = 0;
  for_each_digit(match.digits, [&](int64_t i, int64_t entry) {
    position += entry / match.codes;
    const int64_t value = match.codes == 1 ? i : entry % match.codes;
    if (position >= count || value >= values.count()) {
      throw Error(ErrorCode::kModel, fmt::format("{}: entry {} points outside the tensor of {} or "
                                                 "the {} values stored",
                                                 name, i, count, values.count()));
    }
    std::memcpy(out + static_cast<size_t>(position) * width,
                values.bytes().data() + static_cast<size_t>(value) * width, width);
  });
  return result;
}

/// Positions -> entries, and where the values come from.
std::optional<GapMatch> match_entries(const NodeRef& scatter, Trail& trail) {
  const NodeRef sums = scatter.input(1).producer();
  if (!is_op(sums, "CumSum") || scalar_constant(sums.input(1)) != int64_t{0}) return std::nullopt;
  if (sums.attribute("exclusive", int64_t{0}) != 0 || sums.attribute("reverse", int64_t{0}) != 0) {
    return std::nullopt;
  }
  trail.add(sums);
  trail.add(sums.input(1));
  GapMatch match;
  ValueRef entry = sums.input(0);
  const ValueRef values = scatter.input(2);
  if (values.is_constant()) {
    match.values = values;
    trail.add(values);
  } else {
    const NodeRef gather = values.producer();
    const NodeRef div = entry.producer();
    if (!is_op(gather, "Gather") || !is_op(div, "Div")) return std::nullopt;
    if (gather.attribute("axis", int64_t{0}) != 0) return std::nullopt;
    const NodeRef mod = gather.input(1).producer();
    const auto codes = scalar_constant(div.input(1));
    if (!is_op(mod, "Mod") || !codes || *codes < 2) return std::nullopt;
    if (mod.input(0) != div.input(0) || mod.input(1) != div.input(1)) return std::nullopt;
    match.codes = *codes;
    match.values = gather.input(0);
    if (!match.values.is_constant()) return std::nullopt;
    for (const NodeRef& n : {gather, div, mod}) trail.add(n);
    trail.add(div.input(1));
    trail.add(match.values);
    entry = div.input(0);
  }
  if (!is_encodable(match.values.constant_type()) || match.values.constant_shape().size() != 1) {
    return std::nullopt;
  }
  const Peeled flat = peel(entry, trail);
  if (flat.limit || (flat.shape && *flat.shape != Shape{-1})) return std::nullopt;
  const auto digits = match_digits(flat.value, trail);
  if (!digits) return std::nullopt;
  match.digits = *digits;
  return match;
}

}  // namespace

void propose_gap(const Content& content, const EncodingLimits& limits,
                 std::vector<Encoding>& out) {
  if (!limits.allows(FormKind::kGap) || content.zeros == 0 || content.nonzeros() == 0) return;
  // Above one non-zero in two a bitmask is always smaller.
  if (content.nonzeros() > content.zeros || !folds(DataType::kFloat, content.count())) return;
  for (const GapLayout& layout : gap_layouts(content, 1, content.element_bytes())) {
    out.push_back(encode(content, limits, layout, false));
  }
  if (!content.has_codes()) return;
  const auto codes = static_cast<int64_t>(content.patterns.size());
  for (const GapLayout& layout : gap_layouts(content, codes, 0)) {
    out.push_back(encode(content, limits, layout, true));
  }
}

std::optional<StoredForm> match_gap(const ValueRef& end) {
  Trail trail;
  const Peeled peeled = peel(end, trail);
  const NodeRef scatter = peeled.value.producer();
  if (peeled.limit || !is_op(scatter, "ScatterElements")) return std::nullopt;
  if (scatter.attribute("axis", int64_t{0}) != 0) return std::nullopt;
  if (scatter.attribute("reduction", std::string_view("none")) != "none") return std::nullopt;
  const NodeRef zeros = scatter.input(0).producer();
  if (!is_op(zeros, "ConstantOfShape")) return std::nullopt;
  const auto count = small_integers(zeros.input(0));
  if (!count || count->size() != 1 || count->front() < 1) return std::nullopt;
  if (const auto fill = zeros.attribute_tensor("value")) {
    for (const std::byte b : fill->bytes()) {
      if (b != std::byte{0}) return std::nullopt;
    }
  }
  trail.add(scatter);
  trail.add(zeros);
  trail.add(zeros.input(0));
  const auto match = match_entries(scatter, trail);
  if (!match) return std::nullopt;
  const auto shape = peeled_shape(peeled, *count);
  if (!shape) return std::nullopt;
  StoredForm form = finish_form(FormKind::kGap, end, match->values.constant_type(), *shape,
                                std::move(trail));
  form.digits = StoredDigits{match->digits.words, match->digits.layout};
  form.entry_codes = match->codes;
  form.decode = [match = *match, shape = *shape, name = end.name()] {
    return place(match, shape, name);
  };
  return form;
}

}  // namespace mcompress::forms
