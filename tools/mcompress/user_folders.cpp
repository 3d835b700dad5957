// SPDX-License-Identifier: Apache-2.0
#include "user_folders.h"

#include <cstdlib>

namespace mcompress::tool {
namespace {

/// Relative paths are no folders to the specification.
std::filesystem::path absolute_or_none(const char* value) {
  const std::filesystem::path path = value == nullptr ? "" : value;
  return path.is_absolute() ? path : "";
}

}  // namespace

std::filesystem::path cost_folder() {
  std::filesystem::path cache = absolute_or_none(std::getenv("XDG_CACHE_HOME"));
  if (cache.empty()) {
    const std::filesystem::path home = absolute_or_none(std::getenv("HOME"));
    if (home.empty()) return "";
    cache = home / ".cache";
  }
  return cache / "mcompress" / "costs";
}

}  // namespace mcompress::tool
