// SPDX-License-Identifier: Apache-2.0
#include "fast_blas.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include <unistd.h>

#include "numerics/linear_algebra.h"
#include "support/system_info.h"

namespace mcompress::tool {
namespace {

constexpr const char* kVariable = "OPENBLAS_CORETYPE";

bool computes(std::string_view command) {
  return command == "run" || command == "calibrate" || command == "sensitivity";
}

/// Kernels for the CPU, or null where the chosen ones are as good as any.
const char* better_kernels() {
  if (numerics::blas_kernels() != "Prescott") return nullptr;
  const std::string sets = " " + support::instruction_sets() + " ";
  if (sets.find(" avx512f ") != std::string::npos) return "SkylakeX";
  return sets.find(" avx2 ") != std::string::npos ? "Haswell" : nullptr;
}

}  // namespace

void prefer_fast_blas(int argc, char** argv) {
  if (argc < 2 || !computes(argv[1]) || getenv(kVariable) != nullptr) return;
  const char* const kernels = better_kernels();
  if (kernels == nullptr || setenv(kVariable, kernels, 1) != 0) return;
  execv("/proc/self/exe", argv);  // where it cannot, the slow kernels do
}

}  // namespace mcompress::tool
