// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>

namespace mcompress::support {

/// Bytes that gzip (level 6) would make of a file, without writing it. Throws kRuntime.
uint64_t gzip_size(const std::filesystem::path& path);

}  // namespace mcompress::support
