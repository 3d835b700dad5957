// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "forms/chain.h"
#include "forms/content.h"
#include "forms/digits.h"
#include "forms/stored_form.h"

namespace mcompress::forms {

/// A way to store one tensor, ready to be written.
struct Encoding {
  FormKind kind = FormKind::kCodes;
  Chain chain;
  std::string detail;  ///< "16 values, 4 bits": for the report
};

/// What bounds the choice of an encoding.
struct EncodingLimits {
  int64_t opset = 13;
  std::vector<FormKind> forms = {};  ///< allowed kinds; empty: all
  bool allows(FormKind kind) const;
};

/// Each kind of encoding gives the ways to store a tensor that could be the smallest; none where the kind
/// does not apply. No payload is packed yet.
/// fill.cpp: Expand(value, shape).
void propose_fill(const Content& content, const EncodingLimits& limits, std::vector<Encoding>& out);
/// codes.cpp: Gather(codebook, digits) and what brings it into shape.
void propose_codes(const Content& content, const EncodingLimits& limits,
                   std::vector<Encoding>& out);
/// bitmask.cpp: Gather(values, Mul(CumSum(bits), bits)), values[0] = 0.
void propose_bitmask(const Content& content, const EncodingLimits& limits,
                     std::vector<Encoding>& out);
/// gap.cpp: ScatterElements(zeros, CumSum(distances), values).
void propose_gap(const Content& content, const EncodingLimits& limits, std::vector<Encoding>& out);

std::optional<StoredForm> match_fill(const ValueRef& end);
std::optional<StoredForm> match_codes(const ValueRef& end);
std::optional<StoredForm> match_bitmask(const ValueRef& end);
std::optional<StoredForm> match_gap(const ValueRef& end);

/// The digits that a word of each type would hold, best density first per type: layouts of `count` digits
/// below `radix`, without those whose unpacked integers exceed the runtime's folding limit.
std::vector<DigitLayout> layouts_for(int64_t radix, int64_t count);
/// The runtime folds no output above 1 GiB.
constexpr int64_t kFoldLimitBytes = int64_t{1} << 30;
/// False where unpacking `count` digits of a word type makes an intermediate that does not fold, or for 64-bit
/// integers one that costs more memory at load than it is worth.
bool folds(DataType word, int64_t count);

/// Fills in nodes, constants and bits per weight.
StoredForm finish_form(FormKind kind, const ValueRef& end, DataType type, Shape shape, Trail trail);

/// The smallest encoding of `content`, judged by the bytes that `emitter` would write for it; empty
/// when none is smaller than `limit_bytes`. Half and bfloat16 behind a Cast are tried for float tensors that
/// they hold exactly.
struct Choice {
  Encoding encoding;
  uint64_t bytes = 0;
};
std::optional<Choice> smallest_encoding(const Content& content, const Emitter& emitter,
                                        size_t end_name_length, const EncodingLimits& limits,
                                        uint64_t limit_bytes);

}  // namespace mcompress::forms
