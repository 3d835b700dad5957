// SPDX-License-Identifier: Apache-2.0
#include "mcompress/target.h"

#include <iterator>

#include "mcompress/error.h"

namespace mcompress {
namespace {

struct Row {
  TargetKind kind;
  std::string_view name;
};
constexpr Row kTargets[] = {{TargetKind::kCpu, "cpu"},
                            {TargetKind::kCpuVnni, "cpu-vnni"},
                            {TargetKind::kCpuAvx2, "cpu-avx2"},
                            {TargetKind::kCpuArm, "cpu-arm"},
                            {TargetKind::kGpu, "gpu"}};

}  // namespace

std::string_view target_name(TargetKind kind) {
  for (const Row& row : kTargets) {
    if (row.kind == kind) return row.name;
  }
  return "cpu";
}

TargetKind parse_target(std::string_view name) {
  std::string known;
  for (const Row& row : kTargets) {
    if (row.name == name) return row.kind;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw Error(ErrorCode::kUsage, "target '" + std::string(name) + "' is unknown")
      .hint("the targets are " + known);
}

}  // namespace mcompress
