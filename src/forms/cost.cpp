// SPDX-License-Identifier: Apache-2.0
#include "forms/cost.h"

#include <array>
#include <limits>

namespace mcompress::forms {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// Measured with 1, 16 and 128 rows, 1024 x 1024, AVX-512 with VNNI.
struct RowCosts {
  double one, some, many;
  double at(int64_t rows) const { return rows == 0 || rows >= 64 ? many : rows >= 8 ? some : one; }
};
constexpr RowCosts kStatic{0.36, 0.27, 0.20};
constexpr RowCosts kDynamic{0.35, 0.30, 0.20};
constexpr RowCosts kOnly8{0.45, 0.83, 0.61};
constexpr RowCosts kOnly4{0.33, 0.66, 0.48};

/// Without VNNI three instructions do the work of one; ARM has dot products of half the width.
double integer_slowdown(const Target& target) {
  switch (target.kind) {
    case TargetKind::kCpuVnni: return 1.0;
    case TargetKind::kCpuArm: return 1.5;
    default: return 1.8;
  }
}

bool is_convolution(const Layer& layer) {
  return layer.kind == LayerKind::kConv || layer.kind == LayerKind::kConvTranspose;
}

double static_convolution(const Layer& layer, double slowdown) {
  if (layer.kind == LayerKind::kConvTranspose) return kNever;  // no integer kernel
  if (layer.is_depthwise()) return 1.0;   // 1.7 alone, pays inside a chain
  if (layer.groups > 1) return 3.4;
  if (layer.inputs <= 4) return 2.0;      // the stem: too few channels for the NHWC kernel
  if (layer.kernel > 1) return 0.28 * slowdown;
  return (layer.outputs < 32 ? 0.66 : 0.36) * slowdown;
}

}  // namespace

FormFacts facts(LayerForm form) {
  static constexpr std::array<FormFacts, 6> kFacts{{
      {"float", 7, "1.17"},
      {"static int8", 13, "1.17"},
      {"dynamic int8", 11, "1.17"},
      {"8-bit weights", 13, "1.30"},
      {"4-bit weights", 7, "1.17"},
      {"dequantized each run", 10, "1.17"},
  }};
  return kFacts.at(static_cast<size_t>(form));
}

double relative_time(LayerForm form, const Layer& layer, int64_t rows, const Target& target) {
  const double slowdown = integer_slowdown(target);
  const bool convolution = is_convolution(layer);
  const bool product = layer.kind == LayerKind::kMatMul || layer.kind == LayerKind::kGemm;
  switch (form) {
    case LayerForm::kFloat: return 1.0;
    case LayerForm::kStaticInt8:
      if (convolution) return static_convolution(layer, slowdown);
      return product ? kStatic.at(rows) * slowdown : kNever;
    case LayerForm::kDynamicInt8: return product ? kDynamic.at(rows) * slowdown : kNever;
    case LayerForm::kWeightOnly8: return product ? kOnly8.at(rows) * slowdown : kNever;
    case LayerForm::kWeightOnly4: return product ? kOnly4.at(rows) * slowdown : kNever;
    case LayerForm::kDequantizeEachRun: return convolution ? 1.41 : 4.6;
  }
  return kNever;
}

}  // namespace mcompress::forms
