// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "forms/encodings.h"

namespace mcompress::forms {

/// Cast(half or bfloat16 -> float): half the bytes, folded at load, float arithmetic.
/// `narrow` must be half or bfloat16. The Cast is placed near `before`. bfloat16 needs opset 13, half 6.
ValueRef emit_cast(Graph& graph, std::string_view hint, const Tensor& narrow, NodeRef before = {});

/// `value` (float, without NaN) as `type` where that loses no bit, else nothing.
std::optional<Tensor> narrow_exactly(const Tensor& value, DataType type);

/// For float tensors that half or bfloat16 hold exactly: the narrow tensor plain, or encoded in turn,
/// behind a Cast.
void propose_cast(const Content& content, const EncodingLimits& limits, std::vector<Encoding>& out);

std::optional<StoredForm> match_cast(const ValueRef& end);

}  // namespace mcompress::forms
