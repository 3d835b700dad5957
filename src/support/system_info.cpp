// SPDX-License-Identifier: Apache-2.0
#include "support/system_info.h"

#include <sys/utsname.h>

#include <array>
#include <fstream>
#include <sstream>
#include <string_view>

namespace mcompress::support {
namespace {

/// Value of the first line of /proc/cpuinfo that starts with one of `keys`.
std::string cpu_line(std::initializer_list<std::string_view> keys) {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    for (const auto key : keys) {
      const size_t colon = line.find(": ");
      if (line.starts_with(key) && colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "";
}

}  // namespace

std::string cpu_name() { return cpu_line({"model name", "Model", "Hardware"}); }

std::string instruction_sets() {
  constexpr std::array<std::string_view, 9> kWanted{"avx",         "avx2",     "f16c",
                                                    "avx512f",     "avx_vnni", "avx512_vnni",
                                                    "avx512_bf16", "amx_int8", "asimddp"};
  std::istringstream flags(cpu_line({"flags", "Features"}));
  std::string found;
  for (std::string flag; flags >> flag;) {
    for (const auto wanted : kWanted) {
      if (flag == wanted) found += (found.empty() ? "" : " ") + flag;
    }
  }
  return found;
}

std::string operating_system() {
  utsname name = {};
  if (::uname(&name) != 0) return "";
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

}  // namespace mcompress::support
