// SPDX-License-Identifier: Apache-2.0
#include "forms/encodings.h"

#include <algorithm>
#include <utility>

#include "forms/cast.h"

namespace mcompress::forms {
namespace {

/// 64-bit integers take twice the dense tensor while a chain unfolds; not above this many elements.
constexpr int64_t kMaxWideCount = int64_t{1} << 25;

/// A chain with more nodes has to earn them: half a per cent.
bool clearly_smaller(uint64_t bytes, uint64_t best) { return bytes < best - best / 200; }

void propose_direct(const Content& content, const EncodingLimits& limits,
                    std::vector<Encoding>& out) {
  propose_fill(content, limits, out);
  propose_codes(content, limits, out);
  propose_gap(content, limits, out);
  propose_bitmask(content, limits, out);
}

}  // namespace

bool EncodingLimits::allows(FormKind kind) const {
  return forms.empty() || std::find(forms.begin(), forms.end(), kind) != forms.end();
}

bool folds(DataType word, int64_t count) {
  const int64_t width = word == DataType::kInt64 ? 8 : 4;
  if (word == DataType::kInt64 && count > kMaxWideCount) return false;
  return count <= kFoldLimitBytes / width;
}

std::vector<DigitLayout> layouts_for(int64_t radix, int64_t count) {
  std::vector<DigitLayout> layouts;
  for (const DataType word : word_types()) {
    const int64_t most = digits_per_word(word, radix);
    const bool wide = data_type_bits(word) > 16;
    if (most < (wide ? 2 : 1) || !folds(word, count + most)) continue;
    layouts.push_back({word, radix, most});
    // Fewer digits to a byte that leave no rest save the nodes that cut it off.
    for (int64_t fewer = most - 1; word == DataType::kUint8 && count % most != 0 && fewer > 0;
         --fewer) {
      if (count % fewer != 0) continue;
      layouts.push_back({word, radix, fewer});
      break;
    }
  }
  return layouts;
}

StoredForm finish_form(FormKind kind, const ValueRef& end, DataType type, Shape shape,
                       Trail trail) {
  StoredForm form;
  form.kind = kind;
  form.end = end;
  form.type = type;
  form.shape = std::move(shape);
  form.nodes = std::move(trail.nodes);
  form.constants = std::move(trail.constants);
  double bits = 0;
  for (const ValueRef& c : form.constants) {
    bits += 8.0 * static_cast<double>(
                      packed_bytes(c.constant_type(), element_count(c.constant_shape())));
  }
  const int64_t count = element_count(form.shape);
  form.bits_per_weight = count > 0 ? bits / static_cast<double>(count) : 0;
  return form;
}

std::optional<Choice> smallest_encoding(const Content& content, const Emitter& emitter,
                                        size_t end_name_length, const EncodingLimits& limits,
                                        uint64_t limit_bytes) {
  std::vector<Encoding> proposals;
  propose_direct(content, limits, proposals);
  propose_cast(content, limits, proposals);
  std::optional<Choice> best;
  for (Encoding& proposal : proposals) {
    if (proposal.chain.least_opset() > limits.opset) continue;
    // Payloads alone are a lower bound, and cheap.
    if (proposal.chain.payload_bytes() >= (best ? best->bytes : limit_bytes)) continue;
    const uint64_t bytes = emitter.bytes(proposal.chain, end_name_length);
    if (bytes >= limit_bytes || (best && !clearly_smaller(bytes, best->bytes))) continue;
    best = Choice{std::move(proposal), bytes};
  }
  return best;
}

}  // namespace mcompress::forms
