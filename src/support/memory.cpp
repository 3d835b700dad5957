// SPDX-License-Identifier: Apache-2.0
#include "support/memory.h"

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace mcompress::support {
namespace {

/// A line of /proc/self/status, which counts in kB.
uint64_t status_bytes(std::string_view key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::strtoull(line.c_str() + key.size(), nullptr, 10) * 1024;
  }
  return 0;
}

}  // namespace

uint64_t peak_resident_bytes() { return status_bytes("VmHWM:"); }
uint64_t resident_bytes() { return status_bytes("VmRSS:"); }

}  // namespace mcompress::support
