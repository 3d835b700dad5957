// SPDX-License-Identifier: Apache-2.0
#include "forms/digits.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "forms/content.h"

namespace mcompress::forms {
namespace {

constexpr int64_t kSmallConstant = 64;
constexpr int64_t kBytes = 256;
constexpr int64_t kTableWords = 65536;  ///< the table adds at most half a per cent to them

int64_t largest_word(DataType word) {
  switch (word) {
    case DataType::kUint8: return std::numeric_limits<uint8_t>::max();
    case DataType::kUint16: return std::numeric_limits<uint16_t>::max();
    case DataType::kInt32: return std::numeric_limits<int32_t>::max();
    default: return std::numeric_limits<int64_t>::max();
  }
}

/// Type that Div and Mod work in: the runtime has no kernels for small unsigned integers.
DataType arithmetic_type(DataType word) {
  return word == DataType::kInt64 ? DataType::kInt64 : DataType::kInt32;
}

Tensor integers(DataType type, Shape shape, const std::vector<int64_t>& values) {
  return Tensor::from(std::move(shape), values).cast(type);
}

template <class T>
Tensor pack_as(const DigitLayout& layout, int64_t count, Shape word_shape,
               const DigitSource& source) {
  Tensor words(DataTypeOf<T>::kValue, std::move(word_shape));
  const std::span<T> out = words.template mutate_as<T>();
  std::vector<int64_t> digits(static_cast<size_t>(layout.per_word));
  int64_t at = 0;
  for (int64_t w = 0; w < layout.words(count); ++w) {
    for (int64_t& digit : digits) digit = source(at++);
    int64_t word = 0;
    for (size_t j = digits.size(); j-- > 0;) word = word * layout.radix + digits[j];
    out[static_cast<size_t>(w)] = static_cast<T>(word);
  }
  return words;
}

/// Mod(value, radix), or value - value / radix * radix where there is no Mod.
int add_mod(Chain& chain, int value, int radix, int64_t opset) {
  if (opset >= 10) {
    chain.require_opset(10);
    return chain.node("Mod", {value, radix});
  }
  const int quotient = chain.node("Div", {value, radix});
  const int multiple = chain.node("Mul", {quotient, radix});
  return chain.node("Sub", {value, multiple});
}

std::vector<int64_t> powers(int64_t radix, int64_t count) {
  std::vector<int64_t> result;
  int64_t power = 1;
  for (int64_t j = 0; j < count; ++j) {
    result.push_back(power);
    if (j + 1 < count) power *= radix;
  }
  return result;
}

/// Each digit of words [n, 1]: [n, per_word].
int add_division(Chain& chain, int words, const DigitLayout& layout, int64_t opset) {
  const DataType type = arithmetic_type(layout.word);
  const int divisors = chain.constant(
      integers(type, {layout.per_word}, powers(layout.radix, layout.per_word)));
  const int quotients = chain.node("Div", {words, divisors});
  return add_mod(chain, quotients, chain.constant(integers(type, {}, {layout.radix})), opset);
}

int add_cast(Chain& chain, int value, DataType type) {
  return chain.node("Cast", {value}, {{"to", static_cast<int64_t>(type)}});
}

bool is_word_type(DataType type) {
  const std::vector<DataType>& types = word_types();
  return std::find(types.begin(), types.end(), type) != types.end();
}

/// Matches add_mod; gives the dividend and the constant.
struct ModMatch {
  ValueRef dividend;
  ValueRef radix;
};
std::optional<ModMatch> match_mod(const ValueRef& value, Trail& trail) {
  const NodeRef node = value.producer();
  if (is_op(node, "Mod") && node.attribute("fmod", int64_t{0}) == 0) {
    trail.add(node);
    return ModMatch{node.input(0), node.input(1)};
  }
  if (!is_op(node, "Sub")) return std::nullopt;
  const NodeRef multiple = node.input(1).producer();
  if (!is_op(multiple, "Mul")) return std::nullopt;
  const NodeRef quotient = multiple.input(0).producer();
  if (!is_op(quotient, "Div")) return std::nullopt;
  if (quotient.input(0) != node.input(0) || quotient.input(1) != multiple.input(1)) {
    return std::nullopt;
  }
  trail.add(node);
  trail.add(multiple);
  trail.add(quotient);
  return ModMatch{node.input(0), multiple.input(1)};
}

std::optional<ValueRef> match_words(const ValueRef& value, Trail& trail) {
  if (value.is_constant()) {
    const DataType type = value.constant_type();
    if (type != DataType::kInt32 && type != DataType::kInt64) return std::nullopt;
    trail.add(value);
    return value;
  }
  const NodeRef cast = value.producer();
  if (!is_op(cast, "Cast")) return std::nullopt;
  if (cast.attribute("to", int64_t{0}) != static_cast<int64_t>(DataType::kInt32)) {
    return std::nullopt;
  }
  const ValueRef words = cast.input(0);
  if (!words.is_constant()) return std::nullopt;
  const DataType type = words.constant_type();
  if (type != DataType::kUint8 && type != DataType::kUint16) return std::nullopt;
  trail.add(cast);
  trail.add(words);
  return words;
}

bool fetches_rows(const NodeRef& node) {
  return is_op(node, "Gather") && node.attribute("axis", int64_t{0}) == 0;
}

/// Matches add_division of words that match.
std::optional<DigitMatch> match_division(const ValueRef& value, Trail& trail) {
  const auto mod = match_mod(value, trail);
  if (!mod) return std::nullopt;
  const NodeRef div = mod->dividend.producer();
  if (!is_op(div, "Div")) return std::nullopt;
  const auto words = match_words(div.input(0), trail);
  if (!words || !is_word_type(words->constant_type())) return std::nullopt;
  const auto radix = scalar_constant(mod->radix);
  const auto divisors = small_integers(div.input(1));
  const Shape shape = words->constant_shape();
  if (!radix || *radix < 2 || !divisors || shape.size() != 2 || shape[1] != 1) return std::nullopt;
  const auto per_word = static_cast<int64_t>(divisors->size());
  if (per_word > digits_per_word(words->constant_type(), *radix)) return std::nullopt;
  if (*divisors != powers(*radix, per_word)) return std::nullopt;
  trail.add(div);
  trail.add(div.input(1));
  trail.add(mod->radix);
  return DigitMatch{{words->constant_type(), *radix, per_word}, *words, {shape[0], per_word}};
}

/// Digits that `rows` fetches from `table`: add_table_rows and add_byte_table.
std::optional<DigitMatch> match_table(const ValueRef& table, const ValueRef& rows, Trail& trail) {
  auto match = match_division(table, trail);
  if (!match || match->words.constant_type() != DataType::kUint8) return std::nullopt;
  if (match->words.constant_shape()[0] != kBytes) return std::nullopt;
  const std::vector<int64_t> bytes = match->words.constant()->to_int64();
  for (int64_t i = 0; i < kBytes; ++i) {
    if (bytes[static_cast<size_t>(i)] != i) return std::nullopt;
  }
  const auto words = match_words(rows, trail);
  if (!words || words->constant_type() != DataType::kUint8) return std::nullopt;
  if (words->constant_shape().size() != 1) return std::nullopt;
  match->words = *words;
  match->shape[0] = words->constant_shape()[0];
  return match;
}

/// Whether a table of all bytes is worth its own: opening a session takes a third of the time, the
/// file some 350 bytes more.
bool unpacks_by_table(const DigitLayout& layout, int64_t count) {
  return layout.word == DataType::kUint8 && layout.per_word > 1 &&
         layout.words(count) >= kTableWords;
}

/// Digits of the bytes 0 to 255, int32 [256, per_word].
int add_byte_table(Chain& chain, const DigitLayout& layout, int64_t opset) {
  std::vector<int64_t> bytes(static_cast<size_t>(kBytes));
  std::iota(bytes.begin(), bytes.end(), int64_t{0});
  const int all = chain.constant(integers(DataType::kUint8, {kBytes, 1}, bytes));
  return add_division(chain, add_cast(chain, all, DataType::kInt32), layout, opset);
}

/// The words as int32 [words], rows of such a table.
int add_table_rows(Chain& chain, const DigitLayout& layout, int64_t count,
                   const DigitFactory& source) {
  const int words = chain.constant(layout.word, {layout.words(count)}, [=] {
    return pack_digits(layout, count, {layout.words(count)}, source());
  });
  return add_cast(chain, words, DataType::kInt32);
}

}  // namespace

int64_t digits_per_word(DataType word, int64_t radix) {
  // radix^count <= limit + 1 without overflow: rounding down each division is exact here.
  int64_t count = 0;
  uint64_t rest = static_cast<uint64_t>(largest_word(word)) + 1;
  while (rest >= static_cast<uint64_t>(radix)) {
    rest /= static_cast<uint64_t>(radix);
    ++count;
  }
  return count;
}

int64_t largest_radix(DataType word, int64_t per_word) {
  int64_t low = 1;
  int64_t high = std::min(int64_t{1} << 31, largest_word(word)) + 2;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (digits_per_word(word, middle) >= per_word ? low : high) = middle;
  }
  return low > 1 ? low : 0;
}

const std::vector<DataType>& word_types() {
  static const std::vector<DataType> types = {DataType::kUint8, DataType::kUint16, DataType::kInt32,
                                              DataType::kInt64};
  return types;
}

Tensor pack_digits(const DigitLayout& layout, int64_t count, Shape word_shape,
                   const DigitSource& source) {
  switch (layout.word) {
    case DataType::kUint8: return pack_as<uint8_t>(layout, count, std::move(word_shape), source);
    case DataType::kUint16: return pack_as<uint16_t>(layout, count, std::move(word_shape), source);
    case DataType::kInt32: return pack_as<int32_t>(layout, count, std::move(word_shape), source);
    default: return pack_as<int64_t>(layout, count, std::move(word_shape), source);
  }
}

int add_digits(Chain& chain, const DigitLayout& layout, int64_t count, Shape word_shape,
               int64_t opset, const DigitFactory& source) {
  if (unpacks_by_table(layout, count)) {
    const int table = add_byte_table(chain, layout, opset);
    return chain.node("Gather", {table, add_table_rows(chain, layout, count, source)});
  }
  if (layout.per_word > 1) word_shape = {layout.words(count), 1};
  int value = chain.constant(layout.word, word_shape, [=] {
    return pack_digits(layout, count, word_shape, source());
  });
  if (layout.word == DataType::kUint8 || layout.word == DataType::kUint16) {
    value = add_cast(chain, value, arithmetic_type(layout.word));
  }
  return layout.per_word == 1 ? value : add_division(chain, value, layout, opset);
}

int add_look_up(Chain& chain, int book, const DigitLayout& layout, int64_t count, Shape word_shape,
                int64_t opset, const DigitFactory& source) {
  if (!unpacks_by_table(layout, count)) {
    const int digits = add_digits(chain, layout, count, std::move(word_shape), opset, source);
    return chain.node("Gather", {book, digits});
  }
  const int table = chain.node("Gather", {book, add_byte_table(chain, layout, opset)});
  return chain.node("Gather", {table, add_table_rows(chain, layout, count, source)});
}

void Trail::add(const ValueRef& value) {
  if (std::find(constants.begin(), constants.end(), value) == constants.end()) {
    constants.push_back(value);
  }
}

std::optional<DigitMatch> match_digits(const ValueRef& value, Trail& trail) {
  DigitMatch match;
  if (const auto words = match_words(value, trail)) {
    match.words = *words;
    match.layout.word = words->constant_type();
    match.layout.radix = largest_radix(match.layout.word, 1);
    match.shape = words->constant_shape();
    return match;
  }
  const NodeRef gather = value.producer();
  if (!fetches_rows(gather)) return match_division(value, trail);
  trail.add(gather);
  return match_table(gather.input(0), gather.input(1), trail);
}

std::optional<LookUpMatch> match_look_up(const NodeRef& gather, Trail& trail) {
  if (!fetches_rows(gather)) return std::nullopt;
  trail.add(gather);
  const NodeRef table = gather.input(0).producer();
  const bool by_table = fetches_rows(table);
  if (by_table) trail.add(table);
  const ValueRef book = by_table ? table.input(0) : gather.input(0);
  if (!book.is_constant() || !is_encodable(book.constant_type())) return std::nullopt;
  if (book.constant_shape().size() != 1 || book.constant_shape()[0] < 1) return std::nullopt;
  trail.add(book);
  const auto digits = by_table ? match_table(table.input(1), gather.input(1), trail)
                               : match_digits(gather.input(1), trail);
  if (!digits) return std::nullopt;
  return LookUpMatch{book, *digits};
}

bool is_op(const NodeRef& node, std::string_view op) { return node && node.is(op); }

std::optional<std::vector<int64_t>> small_integers(const ValueRef& value) {
  if (!value || !value.is_constant()) return std::nullopt;
  const DataType type = value.constant_type();
  if (type != DataType::kInt32 && type != DataType::kInt64) return std::nullopt;
  const Shape shape = value.constant_shape();
  if (shape.size() > 1 || element_count(shape) > kSmallConstant) return std::nullopt;
  return value.constant()->to_int64();
}

std::optional<int64_t> scalar_constant(const ValueRef& value) {
  const auto values = small_integers(value);
  if (!values || values->size() != 1) return std::nullopt;
  return values->front();
}

Peeled peel(const ValueRef& end, Trail& trail) {
  Peeled peeled{end, std::nullopt, std::nullopt};
  NodeRef node = end.producer();
  if (is_op(node, "Reshape") && node.attribute("allowzero", int64_t{0}) == 0) {
    const auto shape = small_integers(node.input(1));
    if (!shape) return peeled;
    trail.add(node);
    trail.add(node.input(1));
    peeled.shape = *shape;
    peeled.value = node.input(0);
    node = peeled.value.producer();
  }
  if (!is_op(node, "Slice") || node.input_count() != 3) return peeled;
  const auto first = scalar_constant(node.input(1));
  const auto last = scalar_constant(node.input(2));
  const NodeRef flat = node.input(0).producer();
  if (first != int64_t{0} || !last || *last < 0 || !is_op(flat, "Reshape")) return peeled;
  if (small_integers(flat.input(1)) != std::vector<int64_t>{-1}) return peeled;
  trail.add(node);
  trail.add(flat);
  for (const ValueRef& v : {node.input(1), node.input(2), flat.input(1)}) trail.add(v);
  peeled.limit = *last;
  peeled.value = flat.input(0);
  return peeled;
}

int add_trim(Chain& chain, int value, int64_t count, int64_t padded, const Shape& from,
             const Shape& shape) {
  const auto vector = [](std::vector<int64_t> values) {
    const Shape own = {static_cast<int64_t>(values.size())};
    return Tensor::from(own, values);
  };
  const bool flat = shape.size() == 1;
  if (padded > count) {
    chain.require_opset(10);  // Slice takes its limits as inputs
    const int all = chain.node("Reshape", {value, chain.constant(vector({-1}))});
    value = chain.node("Slice", {all, chain.constant(vector({0})), chain.constant(vector({count}))});
    if (flat) return value;
  } else if (from == shape) {
    return value;
  }
  return chain.node("Reshape", {value, chain.constant(flat ? vector({-1}) : vector(shape))});
}

std::optional<Shape> peeled_shape(const Peeled& peeled, const Shape& below) {
  int64_t total = element_count(below);
  if (peeled.limit) total = std::min(total, *peeled.limit);
  if (!peeled.shape) return peeled.limit ? Shape{total} : below;
  Shape shape = *peeled.shape;
  int64_t known = 1;
  int64_t* open = nullptr;
  for (int64_t& d : shape) {
    if (d > 0) {
      known *= d;
    } else if (d == -1 && open == nullptr) {
      open = &d;
    } else {
      return std::nullopt;  // 0 copies a dimension: we never write that
    }
  }
  if (open != nullptr && total % known == 0) *open = total / known;
  if (open == nullptr && known != total) return std::nullopt;
  return element_count(shape) == total ? std::optional<Shape>(shape) : std::nullopt;
}

}  // namespace mcompress::forms
