// SPDX-License-Identifier: Apache-2.0
// Dense codes: every element is the number of its value in a codebook.
//   [Cast] -> Div -> Mod -> Gather(codebook) -> Reshape      several digits to a word
//   Cast -> Gather(table) -> Reshape                         many bytes: table[b] = the values of
//                                                            byte b, Gather(codebook, its digits)
//   Cast -> Gather(codebook)                                 one code to a byte, in the tensor's shape
#include <fmt/format.h>

#include <cstring>

#include "forms/encodings.h"

namespace mcompress::forms {
namespace {

Tensor look_up(const Tensor& codebook, const DigitMatch& digits, const Shape& shape,
               const std::string& name) {
  Tensor result(codebook.type(), shape);
  const size_t width = codebook.byte_size() / static_cast<size_t>(codebook.count());
  const std::byte* book = codebook.bytes().data();
  std::byte* out = result.mutate().data();
  const int64_t count = result.count();
  const int64_t values = codebook.count();
  for_each_digit(digits, [&](int64_t i, int64_t code) {
    if (i >= count) return;
    if (code >= values) {
      throw Error(ErrorCode::kModel, fmt::format("{}: code {} points outside its codebook of {}",
                                                 name, code, values));
    }
    std::memcpy(out + static_cast<size_t>(i) * width, book + static_cast<size_t>(code) * width,
                width);
  });
  return result;
}

}  // namespace

void propose_codes(const Content& content, const EncodingLimits& limits,
                   std::vector<Encoding>& out) {
  if (!limits.allows(FormKind::kCodes) || !content.has_codes()) return;
  const auto radix = static_cast<int64_t>(content.patterns.size());
  if (radix < 2) return;
  const int64_t count = content.count();
  const DataType type = content.value.type();
  for (const DigitLayout& layout : layouts_for(radix, count)) {
    Encoding encoding;
    encoding.kind = FormKind::kCodes;
    encoding.detail = fmt::format("{} values, {:.2f} bits each", radix,
                                  data_type_bits(layout.word) /
                                      static_cast<double>(layout.per_word));
    Chain& chain = encoding.chain;
    if (type == DataType::kBfloat16) chain.require_opset(13);
    const int book = chain.constant(pattern_tensor(type, content.patterns));
    const Shape& shape = content.value.shape();
    const DigitFactory source = [codes = content.codes] {
      return [codes](int64_t i) {
        const auto at = static_cast<size_t>(i);
        return at < codes->size() ? int64_t{(*codes)[at]} : int64_t{0};
      };
    };
    const int values = add_look_up(chain, book, layout, count, shape, limits.opset, source);
    const Shape from = layout.per_word == 1 ? shape : Shape{layout.words(count), layout.per_word};
    add_trim(chain, values, count, layout.padded(count), from, shape);
    out.push_back(std::move(encoding));
  }
}

std::optional<StoredForm> match_codes(const ValueRef& end) {
  Trail trail;
  const Peeled peeled = peel(end, trail);
  const NodeRef gather = peeled.value.producer();
  const auto found = match_look_up(gather, trail);
  if (!found) return std::nullopt;
  const auto& [book, digits] = *found;
  // Indices that the file holds as they are belong to an embedding or a shape computation.
  if (digits.layout.per_word == 1 && gather.input(1).is_constant()) return std::nullopt;
  const auto shape = peeled_shape(peeled, digits.shape);
  if (!shape) return std::nullopt;
  StoredForm form =
      finish_form(FormKind::kCodes, end, book.constant_type(), *shape, std::move(trail));
  form.digits = StoredDigits{digits.words, digits.layout};
  form.decode = [found = *found, shape = *shape, name = end.name()] {
    return look_up(*found.book.constant(), found.digits, shape, name);
  };
  return form;
}

}  // namespace mcompress::forms
