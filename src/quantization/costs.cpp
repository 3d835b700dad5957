// SPDX-License-Identifier: Apache-2.0
#include "quantization/costs.h"

#include <algorithm>

namespace mcompress::quantization {
namespace {

// Nanoseconds, one core, AVX-512 with VNNI (2023 Xeon), ONNX Runtime 1.30, the layers of a
// recognition model: float and integer kernels of the same layers in one run of
// tests/bench/int8_table.sh.
constexpr double kNode = 2000;        // dispatch of one node
constexpr double kFloatMac = 0.0135;  // dense convolution
constexpr double kInt8Mac = 0.0036;
constexpr double kElement = 0.10;  // one pass over an element in cache
constexpr double kQuantize = 0.20;
constexpr double kDequantize = 0.15;
constexpr double kLayout = 0.20;  // NCHW to NHWC, an element
constexpr double kLoneActivation =
    0.35;  // an activation that the float kernel would have done in passing
constexpr double kDepthwiseFloatElement = 0.30, kDepthwiseFloatMac = 0.018;
constexpr double kDepthwiseInt8Element = 0.26, kDepthwiseInt8Mac = 0.029;
constexpr double kRowProductFloat = 0.060;  // few rows: the weight is read for them alone
constexpr double kRowProductInt8 = 0.022;
constexpr double kProductFloat = 0.024;
constexpr double kProductInt8 = 0.0058;
constexpr double kProductOutput = 0.30;  // integers to float, an element

/// Kernels work on blocks of 16 channels: fewer leave lanes empty.
double padding_waste(int64_t channels) {
  const int64_t padded = (channels + 15) / 16 * 16;
  return static_cast<double>(padded) / static_cast<double>(std::max<int64_t>(1, channels));
}

}  // namespace

CostModel::CostModel(const Target& target) {
  if (target.kind == TargetKind::kCpuAvx2) integer_slowdown_ = 1.8;
  if (target.kind == TargetKind::kCpuArm) integer_slowdown_ = 1.5;
}

UnitCost CostModel::unit(const Unit& unit) const {
  const auto elements = static_cast<double>(unit.output_elements);
  switch (unit.kind) {
    case UnitKind::kConv:
      return convolution(unit);
    case UnitKind::kProduct:
      return product(unit);
    case UnitKind::kAdd:
      return {kNode + elements * 2 * kElement, kNode + elements * 2 * kElement};
    case UnitKind::kMaxPool:
      return {kNode + elements * 4 * kElement, kNode + elements * 4 * kElement};
    // Of no cost in float, where it renames or is fused; 8 bits are as good.
    case UnitKind::kMove:
      return {kNode, kNode};
  }
  return {};
}

UnitCost CostModel::convolution(const Unit& unit) const {
  const auto macs = static_cast<double>(unit.macs);
  const auto elements = static_cast<double>(unit.output_elements);
  const double lone = unit.lone_activation ? elements * kLoneActivation : 0;
  if (unit.layer.is_depthwise()) {
    return {kNode + elements * kDepthwiseFloatElement + macs * kDepthwiseFloatMac,
            kNode + elements * kDepthwiseInt8Element +
                macs * kDepthwiseInt8Mac * integer_slowdown_ + lone};
  }
  // In float, blocks of output channels; in 8 bits an im2col of the input, and blocks of four
  // inputs.
  const double float_time = macs * kFloatMac * padding_waste(unit.layer.outputs);
  double int8_time = macs * kInt8Mac * padding_waste(unit.layer.outputs) * integer_slowdown_;
  const double gathered = static_cast<double>(unit.layer.kernel * unit.layer.inputs) * elements /
                          static_cast<double>(std::max<int64_t>(1, unit.layer.outputs));
  if (unit.layer.kernel > 1) int8_time += gathered * 0.05;
  if (unit.layer.inputs <= 4) int8_time += gathered * 0.5;  // the stem: no blocks of channels
  return {kNode + float_time, kNode + int8_time + elements * kElement + lone};
}

UnitCost CostModel::product(const Unit& unit) const {
  const auto macs = static_cast<double>(unit.macs);
  const auto elements = static_cast<double>(unit.output_elements);
  const bool few_rows = unit.rows <= 4;
  return {kNode + macs * (few_rows ? kRowProductFloat : kProductFloat),
          kNode + macs * (few_rows ? kRowProductInt8 : kProductInt8) * integer_slowdown_ +
              elements * kProductOutput};
}

double CostModel::quantize(int64_t elements, bool spatial) const {
  return kNode + static_cast<double>(elements) * (kQuantize + (spatial ? kLayout : 0));
}

double CostModel::dequantize(int64_t elements, bool spatial) const {
  return kNode + static_cast<double>(elements) * (kDequantize + (spatial ? kLayout : 0));
}

}  // namespace mcompress::quantization
