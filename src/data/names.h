// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace mcompress::data {

/// "'a', 'b', 'c' and 9 more"; "none" for an empty list.
std::string list_names(const std::vector<std::string>& names, size_t most = 8);

}  // namespace mcompress::data
