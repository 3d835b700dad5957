// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace mcompress {

/// Hardware that a model is made for (product.md section 2).
enum class TargetKind { kCpu, kCpuVnni, kCpuAvx2, kCpuArm, kGpu };

/// What passes ask of a target; plain facts, no measuring.
struct Target {
  TargetKind kind = TargetKind::kCpu;

  /// 8-bit weights must obey the pair rule |w1 + w2| <= 128, because 16-bit sums saturate on x86
  /// without VNNI (algorithms.md section 3).
  bool needs_pair_rule() const { return kind == TargetKind::kCpu || kind == TargetKind::kCpuAvx2; }
  /// Half-precision arithmetic pays (whole-graph FP16), not only storage.
  bool has_fast_half() const { return kind == TargetKind::kGpu; }
  /// Kept channels and ranks are rounded to this many.
  int channel_multiple() const { return kind == TargetKind::kCpuAvx2 ? 8 : 16; }
};

/// Name as in a recipe: cpu, cpu-vnni, cpu-avx2, cpu-arm, gpu.
std::string_view target_name(TargetKind kind);
/// Throws kUsage naming the known targets.
TargetKind parse_target(std::string_view name);

}  // namespace mcompress
