// SPDX-License-Identifier: Apache-2.0
#include "quantization/fused_products.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "forms/nbits.h"

namespace mcompress::quantization {
namespace {

constexpr int64_t kBlockedOpset = 21;
/// Of MatMulNBits where there is one scale for an output.
constexpr int64_t kKernelBlock = 32;

bool has_default_factors(const NodeRef& gemm) {
  return gemm.attribute("alpha", 1.0F) == 1.0F &&
         (!gemm.input(2) || gemm.attribute("beta", 1.0F) == 1.0F);
}

/// Operators that the runtime fuses into a Gemm before it looks for a DequantizeLinear.
bool is_fused_activation(const NodeRef& node) {
  static const std::set<std::string_view> operators{
      "Elu",     "HardSigmoid", "LeakyRelu", "Relu", "Selu",
      "Sigmoid", "Softplus",    "Softsign",  "Tanh", "ThresholdedRelu"};
  return node.domain().empty() && operators.count(node.op()) != 0;
}

/// An activation follows, for a MatMul also behind an Add, which makes a Gemm of it.
bool feeds_activation(const NodeRef& node) {
  for (const Use& use : node.output(0).uses()) {
    if (is_fused_activation(use.node)) return true;
    if (node.is("MatMul") && use.node.is("Add") && feeds_activation(use.node)) return true;
  }
  return false;
}

}  // namespace

bool becomes_nbits(const Layer& layer) {
  const NodeRef node = layer.node;
  if (layer.weight_input != 1 || layer.weight_shape.size() != 2) return false;
  if (&layer.weight.scope() != &node.graph() || feeds_activation(node)) return false;
  if (layer.kind == LayerKind::kMatMul) return true;
  if (layer.kind != LayerKind::kGemm || node.attribute("transA", int64_t{0}) != 0) return false;
  const ValueRef bias = node.input(2);
  const bool plain_bias =
      !bias || (bias.is_constant() && bias.constant_shape() == Shape{layer.outputs});
  return plain_bias && has_default_factors(node);
}

std::optional<int64_t> product_rows(const ValueType& input) {
  if (!input.known_rank) return std::nullopt;
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < input.shape.size(); ++d) {
    if (input.shape[d] < 0 && d > 0) return std::nullopt;
    rows *= std::max<int64_t>(input.shape[d], 1);
  }
  return rows;
}

bool is_faster_as_nbits(const Layer& layer, const std::optional<int64_t>& rows, int bits,
                        const CostModel& costs) {
  const auto form = bits == 4 ? forms::LayerForm::kWeightOnly4 : forms::LayerForm::kWeightOnly8;
  return rows && costs.relative_time(form, layer, *rows) < 1;
}

void read_fused(const Layer& layer, forms::QuantizedWeight weight, WeightBits width) {
  Graph& graph = layer.node.graph();
  const bool turned = becomes_nbits(layer) && layer.output_axis == 0;
  if (turned) weight = forms::transposed(weight);
  const int bits = width == WeightBits::k8 ? 8 : 4;
  const int64_t opset = graph.model().opset();
  if (opset < (bits == 8 && weight.block == 0 ? kDequantizeOpset : kBlockedOpset)) {
    const int64_t block = weight.block > 0 ? weight.block : kKernelBlock;
    const ValueRef y =
        forms::emit_nbits(graph, layer.weight.name(), layer.node.input(0),
                          forms::pack_nbits(weight, bits, block), layer.node.input(2), layer.node);
    graph.supersede(layer.node.output(), y);
    graph.erase(layer.node);
    return;
  }
  if (bits == 4) {
    const DataType type = weight.zero_points ? DataType::kUint4 : DataType::kInt4;
    weight.codes = weight.codes.cast(type);
    if (weight.zero_points) weight.zero_points = weight.zero_points->cast(type);
  }
  Graph& scope = layer.weight.scope();
  const std::string& name = layer.weight.name();
  const ValueRef codes = scope.add_constant(name + "_q", weight.codes);
  const ValueRef scales = scope.add_constant(name + "_s", weight.scales);
  ValueRef zeros;
  if (weight.zero_points) zeros = scope.add_constant(name + "_z", *weight.zero_points);
  const bool per_tensor = weight.scales.shape().empty();
  const ValueRef end = forms::emit_dequantize(graph, codes, scales, zeros, weight.axis,
                                              weight.block, per_tensor, layer.node);
  graph.set_input(layer.node, layer.weight_input, end);
  if (turned) graph.remove_attribute(layer.node, "transB");
}

}  // namespace mcompress::quantization
