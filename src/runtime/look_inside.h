// SPDX-License-Identifier: Apache-2.0
// What the runtime makes of a model: the optimized graph, and where the time goes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "mcompress/runtime_service.h"

namespace mcompress::runtime {

/// Reads a model that the runtime wrote. Throws kRuntime when it cannot be read.
std::vector<OptimizedNode> read_optimized(const std::filesystem::path& path);

/// Mean time per Run and node from a profile of the runtime, in order of execution. The first
/// Run is taken for warming up and dropped where there are more. Nodes of one name and op are
/// added.
std::vector<NodeProfile> read_profile(const std::filesystem::path& path);

}  // namespace mcompress::runtime
