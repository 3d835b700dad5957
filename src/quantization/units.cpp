// SPDX-License-Identifier: Apache-2.0
#include "quantization/units.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "analysis/cost.h"
#include "analysis/patterns.h"
#include "forms/stored_form.h"

namespace mcompress::quantization {
namespace {

/// A Relu, or a Clip whose lower bound is 0: an unsigned range with zero point 0 implies it, so
/// that the runtime drops it.
bool is_implied_by_range(const NodeRef& node) {
  if (node.is("Relu")) return true;
  if (!node.is("Clip")) return false;
  if (node.has_attribute("min") || node.input_count() < 2) {
    return node.attribute("min", -1.0f) == 0.0f;
  }
  const auto low = analysis::read_scalar(node.input(1));
  return low && *low == 0.0;
}

/// The activation that the unit absorbs, when nothing else reads what is before it.
NodeRef absorbed_activation(const NodeRef& node) {
  const NodeRef next = analysis::sole_consumer(node.output());
  return next && is_implied_by_range(next) && next.input_name(0) == node.output_name(0) ? next
                                                                                        : NodeRef();
}

/// Computed by a table of 256 integers in 8 bits. (HardSigmoid, HardSwish and Tanh have no integer
/// kernel. Those of AveragePool and Softmax are 16 and 3 times slower than float, that of
/// Softmax with one scale for all rows as well.)
bool has_lookup(const NodeRef& node) {
  return (node.is("Sigmoid") || node.is("LeakyRelu")) && !node.output().is_graph_output();
}

/// An activation that the runtime's float convolution computes in passing, and no unit of its own.
bool feeds_activation(const ValueRef& value) {
  for (const Use& use : value.uses()) {
    if (has_lookup(use.node)) continue;
    for (const char* const op : {"HardSigmoid", "Sigmoid", "Tanh", "LeakyRelu", "Clip"}) {
      if (use.node.is(op)) return true;
    }
  }
  return false;
}

/// What the runtime would do to a quantized product before it looks for quantized ones: a Gemm
/// takes the activation behind it along, a matrix product of rank 2 the Add, and either then
/// dequantizes its weight in every Run.
std::string trap_behind(const NodeRef& node, int input_rank) {
  const NodeRef next = analysis::sole_consumer(node.output());
  if (!next) return "";
  if (node.is("Gemm")) {
    for (const char* const op : {"Sigmoid", "Tanh", "LeakyRelu", "Elu", "Selu", "Softplus",
                                 "Softsign", "HardSigmoid", "ThresholdedRelu"}) {
      if (next.is(op)) return "the runtime fuses " + std::string(op) + " into the float Gemm first";
    }
    return "";
  }
  if (input_rank == 2 && next.is("Add"))
    return "the runtime makes a float Gemm of MatMul and Add first";
  return "";
}

std::string refusal(const Layer& layer) {
  const NodeRef& node = layer.node;
  if (node.graph().parent() != nullptr) return "in a subgraph body: its values are not observed";
  if (!layer.weight_is_plain) return "its weight is stored in another form already";
  if (layer.weight.constant_type() != DataType::kFloat) {
    return "its weight is " + data_type_name(layer.weight.constant_type()) + ", not float";
  }
  if (layer.weight.is_graph_output()) return "its weight is an output of the graph";
  switch (layer.kind) {
    case LayerKind::kConv:
      if (layer.groups > 1 && !layer.is_depthwise()) {
        return "grouped convolution: the runtime's integer kernel is slower than float";
      }
      if (node.input(2) && !layer.bias) return "its bias is no constant";
      return "";
    case LayerKind::kMatMul:
      if (layer.weight_input != 1) return "its constant is on the left side";
      if (layer.weight_shape.size() != 2) return "a batch of weights";
      return "";
    case LayerKind::kGemm:
      if (layer.weight_input != 1) return "its constant is on the left side";
      if (node.attribute("transA", int64_t{0}) != 0) return "its input is transposed";
      if (node.attribute("alpha", 1.0f) != 1.0f) return "alpha is not 1";
      if (node.input(2) && (node.attribute("beta", 1.0f) != 1.0f || !layer.bias)) {
        return "beta is not 1, or the bias is no constant";
      }
      if (layer.bias && element_count(layer.bias.constant_shape()) != layer.outputs) {
        return "its bias has not one value per output";
      }
      return "";
    default:
      return "the runtime has no integer kernel for " + std::string(layer_kind_name(layer.kind));
  }
}

/// The float end of integers that are computed while the model runs.
bool is_dequantized(const ValueRef& value) {
  const NodeRef producer = value.producer();
  return producer && producer.is("DequantizeLinear") && !producer.input(0).is_constant();
}

bool is_float(const ValueTypes& types, const ValueRef& value) {
  return value && types.find(value).type == DataType::kFloat;
}

/// Rows that a product multiplies: all dimensions of its left side but the last.
int64_t rows_of(const ValueType& type) {
  if (!type.known_rank || type.shape.empty()) return 0;
  ValueType rows = type;
  rows.shape.pop_back();
  return element_estimate(rows);
}

class Finder {
 public:
  Finder(const ValueTypes& types, const std::vector<Layer>& layers,
         std::vector<RefusedLayer>& refused)
      : types_(types), refused_(refused) {
    for (const Layer& layer : layers) {
      if (!by_node_.try_emplace(layer.node.proto(), layer).second) continue;
    }
  }

  std::vector<Unit> find(Model& model) {
    for (const auto& [node, layer] : by_node_) {
      if (layer.node.graph().parent() != nullptr) refused_.push_back({layer, refusal(layer)});
    }
    for (const NodeRef node : model.graph().nodes()) visit(node);
    return std::move(units_);
  }

 private:
  void visit(const NodeRef& node) {
    const auto layer = by_node_.find(node.proto());
    if (layer != by_node_.end()) return visit_layer(layer->second);
    if (!node.domain().empty() || node.output_count() == 0) return;
    if (node.is("MatMul")) return visit_matmul(node);
    if (node.is("Add") || node.is("Mul")) return visit_elementwise(node);
    if (node.is("Concat")) return visit_concat(node);
    if (node.is("MaxPool")) return visit_pool(node);
    for (const char* const op :
         {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather"}) {
      if (node.is(op)) return visit_unary(node, UnitKind::kMove);
    }
    if (node.is("GlobalAveragePool")) return visit_unary(node, UnitKind::kGlobalPool);
    if (has_lookup(node)) return visit_unary(node, UnitKind::kLookup);
  }

  void visit_layer(const Layer& layer) {
    std::string reason = refusal(layer);
    const ValueRef input = layer.node.input(0);
    if (reason.empty() && !is_float(types_, input))
      reason = "its input is not float, or of unknown type";
    if (reason.empty() && input.is_constant()) reason = "its input is a constant";
    if (reason.empty() && is_dequantized(input)) reason = "its input is quantized already";
    Unit unit;
    unit.node = layer.node;
    unit.layer = layer;
    unit.macs = analysis::node_macs(layer.node, types_);
    if (reason.empty() && unit.macs == 0) reason = "the shape of its input is not known";
    if (!reason.empty()) {
      refused_.push_back({layer, reason});
      return;
    }
    unit.inputs = {input.name()};
    const ValueType type = types_.find(input);
    if (layer.kind == LayerKind::kConv) {
      unit.kind = UnitKind::kConv;
      unit.activation = absorbed_activation(layer.node);
      unit.lone_activation = !unit.activation && feeds_activation(layer.node.output());
    } else {
      unit.kind = UnitKind::kProduct;
      reason = trap_behind(layer.node, type.rank());
      if (!reason.empty()) {
        refused_.push_back({layer, reason});
        return;
      }
      if (layer.kind == LayerKind::kGemm) unit.activation = absorbed_activation(layer.node);
      unit.rows = rows_of(type);
      unit.channel_axis = std::max(0, types_.find(layer.node.output()).rank() - 1);
      unit.input_channel_axis = std::max(0, type.rank() - 1);
    }
    finish(unit);
  }

  /// Float, computed, and not the end of integers that somebody else put there.
  bool is_open(const ValueRef& value) const {
    return is_float(types_, value) && !value.is_constant() && !is_dequantized(value);
  }

  void visit_matmul(const NodeRef& node) {
    if (!is_open(node.input(0)) || !is_open(node.input(1))) return;
    const ValueType left = types_.find(node.input(0)), right = types_.find(node.input(1));
    if (left.rank() < 2 || right.rank() < 2) return;
    Unit unit;
    unit.kind = UnitKind::kMatMul;
    unit.node = node;
    unit.macs = analysis::node_macs(node, types_);
    if (unit.macs == 0) return;
    unit.rows = std::max<int64_t>(1, left.shape[left.shape.size() - 2]);
    unit.inputs = {node.input_name(0), node.input_name(1)};
    finish(unit);
  }

  void visit_concat(const NodeRef& node) {
    Unit unit;
    unit.kind = UnitKind::kConcat;
    unit.node = node;
    for (int i = 0; i < node.input_count(); ++i) {
      if (!is_open(node.input(i))) return;
      unit.inputs.push_back(node.input_name(i));
    }
    if (unit.inputs.size() > 1) finish(unit);
  }

  void visit_elementwise(const NodeRef& node) {
    if (!is_open(node.input(0)) || !is_open(node.input(1))) return;
    const auto a = types_.find(node.input(0));
    const auto b = types_.find(node.input(1));
    if (!a.known_rank || a.shape != b.shape) return;  // broadcasting kernels are slow
    Unit unit;
    unit.kind = node.is("Add") ? UnitKind::kAdd : UnitKind::kMul;
    unit.node = node;
    if (unit.kind == UnitKind::kAdd) unit.activation = absorbed_activation(node);
    unit.inputs = {node.input_name(0), node.input_name(1)};
    finish(unit);
  }

  void visit_pool(const NodeRef& node) {
    if (!is_float(types_, node.input(0)) || node.output_count() > 1) return;
    const bool behind_conv = std::any_of(units_.begin(), units_.end(), [&](const Unit& unit) {
      return unit.kind == UnitKind::kConv && unit.output == node.input_name(0);
    });
    if (!behind_conv) return;  // elsewhere its integer kernel is ten times slower than float
    Unit unit;
    unit.kind = UnitKind::kMaxPool;
    unit.node = node;
    unit.inputs = {node.input_name(0)};
    finish(unit);
  }

  void visit_unary(const NodeRef& node, UnitKind kind) {
    if (!is_open(node.input(0))) return;
    Unit unit;
    unit.kind = kind;
    unit.node = node;
    unit.inputs = {node.input_name(0)};
    finish(unit);
  }

  void finish(Unit& unit) {
    const NodeRef& last = unit.activation ? unit.activation : unit.node;
    unit.output = last.output_name(0);
    unit.output_elements = element_estimate(types_.find(last.output()));
    unit.input_elements = element_estimate(types_.find(unit.node.input(0)));
    if (unit.output_elements == 0) {
      if (!unit.layer.output.empty()) {
        refused_.push_back({unit.layer, "the shape of its output is not known"});
      }
      return;
    }
    // The integers of a graph output would have to leave in float under the same name.
    if (leaves_int8(unit) && last.output().is_graph_output()) {
      if (!unit.layer.output.empty())
        refused_.push_back({unit.layer, "its output is an output of the graph"});
      return;
    }
    units_.push_back(std::move(unit));
  }

  const ValueTypes& types_;
  std::vector<RefusedLayer>& refused_;
  std::map<const onnx::NodeProto*, Layer> by_node_;
  std::vector<Unit> units_;
};

}  // namespace

bool leaves_int8(const Unit& unit) {
  if (unit.kind == UnitKind::kMatMul) return false;
  return unit.kind != UnitKind::kProduct || unit.activation;
}

bool moves_values(const Unit& unit) {
  return unit.kind == UnitKind::kMaxPool || unit.kind == UnitKind::kMove;
}

int64_t count_quantized(Model& model) {
  static const std::set<std::string_view> kOperators{
      "QLinearConv",          "QLinearMatMul",
      "MatMulInteger",        "ConvInteger",
      "QLinearAdd",           "QLinearMul",
      "QLinearConcat",        "QGemm",
      "QAttention",           "DynamicQuantizeMatMul",
      "MatMulIntegerToFloat", "DynamicQuantizeLSTM",
      "QLinearSigmoid",       "QLinearLeakyRelu",
      "QLinearSoftmax",       "QLinearAveragePool",
      "QLinearWhere",         "QLinearGlobalAveragePool"};
  int64_t count = 0;
  for (Graph* const graph : model.graphs()) {
    for (const NodeRef node : graph->nodes()) {
      const bool behind_integers =
          node.input(0) && !node.is("QuantizeLinear") && is_dequantized(node.input(0));
      count += kOperators.contains(node.op()) || behind_integers ? 1 : 0;
    }
  }
  return count;
}

std::vector<Unit> rebind(Model& clone, const std::vector<Unit>& units) {
  Graph& graph = clone.graph();
  std::vector<Unit> own = units;
  for (Unit& unit : own) {
    unit.node = graph.find(unit.node.output_name(0)).producer();
    if (unit.activation) unit.activation = graph.find(unit.activation.output_name(0)).producer();
    if (unit.layer.output.empty()) continue;
    unit.layer.node = unit.node;
    unit.layer.weight = unit.node.input(unit.layer.weight_input);
    if (unit.layer.bias) unit.layer.bias = unit.node.input(unit.layer.bias_input);
  }
  return own;
}

int64_t element_estimate(const ValueType& type) {
  if (!type.known_rank) return 0;
  int64_t count = 1;
  for (const int64_t d : type.shape) count *= d < 0 ? 1 : d;
  return count;
}

std::vector<Unit> find_units(Model& model, const ValueTypes& types,
                             const std::vector<Layer>& layers, std::vector<RefusedLayer>& refused) {
  return Finder(types, layers, refused).find(model);
}

}  // namespace mcompress::quantization
