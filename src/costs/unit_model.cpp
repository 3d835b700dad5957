// SPDX-License-Identifier: Apache-2.0
#include "costs/unit_model.h"

#include <algorithm>

#include "analysis/extract.h"
#include "forms/dynamic.h"
#include "forms/nbits.h"
#include "forms/quantized_weight.h"
#include "mcompress/runtime_service.h"
#include "quantization/emit.h"

namespace mcompress::costs {
namespace {

using forms::LayerForm;
using quantization::Unit;
using quantization::UnitKind;

constexpr float kScale = 0.05F;
constexpr int64_t kBlock = 32;

std::vector<NodeRef> nodes_of(const Unit& unit, const Unit* before) {
  std::vector<NodeRef> nodes;
  if (before != nullptr) nodes = nodes_of(*before, nullptr);
  nodes.push_back(unit.node);
  if (unit.activation) nodes.push_back(unit.activation);
  return nodes;
}

quantization::ValueParams params_for(const std::vector<Unit>& units) {
  quantization::ValueParams params;
  for (const Unit& unit : units) {
    for (const auto& input : unit.inputs)
      params.try_emplace(input, numerics::QuantParams{kScale, 128});
    if (!quantization::leaves_int8(unit)) continue;
    params[unit.output] = {kScale, unit.activation ? 0 : 128};
  }
  for (const Unit& unit : units) {
    if (unit.kind == UnitKind::kMaxPool || unit.kind == UnitKind::kMove)
      params[unit.output] = params.at(unit.inputs[0]);
  }
  return params;
}

/// Integers of -8..7 in the layout [inputs, outputs], which ones does not matter.
forms::QuantizedWeight codes_for(const Layer& layer) {
  std::vector<int8_t> codes(static_cast<size_t>(layer.weight_count()));
  for (size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<int8_t>(static_cast<int>(i * 7 % 16) - 8);
  const std::vector<float> scales(static_cast<size_t>(layer.outputs), kScale);
  forms::QuantizedWeight weight;
  weight.codes = Tensor::from<int8_t>({layer.inputs, layer.outputs}, codes);
  weight.scales = Tensor::from<float>({layer.outputs}, scales);
  weight.axis = 1;
  return weight;
}

bool is_plain_product(const Unit& unit) {
  return unit.kind == UnitKind::kProduct && unit.layer.weight_input == 1 &&
         unit.layer.weight_shape.size() == 2;
}

/// Replaces the product of a cut-out unit by another form of it.
void emit_product(const Unit& unit, LayerForm form) {
  const Layer& layer = unit.layer;
  Graph& graph = layer.node.graph();
  const NodeRef node = layer.node;
  const ValueRef bias = node.input(2);
  const forms::QuantizedWeight weight = codes_for(layer);
  if (form == LayerForm::kWeightOnly8) {
    graph.set_input(node, 1, forms::emit_dequantize(graph, "w", weight, node));
    if (node.has_attribute("transB")) graph.remove_attribute(node, "transB");
    return;
  }
  const ValueRef y = form == LayerForm::kDynamicInt8
                         ? forms::emit_dynamic(graph, "w", node.input(0), weight, bias, node)
                         : forms::emit_nbits(graph, "w", node.input(0),
                                             forms::pack_nbits(weight, 4, kBlock), bias, node);
  graph.replace_uses(node.output(0), y);
  graph.erase(node);
}

/// What `unit` is in a cut-out model; nothing where the runtime sees it differently there.
std::vector<Unit> units_again(Model& model, RuntimeService& runtime) {
  std::vector<quantization::RefusedLayer> refused;
  const ValueTypes types = runtime.infer_types(model);
  return quantization::find_units(model, types, find_layers(model), refused);
}

}  // namespace

void emit_in_int8(Model& model, const std::vector<Unit>& units, const std::vector<bool>& in_int8,
                  const Target& target) {
  std::map<std::string, quantization::LayerWeight> weights;
  for (size_t i = 0; i < units.size(); ++i) {
    const Layer& layer = units[i].layer;
    if (!in_int8[i] || layer.output.empty()) continue;
    const auto bias = layer.bias ? layer.bias.constant() : std::nullopt;
    weights[units[i].output] =
        quantization::quantize_layer(layer, *layer.weight.constant(), bias, kScale, target);
  }
  quantization::emit_plan(model, units, in_int8, params_for(units), weights);
}

std::vector<UnitModel> unit_models(const Model& model, const ValueTypes& types, const Unit& unit,
                                   const Unit* before, RuntimeService& runtime,
                                   const Target& target) {
  std::vector<UnitModel> models;
  const std::vector<NodeRef> nodes = nodes_of(unit, before);
  auto cut_out = analysis::extract_chain(model, nodes, types);
  if (!cut_out || runtime.load_error(*cut_out)) return models;
  Model& in_float = *cut_out;
  const std::vector<Unit> own = units_again(in_float, runtime);
  const auto found = std::find_if(own.begin(), own.end(),
                                  [&](const Unit& one) { return one.output == unit.output; });
  if (found != own.end()) {
    Model in_int8 = in_float.clone();
    emit_in_int8(in_int8, quantization::rebind(in_int8, own), std::vector<bool>(own.size(), true),
                 target);
    if (!runtime.load_error(in_int8))
      models.push_back({LayerForm::kStaticInt8, std::move(in_int8)});
  }
  if (is_plain_product(unit)) {
    for (const LayerForm form :
         {LayerForm::kDynamicInt8, LayerForm::kWeightOnly8, LayerForm::kWeightOnly4}) {
      Model other = in_float.clone();
      Unit clone = unit;
      clone.layer.node = other.graph().find(unit.node.output_name(0)).producer();
      emit_product(clone, form);
      if (!runtime.load_error(other)) models.push_back({form, std::move(other)});
    }
  }
  models.insert(models.begin(), {LayerForm::kFloat, std::move(in_float)});
  return models;
}

}  // namespace mcompress::costs
