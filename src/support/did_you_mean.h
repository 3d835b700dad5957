// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mcompress {

/// The candidate that `word` was probably meant to be, or "" when none is near: few letters
/// changed, swapped, missing or too many; case and '_' for '-' count as nothing. The first of
/// equals.
std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates);

/// Hint for an unknown name: "did you mean 'int8'?", else "one of a, b, c" while that is short,
/// else "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace mcompress
