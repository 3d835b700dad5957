// SPDX-License-Identifier: Apache-2.0
#include "calibration/watch_list.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "analysis/patterns.h"
#include "mcompress/layer.h"

namespace mcompress::calibration {
namespace {

/// algorithms.md section 3: what fuses between DequantizeLinear and QuantizeLinear and computes.
constexpr std::array kIntegerOps = {
    "Conv",      "ConvTranspose", "MatMul",      "Gemm",    "Add",
    "Mul",       "Concat",        "AveragePool", "MaxPool", "GlobalAveragePool",
    "LeakyRelu", "Sigmoid",       "Softmax",     "Where",   "Resize",
    "LSTM",      "GRU",           "Attention"};

bool has_integer_kernel(const NodeRef& node) {
  return std::any_of(kIntegerOps.begin(), kIntegerOps.end(),
                     [&](const char* op) { return node.op() == op; });
}

constexpr std::array kMovingOps = {"Reshape",   "Flatten", "Transpose", "Squeeze",
                                   "Unsqueeze", "Slice",   "Split",     "Gather"};

bool moves_values(const NodeRef& node) {
  return std::any_of(kMovingOps.begin(), kMovingOps.end(),
                     [&](const char* op) { return node.is(op); });
}

NodeRef activation_behind(const NodeRef& node) {
  const NodeRef next = analysis::sole_consumer(node.output());
  return next && (next.is("Relu") || next.is("Clip")) ? next : NodeRef();
}

class WatchList {
 public:
  WatchList(const Model& model, const ValueTypes& types) : graph_(model.graph()), types_(types) {
    const auto initializers = graph_.initializers();
    initializers_.insert(initializers.begin(), initializers.end());
  }

  void add_all() {
    for (const auto& input : graph_.inputs()) add(graph_.find(input.name));
    for (const NodeRef node : graph_.nodes()) {
      for (int i = 0; i < node.output_count(); ++i) add(node.output(i));
    }
  }

  void add_integer_ops() {
    for (const NodeRef node : graph_.nodes()) {
      if (!has_integer_kernel(node)) continue;
      for (int i = 0; i < node.input_count(); ++i) add(node.input(i));
      const NodeRef activation = activation_behind(node);
      if (activation) {
        add(activation.output());
        continue;
      }
      for (int i = 0; i < node.output_count(); ++i) add(node.output(i));
    }
  }

  /// What is only moved keeps its range: where one end is watched, the other is.
  void add_moved() {
    const NodeRange nodes = graph_.nodes();
    for (const NodeRef node : nodes) {
      if (moves_values(node) && has(node.input(0))) add(node.output());
    }
    std::vector<NodeRef> reversed;
    for (const NodeRef node : nodes) reversed.push_back(node);
    std::reverse(reversed.begin(), reversed.end());
    for (const NodeRef& node : reversed) {
      if (moves_values(node) && has(node.output())) add(node.input(0));
    }
  }

  void watch_channels() {
    for (const Layer& layer : find_layers(graph_.model())) {
      if (&layer.node.graph() != &graph_) continue;
      const bool is_conv =
          layer.kind == LayerKind::kConv || layer.kind == LayerKind::kConvTranspose;
      const bool is_product =
          (layer.kind == LayerKind::kGemm || layer.kind == LayerKind::kMatMul) &&
          layer.weight_input == 1;
      if (!is_conv && !is_product) continue;
      const NodeRef activation = activation_behind(layer.node);
      set_axis(layer.node.input(0), is_conv);
      set_axis(activation ? activation.output() : layer.node.output(), is_conv);
    }
  }

  std::vector<ObservedValue> values() const {
    std::vector<ObservedValue> result;
    for (const auto& [name, axis] : axes_) result.push_back({name, axis});
    return result;
  }

 private:
  bool has(const ValueRef& value) const { return value && axes_.contains(value.name()); }

  void add(const ValueRef& value) {
    if (!value || &value.scope() != &graph_ || value.is_constant()) return;
    if (!is_floating(types_.find(value).type)) return;
    if (initializers_.contains(value.name())) return;  // a graph input with a value of its own
    axes_.try_emplace(value.name(), -1);
  }

  void set_axis(const ValueRef& value, bool is_conv) {
    const auto it = value ? axes_.find(value.name()) : axes_.end();
    if (it == axes_.end() || it->second >= 0) return;
    it->second = is_conv ? 1 : types_.find(value).rank() - 1;
  }

  Graph& graph_;
  const ValueTypes& types_;
  std::set<std::string> initializers_;
  std::map<std::string, int> axes_;
};

}  // namespace

std::vector<ObservedValue> watch_list(const Model& model, const ValueTypes& types, bool all) {
  WatchList list(model, types);
  if (all) {
    list.add_all();
  } else {
    list.add_integer_ops();
    list.add_moved();
  }
  list.watch_channels();
  return list.values();
}

}  // namespace mcompress::calibration
