// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "forms/chain.h"
#include "mcompress/model.h"
#include "mcompress/tensor.h"

namespace mcompress::forms {

/// Whole numbers below `radix`, several to a word: word = sum of digit[j] * radix^j. Unpacked by
/// integer Div and Mod, which every runtime has, of each word or, where there are many bytes, of
/// the 256 that a byte may be: then each fetches its row. A radix that is no power of two wastes
/// little (three values: five digits to a byte, 1.6 bits each).
struct DigitLayout {
  DataType word = DataType::kUint8;  ///< uint8, uint16, int32, int64
  int64_t radix = 256;
  int64_t per_word = 1;

  int64_t words(int64_t count) const { return (count + per_word - 1) / per_word; }
  int64_t padded(int64_t count) const { return words(count) * per_word; }
};

/// Highest number of digits of `radix` that one word of `word` holds; 0 when not even one.
int64_t digits_per_word(DataType word, int64_t radix);
/// Largest radix of which `per_word` digits fit into a word; 0 when there is none above 1.
int64_t largest_radix(DataType word, int64_t per_word);
/// Word types in order of preference.
const std::vector<DataType>& word_types();

/// Digit number i, for i in [0, count); calls come in ascending order.
using DigitSource = std::function<int64_t(int64_t i)>;
/// Makes a source that starts anew.
using DigitFactory = std::function<DigitSource()>;

/// Packs `count` digits, the last word filled up with digits that `source` gives for indices up to
/// padded(count).
Tensor pack_digits(const DigitLayout& layout, int64_t count, Shape word_shape,
                   const DigitSource& source);

/// Adds words and unpacking to `chain`. The value has shape `word_shape` where a word holds one
/// digit, else [words, per_word]. `opset` chooses the nodes (no Mod below 10).
int add_digits(Chain& chain, const DigitLayout& layout, int64_t count, Shape word_shape,
               int64_t opset, const DigitFactory& source);

/// Adds what finds the value of each digit in the constant `book`, of rank 1. Shape as of
/// add_digits; a table holds the values of each byte.
int add_look_up(Chain& chain, int book, const DigitLayout& layout, int64_t count, Shape word_shape,
                int64_t opset, const DigitFactory& source);

/// What matched: the reverse of add_digits.
struct DigitMatch {
  DigitLayout layout;
  ValueRef words;
  Shape shape;  ///< of the unpacked value
};

/// Collects what a form consists of while it is matched from its end.
struct Trail {
  std::vector<NodeRef> nodes;
  std::vector<ValueRef> constants;
  void add(const NodeRef& node) { nodes.push_back(node); }
  void add(const ValueRef& value);
};

std::optional<DigitMatch> match_digits(const ValueRef& value, Trail& trail);

/// The reverse of add_look_up, from its last node.
struct LookUpMatch {
  ValueRef book;
  DigitMatch digits;
};
std::optional<LookUpMatch> match_look_up(const NodeRef& gather, Trail& trail);

/// Calls `visit(i, digit)` for every digit, filling included, in order.
template <class Visit>
void for_each_digit(const DigitMatch& match, Visit visit);

template <class Visit>
void for_each_digit(const DigitMatch& match, Visit visit) {
  const Tensor words = *match.words.constant();
  const auto walk = [&](auto values) {
    int64_t at = 0;
    for (const auto value : values) {
      auto rest = static_cast<int64_t>(value);
      for (int64_t j = 0; j + 1 < match.layout.per_word; ++j) {
        visit(at++, rest % match.layout.radix);
        rest /= match.layout.radix;
      }
      visit(at++, match.layout.per_word == 1 ? rest : rest % match.layout.radix);
    }
  };
  switch (words.type()) {
    case DataType::kUint8: return walk(words.as<uint8_t>());
    case DataType::kUint16: return walk(words.as<uint16_t>());
    case DataType::kInt32: return walk(words.as<int32_t>());
    default: return walk(words.as<int64_t>());
  }
}

/// A node that matched: right op of the default domain, one output in use.
bool is_op(const NodeRef& node, std::string_view op);
/// Value of a constant of one integer element, or nothing.
std::optional<int64_t> scalar_constant(const ValueRef& value);
/// Integers of a small constant of rank 0 or 1 (at most 64 elements), or nothing.
std::optional<std::vector<int64_t>> small_integers(const ValueRef& value);

/// Follows Reshape and Slice(0, n) from `end` down to the value that carries the data in order.
/// `shape` is that of `end` where a Reshape told it; `limit` the number of elements that a Slice keeps.
struct Peeled {
  ValueRef value;
  std::optional<Shape> shape;   ///< may hold one -1
  std::optional<int64_t> limit;
};
Peeled peel(const ValueRef& end, Trail& trail);
/// Adds to `chain` what brings `value`, `count` useful elements of `padded` in an array of shape `from`, into
/// `shape`: nothing, Reshape, or Reshape, Slice, Reshape.
int add_trim(Chain& chain, int value, int64_t count, int64_t padded, const Shape& from, const Shape& shape);
/// Shape of the result of `peel` for `total` elements below; nothing where they do not fit.
std::optional<Shape> peeled_shape(const Peeled& peeled, const Shape& below);

}  // namespace mcompress::forms
