// SPDX-License-Identifier: Apache-2.0
#include "quantization/plan.h"

#include <map>
#include <optional>

#include "numerics/min_cut.h"

namespace mcompress::quantization {
namespace {

using numerics::BinaryLabelling;

constexpr double kForbidden = BinaryLabelling::kForbidden;
constexpr double kSlowPool = 12;  // nanoseconds of an output of a pool of integers without NHWC

/// A value that units exchange.
struct Value {
  std::optional<size_t> producer;  ///< unit that leaves it in 8 bits when it runs in them
  std::vector<size_t> readers;     ///< units that want it in 8 bits
  bool read_by_others = false;     ///< something reads it that knows float only
};

std::map<std::string, Value> values_of(Model& model, const std::vector<Unit>& units) {
  std::map<std::string, Value> values;
  std::map<const onnx::NodeProto*, size_t> unit_of;
  for (size_t i = 0; i < units.size(); ++i) {
    unit_of[units[i].node.proto()] = i;
    for (const auto& input : units[i].inputs) values[input].readers.push_back(i);
    if (leaves_int8(units[i])) values[units[i].output].producer = i;
  }
  for (auto& [name, value] : values) {
    const ValueRef ref = model.graph().find(name);
    value.read_by_others = ref.is_graph_output();
    for (const Use& use : ref.uses()) value.read_by_others |= !unit_of.contains(use.node.proto());
  }
  return values;
}

bool is_spatial(const ValueTypes& types, const ValueRef& value) {
  return types.find(value).rank() >= 3;
}

class Planner {
 public:
  Planner(Model& model, const ValueTypes& types, const std::vector<Unit>& units,
          const CostModel& costs)
      : model_(model),
        types_(types),
        units_(units),
        costs_(costs),
        values_(values_of(model, units)) {}

  Plan plan(const std::set<std::string>& keep_float, bool only_if_cheaper) const {
    BinaryLabelling problem;
    Plan plan;
    for (const Unit& unit : units_) {
      const UnitCost cost = costs_.unit(unit);
      plan.float_nanoseconds += cost.in_float;
      const bool kept = keep_float.contains(unit.output);
      // Without regard for time, the layers are free in 8 bits and the others go with them.
      const bool layer = unit.kind == UnitKind::kConv || unit.kind == UnitKind::kProduct ||
                         unit.kind == UnitKind::kMatMul;
      const double in_float = !only_if_cheaper && layer ? kForbidden : cost.in_float;
      problem.add_node(kept ? cost.in_float : in_float, kept ? kForbidden : cost.in_int8);
    }
    for (const auto& [name, value] : values_) add_value(problem, name, value);
    // A pool of integers is fast in the layout that an integer convolution leaves, and ten times
    // slower than float in any other.
    for (size_t i = 0; i < units_.size(); ++i) {
      if (units_[i].kind != UnitKind::kMaxPool) continue;
      const auto pooled = values_.find(units_[i].inputs[0]);
      if (pooled->second.producer) problem.add_edge(i, *pooled->second.producer, kForbidden);
    }
    plan.in_int8 = problem.solve();
    plan.in_int8.resize(units_.size());
    plan.planned_nanoseconds = problem.cost(problem.solve());
    return plan;
  }

  /// Layers and other nodes with a slow integer kernel, in float, whose input comes from a unit in
  /// 8 bits and whose output is wanted in 8 bits: what must be in float, too, so that the runtime
  /// does not quantize them on its own.
  std::set<std::string> sandwiches(const std::vector<bool>& in_int8) const {
    std::set<std::string> outputs;
    for (const NodeRef node : model_.graph().nodes()) {
      if (!is_trap(node)) continue;
      const auto input = values_.find(node.input_name(0));
      const bool from_int8 =
          input != values_.end() && input->second.producer && in_int8[*input->second.producer];
      if (!from_int8 || is_int8(node, in_int8)) continue;
      for (const std::string& name : values_behind(node)) {
        const auto value = values_.find(name);
        if (value == values_.end()) continue;
        for (const size_t reader : value->second.readers) {
          if (in_int8[reader]) outputs.insert(units_[reader].output);
        }
      }
    }
    return outputs;
  }

 private:
  void add_value(BinaryLabelling& problem, const std::string& name, const Value& value) const {
    const ValueRef ref = model_.graph().find(name);
    const int64_t elements = element_estimate(types_.find(ref));
    const bool spatial = is_spatial(types_, ref);
    if (!value.readers.empty()) {
      // One Q serves all readers: a helper that is true as soon as one of them is.
      const size_t wanted = problem.add_node(0, 0);
      for (const size_t reader : value.readers) problem.add_edge(reader, wanted, kForbidden);
      const double quantize = costs_.quantize(elements, spatial) + moved_pool(ref, elements);
      if (value.producer) {
        problem.add_edge(wanted, *value.producer, quantize);
      } else {
        problem.add_cost(wanted, 0, quantize);
      }
    }
    if (!value.producer) return;
    if (value.read_by_others) {
      problem.add_cost(*value.producer, 0, costs_.dequantize(elements, spatial));
      return;
    }
    const size_t all_int8 = problem.add_node(0, 0);
    for (const size_t reader : value.readers) problem.add_edge(all_int8, reader, kForbidden);
    problem.add_edge(*value.producer, all_int8, costs_.dequantize(elements, spatial));
  }

  /// The runtime moves a Q behind a float pool in front of it: the pool then runs on integers, in a
  /// layout in which that is slow.
  static double moved_pool(const ValueRef& value, int64_t elements) {
    const NodeRef producer = value.producer();
    return producer && producer.is("MaxPool") ? kSlowPool * static_cast<double>(elements) : 0;
  }

  /// What the runtime would compute in integers between a DequantizeLinear and a QuantizeLinear,
  /// slower than in float or with a weight that nobody rounded.
  static bool is_trap(const NodeRef& node) {
    for (const char* const op :
         {"Conv", "Gemm", "MatMul", "ConvTranspose", "AveragePool", "Softmax"}) {
      if (node.is(op)) return true;
    }
    return false;
  }

  bool is_int8(const NodeRef& node, const std::vector<bool>& in_int8) const {
    for (size_t i = 0; i < units_.size(); ++i) {
      if (units_[i].node == node) return in_int8[i];
    }
    return false;
  }

  /// The output, and what a Relu or Clip makes of it.
  std::vector<std::string> values_behind(const NodeRef& node) const {
    std::vector<std::string> names = {node.output_name(0)};
    for (const Use& use : node.output().uses()) {
      if (use.node.is("Relu") || use.node.is("Clip")) names.push_back(use.node.output_name(0));
    }
    return names;
  }

  Model& model_;
  const ValueTypes& types_;
  const std::vector<Unit>& units_;
  const CostModel& costs_;
  std::map<std::string, Value> values_;
};

}  // namespace

Plan make_plan(Model& model, const ValueTypes& types, const std::vector<Unit>& units,
               const CostModel& costs, const std::set<std::string>& keep_float,
               bool only_if_cheaper) {
  const Planner planner(model, types, units, costs);
  std::set<std::string> in_float = keep_float;
  for (;;) {
    Plan plan = planner.plan(in_float, only_if_cheaper);
    const auto more = planner.sandwiches(plan.in_int8);
    if (more.empty()) return plan;
    in_float.insert(more.begin(), more.end());
  }
}

}  // namespace mcompress::quantization
