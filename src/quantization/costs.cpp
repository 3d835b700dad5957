// SPDX-License-Identifier: Apache-2.0
#include "quantization/costs.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace mcompress::quantization {
namespace {

using forms::LayerForm;

constexpr double kNever = std::numeric_limits<double>::infinity();

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
constexpr double kPooledFloat = 0.10, kPooledInt8 = 0.055;  // of a global pool, an input
constexpr double kActivation = 0.28, kLookup = 0.28;        // LeakyRelu, Sigmoid
constexpr double kDepthwiseFloatElement = 0.30, kDepthwiseFloatMac = 0.018;
constexpr double kDepthwiseInt8Element = 0.26, kDepthwiseInt8Mac = 0.029;
constexpr double kRowProductFloat = 0.060;  // few rows: the weight is read for them alone
constexpr double kRowProductInt8 = 0.022;
constexpr double kProductFloat = 0.024;
constexpr double kProductInt8 = 0.0058;
constexpr double kPacked = 0.5;  // an element of a matrix that is computed, packed for a product
constexpr double kProductOutput = 0.30;  // integers to float, an element
constexpr double kDynamicInput = 0.45;   // the range of an element, and its integer
constexpr double kGroupedInt8 = 3.4;     // over float
constexpr double kDequantizedConv = 1.41, kDequantizedProduct = 4.6;

constexpr int64_t kFewRows = 4;
constexpr int64_t kUnknownRows = 64;

/// Kernels work on blocks of 16 channels: fewer leave lanes empty.
double padding_waste(int64_t channels) {
  const int64_t padded = (channels + 15) / 16 * 16;
  return static_cast<double>(padded) / static_cast<double>(std::max<int64_t>(1, channels));
}

/// MatMulNBits over float: large weights read for few rows gain, everything else loses (1, 2, 8 and
/// 16 rows, 2^15 to 2^22 weights).
double nbits_over_float(int bits, int64_t weights, int64_t rows) {
  const bool gains = weights >= (int64_t{1} << (rows <= 2 ? 17 : 19));
  if (rows <= 2 && gains) return bits == 4 ? 0.33 : 0.45;
  if (rows <= 8 && gains) return bits == 4 ? 0.66 : 0.83;
  return bits == 4 ? 1.3 : 1.5;
}

std::string dims(const std::vector<int64_t>& sizes) {
  std::string text;
  for (const int64_t size : sizes) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text;
}

bool is_one(int64_t size) { return size == 1; }

/// " stride 2x2", or nothing where every entry is 1.
std::string dims_unless_one(const char* word, const std::vector<int64_t>& sizes) {
  if (std::all_of(sizes.begin(), sizes.end(), is_one)) return "";
  return std::string(" ") + word + " " + dims(sizes);
}

std::string with_form(const std::string& what, LayerForm form) {
  return what + ": " + std::string(forms::facts(form).name);
}

std::string boundary_key(const char* op, int64_t elements, bool spatial) {
  return std::string(op) + " " + std::to_string(elements) + (spatial ? " spatial" : "");
}

bool is_layer_unit(const Unit& unit) {
  return unit.kind == UnitKind::kConv || unit.kind == UnitKind::kProduct;
}

bool is_convolution(const Layer& layer) {
  return layer.kind == LayerKind::kConv || layer.kind == LayerKind::kConvTranspose;
}

}  // namespace

CostModel::CostModel(const Target& target, const CostTable* table) : table_(table) {
  if (target.kind == TargetKind::kCpuAvx2) integer_slowdown_ = 1.8;
  if (target.kind == TargetKind::kCpuArm) integer_slowdown_ = 1.5;
}

UnitCost CostModel::unit(const Unit& unit) const {
  const auto elements = static_cast<double>(unit.output_elements);
  const double lone = unit.lone_activation ? elements * kLoneActivation : 0;
  if (table_ != nullptr) {
    const auto in_float = table_->find(unit_key(unit, false));
    const auto in_int8 = table_->find(unit_key(unit, true));
    if (in_float && in_int8) return {*in_float, *in_int8 + lone};
  }
  switch (unit.kind) {
    case UnitKind::kConv:
    case UnitKind::kProduct: {
      const int64_t rows = rows_of(unit);
      return {built_in(LayerForm::kFloat, unit.layer, rows),
              built_in(LayerForm::kStaticInt8, unit.layer, rows) + lone};
    }
    case UnitKind::kMatMul:
      return matrices(unit);
    // Several inputs, each with a scale of its own.
    case UnitKind::kConcat:
      return {kNode + elements * kElement, kNode + elements * 2 * kElement};
    case UnitKind::kAdd:
    case UnitKind::kMul:
      return {kNode + elements * 2 * kElement, kNode + elements * 2 * kElement};
    case UnitKind::kMaxPool:
      return {kNode + elements * 4 * kElement, kNode + elements * 4 * kElement};
    case UnitKind::kGlobalPool: {
      const auto pooled = static_cast<double>(unit.input_elements);
      return {kNode + pooled * kPooledFloat, kNode + pooled * kPooledInt8};
    }
    // In float the convolution before does it in passing.
    case UnitKind::kLookup:
      return {elements * kActivation, kNode + elements * kLookup};
    // Of no cost in float, where it renames or is fused; 8 bits are as good.
    case UnitKind::kMove:
      return {kNode, kNode};
  }
  return {};
}

double CostModel::layer(LayerForm form, const Layer& layer, int64_t rows) const {
  if (table_ != nullptr) {
    if (const auto measured = table_->find(layer_key(layer, rows, form))) return *measured;
  }
  return built_in(form, layer, rows);
}

double CostModel::relative_time(LayerForm form, const Layer& layer, int64_t rows) const {
  if (form == LayerForm::kFloat) return 1;
  if (table_ != nullptr) {
    const auto in_float = table_->find(layer_key(layer, rows, LayerForm::kFloat));
    const auto in_form = table_->find(layer_key(layer, rows, form));
    if (in_float && in_form && *in_float > 0) return *in_form / *in_float;
  }
  return built_in(form, layer, rows) / built_in(LayerForm::kFloat, layer, rows);
}

double CostModel::built_in(LayerForm form, const Layer& layer, int64_t rows) const {
  if (rows <= 0) rows = kUnknownRows;
  return is_convolution(layer) ? convolution(form, layer, rows) : product(form, layer, rows);
}

double CostModel::convolution(LayerForm form, const Layer& layer, int64_t rows) const {
  const double elements = static_cast<double>(layer.outputs) * static_cast<double>(rows);
  const double macs = static_cast<double>(layer.weight_count()) * static_cast<double>(rows);
  const bool depthwise = layer.is_depthwise();
  // In float, blocks of output channels.
  const double in_float =
      kNode + (depthwise ? elements * kDepthwiseFloatElement + macs * kDepthwiseFloatMac
                         : macs * kFloatMac * padding_waste(layer.outputs));
  if (form == LayerForm::kFloat) return in_float;
  if (form == LayerForm::kDequantizeEachRun) return in_float * kDequantizedConv;
  // Integer convolutions with a dynamic range are many times slower; transposed ones have no
  // kernel.
  if (form != LayerForm::kStaticInt8 || layer.kind == LayerKind::kConvTranspose) return kNever;
  if (depthwise) {
    return kNode + elements * kDepthwiseInt8Element + macs * kDepthwiseInt8Mac * integer_slowdown_;
  }
  if (layer.groups > 1) return in_float * kGroupedInt8;
  // In 8 bits an im2col of the input, and blocks of four inputs.
  double time = macs * kInt8Mac * padding_waste(layer.outputs) * integer_slowdown_;
  const double gathered =
      static_cast<double>(layer.kernel * layer.inputs) * static_cast<double>(rows);
  if (layer.kernel > 1) time += gathered * 0.05;
  if (layer.inputs <= 4) time += gathered * 0.5;  // the stem: no blocks of channels
  return kNode + time + elements * kElement;
}

double CostModel::product(LayerForm form, const Layer& layer, int64_t rows) const {
  const double macs = static_cast<double>(layer.weight_count()) * static_cast<double>(rows);
  const double outputs = static_cast<double>(layer.outputs) * static_cast<double>(rows);
  const double inputs = static_cast<double>(layer.inputs) * static_cast<double>(rows);
  const bool few = rows <= kFewRows;
  const double in_float = kNode + macs * (few ? kRowProductFloat : kProductFloat);
  const double in_int8 = kNode + macs * (few ? kRowProductInt8 : kProductInt8) * integer_slowdown_ +
                         outputs * kProductOutput;
  const bool is_product = layer.kind == LayerKind::kMatMul || layer.kind == LayerKind::kGemm;
  if (form == LayerForm::kFloat) return in_float;
  if (form == LayerForm::kDequantizeEachRun) return in_float * kDequantizedProduct;
  if (!is_product) return kNever;
  switch (form) {
    case LayerForm::kStaticInt8:
      return in_int8;
    case LayerForm::kDynamicInt8:
      return in_int8 + inputs * kDynamicInput;  // in the same kernel
    case LayerForm::kWeightOnly8:
      return in_float * nbits_over_float(8, layer.weight_count(), rows);
    case LayerForm::kWeightOnly4:
      return in_float * nbits_over_float(4, layer.weight_count(), rows);
    default:
      return kNever;
  }
}

UnitCost CostModel::matrices(const Unit& unit) const {
  const auto macs = static_cast<double>(unit.macs);
  const auto rows = static_cast<double>(std::max<int64_t>(1, unit.rows));
  const double output = static_cast<double>(unit.output_elements) * kProductOutput;
  // The right side is packed anew in every Run.
  const double packed = macs / rows * kPacked;
  const bool few = unit.rows <= kFewRows;
  return {
      kNode + macs * (few ? kRowProductFloat : kProductFloat),
      kNode + macs * (few ? kRowProductInt8 : kProductInt8) * integer_slowdown_ + output + packed};
}

double CostModel::quantize(int64_t elements, bool spatial) const {
  if (table_ != nullptr) {
    if (const auto measured = table_->find(quantize_key(elements, spatial))) return *measured;
  }
  return kNode + static_cast<double>(elements) * (kQuantize + (spatial ? kLayout : 0));
}

double CostModel::dequantize(int64_t elements, bool spatial) const {
  if (table_ != nullptr) {
    if (const auto measured = table_->find(dequantize_key(elements, spatial))) return *measured;
  }
  return kNode + static_cast<double>(elements) * (kDequantize + (spatial ? kLayout : 0));
}

int64_t rows_of(const Unit& unit) {
  return static_cast<int64_t>(unit.macs) / std::max<int64_t>(1, unit.layer.weight_count());
}

std::string layer_key(const Layer& layer, int64_t rows, LayerForm form) {
  std::string key = layer.node.op() + " " + dims(layer.weight_shape);
  if (layer.groups > 1) key += " groups " + std::to_string(layer.groups);
  if (is_convolution(layer)) {
    key += dims_unless_one("stride", layer.node.attribute_ints("strides"));
    key += dims_unless_one("dilation", layer.node.attribute_ints("dilations"));
  } else if (layer.kind == LayerKind::kGemm && layer.output_axis == 0) {
    key += " transposed";
  }
  return with_form(key + " rows " + std::to_string(rows), form);
}

std::string unit_key(const Unit& unit, bool in_int8) {
  const LayerForm form = in_int8 ? LayerForm::kStaticInt8 : LayerForm::kFloat;
  if (is_layer_unit(unit)) return layer_key(unit.layer, rows_of(unit), form);
  const std::string elements = " " + std::to_string(unit.output_elements);
  switch (unit.kind) {
    case UnitKind::kAdd:
      return with_form("Add" + elements, form);
    case UnitKind::kMul:
      return with_form("Mul" + elements, form);
    case UnitKind::kConcat:
      return with_form("Concat" + elements + " of " + std::to_string(unit.inputs.size()), form);
    case UnitKind::kMatMul:
      return with_form("MatMul of values" + elements + " macs " + std::to_string(unit.macs), form);
    case UnitKind::kGlobalPool:
      return with_form(
          "GlobalAveragePool " + std::to_string(unit.input_elements) + " to" + elements, form);
    case UnitKind::kLookup:
      return with_form(unit.node.op() + elements, form);
    default:
      break;
  }
  if (unit.kind != UnitKind::kMaxPool) return "";
  return with_form("MaxPool" + elements + " window " +
                       dims(unit.node.attribute_ints("kernel_shape")) +
                       dims_unless_one("stride", unit.node.attribute_ints("strides")),
                   form);
}

std::string quantize_key(int64_t elements, bool spatial) {
  return boundary_key("QuantizeLinear", elements, spatial);
}
std::string dequantize_key(int64_t elements, bool spatial) {
  return boundary_key("DequantizeLinear", elements, spatial);
}

}  // namespace mcompress::quantization
