// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace mcompress::support {

/// "Intel(R) Xeon(R) Processor"; "" where the system does not tell.
std::string cpu_name();
/// Of those that decide kernels: "avx2 f16c avx512f avx512_vnni"; "" where the system does not
/// tell.
std::string instruction_sets();
/// "Linux 6.1 x86_64".
std::string operating_system();
/// "g++ 12.2.0".
std::string compiler();

}  // namespace mcompress::support
