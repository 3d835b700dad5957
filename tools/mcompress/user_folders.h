// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace mcompress::tool {

/// Where the user's cost tables are kept: mcompress/costs in $XDG_CACHE_HOME, else in ~/.cache (XDG
/// base directories); "" where neither is known.
std::filesystem::path cost_folder();

}  // namespace mcompress::tool
