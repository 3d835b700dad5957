// SPDX-License-Identifier: Apache-2.0
#include "analysis/half_graph.h"

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/half.h"

namespace mcompress::analysis {
namespace {

constexpr float kLargestHalf = 65504.0F;

/// Not defined for half precision, or too narrow in it: indices, counts, coordinates, limits of
/// ranges and the parameters of quantization.
const std::set<std::string, std::less<>>& unsafe_operators() {
  static const std::set<std::string, std::less<>> operators{"Bernoulli",
                                                            "BitCast",
                                                            "ConstantOfShape",
                                                            "ConvInteger",
                                                            "CumSum",
                                                            "DequantizeLinear",
                                                            "DynamicQuantizeLinear",
                                                            "EyeLike",
                                                            "If",
                                                            "IsInf",
                                                            "Loop",
                                                            "MatMulInteger",
                                                            "Max",
                                                            "MelWeightMatrix",
                                                            "Min",
                                                            "Multinomial",
                                                            "NonMaxSuppression",
                                                            "Optional",
                                                            "QLinearConv",
                                                            "QLinearMatMul",
                                                            "QuantizeLinear",
                                                            "RandomNormal",
                                                            "RandomNormalLike",
                                                            "RandomUniform",
                                                            "RandomUniformLike",
                                                            "Range",
                                                            "Resize",
                                                            "RoiAlign",
                                                            "Scan",
                                                            "SequenceConstruct",
                                                            "SequenceAt",
                                                            "SequenceInsert",
                                                            "SplitToSequence",
                                                            "ConcatFromSequence",
                                                            "SequenceEmpty",
                                                            "TopK",
                                                            "Upsample"};
  return operators;
}

using Key = std::pair<const Graph*, std::string>;
Key key_of(const ValueRef& value) { return {&value.scope(), value.name()}; }

class Converter {
 public:
  Converter(Model& model, const ValueTypes& types,
            const std::function<bool(const NodeRef&)>& stays_float)
      : model_(model), types_(types), stays_float_(stays_float) {}

  HalfGraphResult run() {
    for (Graph* graph : model_.graphs()) {
      for (const NodeRef node : graph->nodes()) {
        if (can_compute_in_half(node)) choose(node);
      }
    }
    for (const NodeRef& node : nodes_) convert_constants(node);
    for (const NodeRef& node : nodes_) convert_inputs(node);
    for (const NodeRef& node : nodes_) convert_outputs(node);
    if (!nodes_.empty()) {
      for (Graph* graph : model_.graphs()) graph->drop_value_info();
    }
    result_.nodes = static_cast<int64_t>(nodes_.size());
    return result_;
  }

 private:
  bool is_float(const ValueRef& value) const {
    return value && types_.find(value).type == DataType::kFloat;
  }

  /// Largest finite magnitude of the constant fits; infinities stay infinities.
  bool fits(const ValueRef& constant) {
    const auto known = fits_.find(key_of(constant));
    if (known != fits_.end()) return known->second;
    bool good = true;
    for (const float v : constant.constant()->to_float()) {
      if (std::isfinite(v) && std::abs(v) > kLargestHalf) good = false;
    }
    return fits_[key_of(constant)] = good;
  }

  bool can_compute_in_half(const NodeRef& node) {
    if (!node.domain().empty() || node.is("Constant")) return false;
    if (unsafe_operators().count(node.op()) != 0 || !node.subgraphs().empty() || stays_float_(node))
      return false;
    bool floats = false;
    for (int i = 0; i < node.output_count(); ++i) floats |= is_float(node.output(i));
    // A Cast to another type, a comparison or ArgMax has float inputs only; it reads what is there.
    if (!floats) return false;
    if (node.is("Cast") && !is_float(node.input(0))) return false;
    for (int i = 0; i < node.input_count(); ++i) {
      const ValueRef input = node.input(i);
      if (!input) continue;
      if (types_.find(input).type == DataType::kUndefined) return false;
      if (is_float(input) && input.is_constant() && !fits(input)) return false;
    }
    return true;
  }

  void choose(const NodeRef& node) {
    nodes_.push_back(node);
    for (int i = 0; i < node.output_count(); ++i) {
      if (is_float(node.output(i))) half_.insert(key_of(node.output(i)));
    }
    chosen_.insert(node.proto());
  }

  void convert_constants(const NodeRef& node) {
    for (int i = 0; i < node.input_count(); ++i) {
      const ValueRef input = node.input(i);
      if (is_float(input) && input.is_constant()) constants_.insert({key_of(input), input});
    }
  }

  /// In place where all readers compute in half precision, else beside the float constant.
  ValueRef half_constant(const ValueRef& constant) {
    const auto known = narrow_.find(key_of(constant));
    if (known != narrow_.end()) return known->second;
    const Tensor value = *constant.constant();
    std::vector<uint16_t> bits(static_cast<size_t>(value.count()));
    result_.flushed += float_to_half_clamped(value.as<float>(), bits).flushed;
    const Tensor narrow(DataType::kFloat16, value.shape(), std::as_bytes(std::span(bits)));
    bool alone = !constant.is_graph_output();
    for (const Use& use : constant.uses()) alone = alone && chosen_.count(use.node.proto()) != 0;
    ValueRef half = constant;
    if (alone) {
      constant.scope().set_constant(constant, narrow);
    } else {
      half = constant.scope().add_constant(constant.name() + "_half", narrow);
    }
    return narrow_[key_of(constant)] = half;
  }

  ValueRef cast(const ValueRef& value, DataType type) {
    ++result_.casts;
    NodeSpec spec{
        .op = "Cast", .inputs = {value}, .attributes = {{"to", static_cast<int64_t>(type)}}};
    return value.scope().insert(std::move(spec)).output();
  }

  void convert_inputs(const NodeRef& node) {
    for (int i = 0; i < node.input_count(); ++i) {
      const ValueRef input = node.input(i);
      if (!input || half_.count(key_of(input)) != 0) continue;
      const auto constant = constants_.find(key_of(input));
      if (constant != constants_.end()) {
        const ValueRef half = half_constant(input);
        if (half != input) node.graph().set_input(node, i, half);
      } else if (is_float(input)) {
        auto& half = casts_[key_of(input)];
        if (!half) half = cast(input, DataType::kFloat16);
        node.graph().set_input(node, i, half);
      }
    }
    if (node.is("Cast")) {
      node.graph().set_attribute(node, {"to", static_cast<int64_t>(DataType::kFloat16)});
    }
  }

  /// Readers that stay in float, graph outputs among them, read a Cast. A graph output keeps its
  /// name.
  void convert_outputs(const NodeRef& node) {
    for (int i = 0; i < node.output_count(); ++i) {
      ValueRef output = node.output(i);
      if (!output || half_.count(key_of(output)) == 0) continue;
      std::vector<Use> wide;
      for (const Use& use : output.uses()) {
        if (chosen_.count(use.node.proto()) == 0) wide.push_back(use);
      }
      if (output.is_graph_output()) {
        keep_output(node, i, output);
      } else if (!wide.empty()) {
        const ValueRef value = cast(output, DataType::kFloat);
        for (const Use& use : wide) use.node.graph().set_input(use.node, use.input, value);
      }
    }
  }

  void keep_output(const NodeRef& node, int index, const ValueRef& output) {
    Graph& graph = node.graph();
    std::vector<Use> narrow;
    for (const Use& use : output.uses()) {
      if (chosen_.count(use.node.proto()) != 0) narrow.push_back(use);
    }
    const std::string name = output.name();
    const std::string fresh = graph.fresh_name(name);
    graph.set_output(node, index, fresh);
    const ValueRef half(&graph, fresh);
    NodeSpec spec{.op = "Cast",
                  .inputs = {half},
                  .attributes = {{"to", static_cast<int64_t>(DataType::kFloat)}},
                  .outputs = {name}};
    graph.insert(std::move(spec));
    ++result_.casts;
    for (const Use& use : narrow) use.node.graph().set_input(use.node, use.input, half);
  }

  Model& model_;
  const ValueTypes& types_;
  const std::function<bool(const NodeRef&)>& stays_float_;
  std::vector<NodeRef> nodes_;  ///< that compute in half precision
  std::set<const onnx::NodeProto*> chosen_;
  std::set<Key> half_;                 ///< values that they compute
  std::map<Key, ValueRef> constants_;  ///< that they read
  std::map<Key, ValueRef> narrow_;     ///< constant -> in half precision
  std::map<Key, ValueRef> casts_;      ///< float value -> its Cast to half
  std::map<Key, bool> fits_;
  HalfGraphResult result_;
};

}  // namespace

HalfGraphResult convert_to_half(Model& model, const ValueTypes& types,
                                const std::function<bool(const NodeRef&)>& stays_float) {
  return Converter(model, types, stays_float).run();
}

}  // namespace mcompress::analysis
