// SPDX-License-Identifier: Apache-2.0
#include "quantization/costs.h"

#include <algorithm>

namespace mcompress::quantization {
namespace {

constexpr double kNode = 1500;             // ns: dispatch of one node
constexpr double kFloatMac = 0.020;        // dense convolution, AVX-512 and AVX2 alike within a factor of 2
constexpr double kInt8Mac = 0.0055;
constexpr double kElement = 0.10;          // one pass over an element in cache
constexpr double kQuantize = 0.20;
constexpr double kDequantize = 0.15;
constexpr double kLayout = 0.20;           // NCHW to NHWC, one byte an element
constexpr double kDepthwiseFloat = 0.060;  // per multiply-accumulate
constexpr double kDepthwiseInt8 = 0.048;
constexpr double kRowProductFloat = 0.060; // one row: the weight is read for it alone
constexpr double kRowProductInt8 = 0.022;
constexpr double kProductFloat = 0.028;
constexpr double kProductInt8 = 0.0058;

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
    case UnitKind::kConv: return convolution(unit);
    case UnitKind::kProduct: return product(unit);
    case UnitKind::kAdd: return {kNode + elements * 2 * kElement, kNode + elements * 2 * kElement};
    case UnitKind::kMaxPool: return {kNode + elements * 4 * kElement, kNode + elements * 4 * kElement};
    // Of no cost in float, where it renames or is fused; 8 bits are as good.
    case UnitKind::kMove: return {kNode, kNode};
  }
  return {};
}

UnitCost CostModel::convolution(const Unit& unit) const {
  const auto macs = static_cast<double>(unit.macs);
  if (unit.layer.is_depthwise()) {
    return {kNode + macs * kDepthwiseFloat, kNode + macs * kDepthwiseInt8 * integer_slowdown_};
  }
  // In float, blocks of output channels; in 8 bits an im2col of the input, and blocks of four inputs.
  const auto elements = static_cast<double>(unit.output_elements);
  const double float_time = macs * kFloatMac * padding_waste(unit.layer.outputs);
  double int8_time = macs * kInt8Mac * padding_waste(unit.layer.outputs) * integer_slowdown_;
  const double gathered = static_cast<double>(unit.layer.kernel) * elements /
                          static_cast<double>(std::max<int64_t>(1, unit.layer.outputs)) *
                          static_cast<double>(unit.layer.inputs);
  if (unit.layer.kernel > 1) int8_time += gathered * 0.05;
  if (unit.layer.inputs <= 4) int8_time += gathered * 0.5;  // the stem: no blocks of channels
  return {kNode + float_time, kNode + int8_time + elements * kElement};
}

UnitCost CostModel::product(const Unit& unit) const {
  const auto macs = static_cast<double>(unit.macs);
  const bool one_row = unit.rows <= 4;
  return {kNode + macs * (one_row ? kRowProductFloat : kProductFloat),
          kNode + macs * (one_row ? kRowProductInt8 : kProductInt8) * integer_slowdown_};
}

double CostModel::quantize(int64_t elements, bool spatial) const {
  return kNode + static_cast<double>(elements) * (kQuantize + (spatial ? kLayout : 0));
}

double CostModel::dequantize(int64_t elements, bool spatial) const {
  return kNode + static_cast<double>(elements) * (kDequantize + (spatial ? kLayout : 0));
}

}  // namespace mcompress::quantization
