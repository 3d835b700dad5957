// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "mcompress/error.h"

namespace mcompress {

/// What to throw where ONNX Runtime does not load the model of `path`, for the reason `why`, with
/// the way out that this reason has.
Error load_refusal(const std::filesystem::path& path, const std::string& why);

}  // namespace mcompress
