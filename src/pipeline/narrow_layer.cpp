// SPDX-License-Identifier: Apache-2.0
#include "pipeline/narrow_layer.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "forms/chain.h"
#include "forms/quantized_weight.h"
#include "forms/stored_form.h"

namespace mcompress {
namespace {

/// Kernels work on so many outputs at once.
constexpr int64_t kOutputGroup = 16;
/// Between codes of 2 bits, or fewer, and of 3 or more.
constexpr double kFewBits = 2.7;

/// The first `count` entries along `axis`.
Tensor first_of(const Tensor& tensor, int axis, int64_t count) {
  const int bits = data_type_bits(tensor.type());
  if (bits < 8) {
    const bool is_signed = tensor.type() == DataType::kInt4 || tensor.type() == DataType::kInt2;
    const DataType wide = is_signed ? DataType::kInt8 : DataType::kUint8;
    return first_of(tensor.cast(wide), axis, count).cast(tensor.type());
  }
  Shape shape = tensor.shape();
  const auto at = static_cast<size_t>(axis);
  size_t outer = 1, inner = static_cast<size_t>(bits) / 8;
  for (size_t d = 0; d < at; ++d) outer *= static_cast<size_t>(shape[d]);
  for (size_t d = at + 1; d < shape.size(); ++d) inner *= static_cast<size_t>(shape[d]);
  const size_t from = inner * static_cast<size_t>(shape[at]);
  const size_t to = inner * static_cast<size_t>(count);
  shape[at] = count;
  Tensor result(tensor.type(), shape);
  const auto out = result.mutate();
  for (size_t o = 0; o < outer; ++o) {
    std::memcpy(out.data() + o * to, tensor.bytes().data() + o * from, to);
  }
  return result;
}

/// Of a matrix. Empty where the scales do not go along with the outputs.
std::optional<forms::QuantizedWeight> narrowed(forms::QuantizedWeight weight, int axis,
                                               int64_t outputs) {
  const bool one_scale = weight.block == 0 && weight.scales.count() == 1;
  if (!one_scale && (weight.block > 0) == (weight.axis == axis)) return std::nullopt;
  weight.codes = first_of(weight.codes, axis, outputs);
  if (one_scale) return weight;
  const int scale_axis = weight.block > 0 ? axis : 0;
  weight.scales = first_of(weight.scales, scale_axis, outputs);
  if (weight.zero_points) weight.zero_points = first_of(*weight.zero_points, scale_axis, outputs);
  return weight;
}

/// Empty where it does not become the same form again.
ValueRef emit_as(Graph& graph, const forms::StoredForm& form, const forms::QuantizedWeight& weight) {
  ValueRef end;
  if (form.kind == forms::FormKind::kDequantize) {
    end = forms::emit_dequantize(graph, "narrow", weight);
  } else if (!form.inner) {
    end = forms::emit_scaled(graph, "narrow", weight);
  } else {
    forms::Emitter emitter(graph);
    end = forms::emit_packed(emitter, "narrow", weight, form.bits_per_weight > kFewBits ? 4 : 2);
  }
  const auto now = forms::recognise(end);
  return now && now->kind == form.kind && now->inner == form.inner ? end : ValueRef();
}

/// Whether a bias could be cut, or needs no cut.
bool is_cuttable(const Layer& layer) {
  if (layer.kind == LayerKind::kMatMul || !layer.node.input(2)) return true;
  return layer.bias && layer.bias.constant_shape() == Shape{layer.outputs};
}

}  // namespace

bool narrow_layer(Layer& layer, int64_t weights) {
  const bool is_product = layer.kind == LayerKind::kMatMul || layer.kind == LayerKind::kGemm;
  if (!is_product || layer.weight_shape.size() != 2 || !is_cuttable(layer)) return false;
  const int64_t outputs = weights / std::max<int64_t>(layer.inputs, 1) / kOutputGroup * kOutputGroup;
  if (outputs < kOutputGroup || outputs >= layer.outputs) return false;
  const auto form = forms::recognise(layer.weight);
  if (!form || !form->quantized()) return false;
  const auto whole = forms::quantized_weight(layer.weight);
  if (!whole || whole->codes.shape() != layer.weight_shape) return false;
  const auto part = narrowed(*whole, layer.output_axis, outputs);
  Graph& graph = layer.node.graph();
  const ValueRef end = part ? emit_as(graph, *form, *part) : ValueRef();
  if (!end) return false;
  graph.set_input(layer.node, layer.weight_input, end);
  if (layer.bias) {
    graph.set_constant_input(layer.node, layer.bias_input,
                             first_of(*layer.bias.constant(), 0, outputs));
  }
  layer.weight = end;
  layer.outputs = outputs;
  layer.weight_shape[static_cast<size_t>(layer.output_axis)] = outputs;
  return true;
}

}  // namespace mcompress
