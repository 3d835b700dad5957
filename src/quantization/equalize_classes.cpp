// SPDX-License-Identifier: Apache-2.0
#include "quantization/equalize_classes.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <set>

#include "analysis/activations.h"
#include "analysis/patterns.h"

namespace mcompress::quantization {
namespace {

using analysis::AffineLayer;
using analysis::ChannelLayout;
using analysis::constant_operand;

bool is_one_of(const NodeRef& node, std::initializer_list<std::string_view> ops) {
  return node.domain().empty() &&
         std::any_of(ops.begin(), ops.end(), [&](std::string_view op) { return node.is(op); });
}

/// Readers whose result does not depend on the values.
bool reads_shape_only(const NodeRef& node) { return is_one_of(node, {"Shape", "Size"}); }

/// Elementwise operators behind which a Mul for the true value is worth thinking about.
bool is_activation(const NodeRef& node) {
  return is_one_of(node, {"Sigmoid", "HardSigmoid", "Tanh", "Erf", "Softplus", "Clip", "Elu",
                          "Selu", "Exp", "Gelu", "Mish", "HardSwish", "Softsign"});
}

/// Grows the classes from the layers outward.
class Finder {
 public:
  Finder(Model& model, const ValueTypes& types, const std::vector<Layer>& selected,
         bool through_concat)
      : graph_(model.graph()), types_(types), through_concat_(through_concat) {
    std::set<std::string> chosen;
    for (const Layer& layer : selected) chosen.insert(layer.output);
    for (const Layer& layer : find_layers(model)) add_layer(layer, chosen.contains(layer.output));
  }

  ScaleGraph find() {
    for (const auto& [name, index] : results_) start(name, affine_[index].output_layout().axis);
    for (const auto& [name, entries] : entries_) {
      start(name, affine_[entries[0]].input_layout().axis);
    }
    while (!pending_.empty()) {
      const std::string name = pending_.front();
      pending_.pop_front();
      visit(name);
    }
    return collect();
  }

 private:
  struct Known {
    int axis = 1;
    std::string joined_to;  ///< union-find parent
    int64_t offset = 0;     ///< of its first channel behind the parent's
    int64_t first = 0;      ///< of the class; known at the end
    std::string obstacle;
  };

  void add_layer(const Layer& layer, bool selected) {
    if (&layer.node.graph() != &graph_) return;
    auto affine = AffineLayer::make(layer, types_);
    const bool usable = affine && selected && !layer.shared_weight && keeps_values(layer) &&
                        layer.weight.constant_type() == DataType::kFloat &&
                        affine->output_layout().axis >= 0 && affine->input_layout().axis >= 0;
    if (!usable) return;  // its node is like any other that needs its values as they are
    results_[affine->result().name()] = affine_.size();
    entries_[affine->entry().name()].push_back(affine_.size());
    affine_.push_back(std::move(*affine));
  }

  static bool keeps_values(const Layer& layer) {
    const auto& constraints = layer.node.graph().model().state().constraints;
    const auto [first, last] = constraints.equal_range(layer.weight.name());
    return std::all_of(first, last,
                       [](const auto& c) { return c.second.kind == ConstraintKind::kMask; });
  }

  void start(const std::string& name, int axis) {
    const auto [it, is_new] = known_.try_emplace(name, Known{axis, name, 0, 0, ""});
    if (is_new) {
      order_.push_back(name);
      pending_.push_back(name);
    } else if (it->second.axis != axis) {
      block(name, "it is read along different axes");
    }
  }

  const std::string& root(const std::string& name) {
    Known& known = known_.at(name);
    if (known.joined_to == name) return known.joined_to;
    const std::string parent = known.joined_to;
    known.joined_to = root(parent);
    if (known.joined_to != parent) known.offset += known_.at(parent).offset;
    return known.joined_to;
  }

  /// `shift`: of the first channel of b behind that of a.
  void join(const std::string& a, const std::string& b, int axis_of_b, int64_t shift = 0) {
    start(b, axis_of_b);
    const std::string into = root(a), from = root(b);
    const int64_t wanted = known_.at(a).offset + shift;
    if (into != from) {
      known_.at(from).joined_to = into;
      known_.at(from).offset = wanted - known_.at(b).offset;
    } else if (known_.at(b).offset != wanted) {
      block(b, b + " is at several places of one Concat");
    }
  }

  void block(const std::string& name, const std::string& why) {
    std::string& obstacle = known_.at(name).obstacle;
    if (obstacle.empty()) obstacle = why;
  }

  ChannelLayout layout_of(const std::string& name) {
    const Shape shape = types_.find(graph_.find(name)).shape;
    const int axis = known_.at(name).axis;
    const int rank = static_cast<int>(shape.size());
    return {rank, axis, axis < rank ? shape[static_cast<size_t>(axis)] : -1};
  }

  void visit(const std::string& name) {
    const ValueRef value = graph_.find(name);
    const auto type = types_.find(value);
    if (type.type != DataType::kFloat || layout_of(name).channels < 1) {
      return block(name, "the type or shape of " + name + " is not known");
    }
    if (value.is_graph_output()) block(name, name + " is an output of the model");
    visit_producer(name, value.producer());
    for (const Use& use : value.uses()) visit_reader(name, use);
  }

  /// The layer that the node belongs to: the product itself, or the Add that holds its bias.
  bool is_result_of_layer(const std::string& name) const { return results_.contains(name); }

  void visit_producer(const std::string& name, const NodeRef& node) {
    if (is_result_of_layer(name)) return;
    if (!node) return block(name, name + " is an input of the model");
    if (&node.graph() != &graph_) return block(name, "it is computed in a subgraph");
    if (as_term(name, node, false) || as_norm(node)) return;
    if (join_through(node, name)) return;
    block(name, node.label() + " gives the value as it is");
  }

  void visit_reader(const std::string& name, const Use& use) {
    const NodeRef& node = use.node;
    if (&node.graph() != &graph_) return block(name, "a subgraph reads it");
    const auto entry = entries_.find(name);
    if (entry != entries_.end() && use.input == 0) {
      for (const size_t i : entry->second) {
        if (affine_[i].layer().node == node) return;
      }
    }
    if (reads_shape_only(node)) return;
    if (as_term(name, node, true)) return;
    if (join_through(node, name)) return;
    if (is_activation(node)) {
      activations_[name].push_back(use);
      return;
    }
    block(name, node.label() + " needs the value as it is");
  }

  /// Mul and Div of a value by a constant take factors on either side; the constant of an Add is
  /// divided along.
  bool as_term(const std::string& name, const NodeRef& node, bool as_reader) {
    if (!is_one_of(node, {"Mul", "Div", "Add", "Sub"})) return false;
    const auto operand = constant_operand(node);
    if (!operand || operand->constant.constant_type() != DataType::kFloat) return false;
    const ChannelLayout layout = layout_of(name);
    if (!analysis::as_affine(node, layout)) return false;
    const std::string in = operand->variable.name(), out = node.output_name(0);
    if (types_.find(graph_.find(in)).shape != types_.find(graph_.find(out)).shape) return false;
    if (is_part_of_fusion(node)) return false;
    const bool is_sum = node.is("Add") || node.is("Sub");
    if (is_sum) {
      // The Add behind a product is its bias, and its result the layer's.
      if (results_.contains(out)) return false;
      join(name, as_reader ? out : in, layout.axis);
    }
    ConstantTerm& term =
        terms_.try_emplace(out, ConstantTerm{node, 0, layout, is_sum, false, false}).first->second;
    if (term.layout.axis != layout.axis) return false;
    (as_reader ? term.variable_in : term.result_in) = true;
    return true;
  }

  /// The runtime knows Gelu and HardSwish in pieces only with their own constants.
  bool is_part_of_fusion(const NodeRef& node) const {
    if (analysis::match_gelu(node) || analysis::match_hard_sigmoid(node, types_)) return true;
    const NodeRef next = analysis::sole_consumer(node.output(0));
    return next && is_one_of(next, {"Erf", "Tanh", "Clip", "Pow", "Min", "Max"});
  }

  bool as_norm(const NodeRef& node) {
    if (!is_one_of(node, {"LayerNormalization", "BatchNormalization"})) return false;
    if (node.output_count() > 1) return false;
    if (node.is("LayerNormalization")) {
      const int rank = types_.find(node.input(0)).rank();
      const int64_t axis = node.attribute("axis", int64_t{-1});
      if (axis != -1 && axis != rank - 1) return false;
      if (known_.at(node.output_name(0)).axis != rank - 1) return false;
    } else if (known_.at(node.output_name(0)).axis != 1) {
      return false;
    }
    for (const int i : {1, 2}) {
      const ValueRef constant = node.input(i);
      if (i == 2 && !constant) continue;
      if (!constant || constant.constant_type() != DataType::kFloat) return false;
    }
    norms_[node.output_name(0)] = NormTerm{node};
    return true;
  }

  /// Joins the values around a node that lets factors pass; `name` is one of them. False for other
  /// nodes.
  bool join_through(const NodeRef& node, const std::string& name) {
    const std::string out = node.output_name(0);
    const int axis = known_.at(name).axis;
    const ValueRef first = node.input(0);
    if (is_one_of(node, {"Relu", "LeakyRelu", "Identity"}) || is_pool(node, axis) ||
        is_channel_prelu(node, axis)) {
      return joined(name, {first.name(), out}, axis);
    }
    if (node.is("Flatten") || node.is("Reshape")) return join_flattened(node, name, axis);
    if (node.is("Transpose") && node.domain().empty()) return join_transposed(node, name, axis);
    if (is_one_of(node, {"Add", "Sub"})) {
      const ValueRef second = node.input(1);
      if (!second || first.is_constant() || second.is_constant() || !same_shape(first, second)) {
        return false;
      }
      return joined(name, {first.name(), second.name(), out}, axis);
    }
    if (is_one_of(node, {"Mul"})) return join_gated(node, name, axis);
    if (through_concat_ && is_one_of(node, {"Concat"})) return join_concat(node, name, axis);
    return false;
  }

  /// Along the channels each input has a part of them; along another axis all have the same.
  bool join_concat(const NodeRef& node, const std::string& name, int axis) {
    const int rank = types_.find(node.output(0)).rank();
    int64_t along = node.attribute("axis", int64_t{1});
    if (along < 0) along += rank;
    std::vector<std::string> inputs;
    std::vector<int64_t> before;  // of the output's channels
    int64_t channels = 0;
    for (int i = 0; i < node.input_count(); ++i) {
      const ValueRef input = node.input(i);
      const auto type = types_.find(input);
      if (!input || input.is_constant() || type.rank() != rank || axis >= rank) return false;
      const int64_t size = type.shape[static_cast<size_t>(axis)];
      if (size < 1) return false;
      inputs.push_back(input.name());
      before.push_back(along == axis ? channels : 0);
      channels += size;
    }
    const std::string out = node.output_name(0);
    int64_t place = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] == name) place = before[i];
    }
    join(name, out, axis, -place);
    for (size_t i = 0; i < inputs.size(); ++i) join(out, inputs[i], axis, before[i]);
    return true;
  }

  bool joined(const std::string& name, const std::vector<std::string>& others, int axis) {
    for (const std::string& other : others) {
      if (other != name) join(name, other, axis);
    }
    return true;
  }

  bool same_shape(const ValueRef& a, const ValueRef& b) const {
    const auto x = types_.find(a), y = types_.find(b);
    return x.is_static() && y.is_static() && x.shape == y.shape;
  }

  bool is_pool(const NodeRef& node, int axis) const {
    if (axis != 1 || node.output_count() > 1) return false;
    return is_one_of(node, {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"});
  }

  bool is_channel_prelu(const NodeRef& node, int axis) {
    if (!is_one_of(node, {"PRelu"})) return false;
    return axis == 1 && node.input(1) && node.input(1).is_constant();
  }

  bool join_transposed(const NodeRef& node, const std::string& name, int axis) {
    const auto perm = node.attribute_ints("perm");
    if (perm.empty()) return false;
    const std::string in = node.input(0).name(), out = node.output_name(0);
    if (name == out) return joined(name, {in}, static_cast<int>(perm[static_cast<size_t>(axis)]));
    const auto at = std::find(perm.begin(), perm.end(), int64_t{axis});
    return joined(name, {out}, static_cast<int>(at - perm.begin()));
  }

  /// [N, C, 1, 1] to [N, C] and back.
  bool join_flattened(const NodeRef& node, const std::string& name, int axis) {
    const auto in = types_.find(node.input(0)), out = types_.find(node.output(0));
    if (axis != 1 || !in.is_static() || !out.is_static()) return false;
    const auto spread = [](const Shape& shape) {
      return shape.size() < 2 ? int64_t{0} : element_count(shape) / (shape[0] * shape[1]);
    };
    const bool same = in.shape.size() >= 2 && out.shape.size() >= 2 &&
                      in.shape[0] == out.shape[0] && in.shape[1] == out.shape[1];
    if (!same || spread(in.shape) != 1 || spread(out.shape) != 1) return false;
    return joined(name, {node.input(0).name(), node.output_name(0)}, axis);
  }

  /// x * g: where g comes from a node that gives it as it is (a Sigmoid), x carries the factor.
  bool join_gated(const NodeRef& node, const std::string& name, int axis) {
    const ValueRef a = node.input(0), b = node.input(1);
    if (!a || !b || a == b || a.is_constant() || b.is_constant()) return false;
    const ValueRef out = node.output(0);
    const auto carries = [&](const ValueRef& x, const ValueRef& gate) {
      return !is_fixed(x) && is_fixed(gate) && same_shape(x, out);
    };
    const ValueRef carrier = carries(a, b) ? a : carries(b, a) ? b : ValueRef{};
    if (!carrier) return false;
    if (name != carrier.name() && name != out.name()) return false;
    return joined(name, {carrier.name(), out.name()}, axis);
  }

  static bool is_fixed(const ValueRef& value) {
    const NodeRef node = value.producer();
    return node && (is_activation(node) || is_one_of(node, {"Softmax"}));
  }

  ScaleGraph collect() {
    ScaleGraph result;
    std::map<std::string, size_t> class_of;
    std::map<std::string, int64_t> least;  // offset in a class
    for (const std::string& name : order_) {
      int64_t& smallest = least[root(name)];  // that of the root is 0
      smallest = std::min(smallest, known_.at(name).offset);
    }
    for (const std::string& name : order_) {
      known_.at(name).first = known_.at(name).offset - least.at(root(name));
    }
    for (const std::string& name : order_) {
      const auto [it, is_new] = class_of.try_emplace(root(name), result.classes.size());
      if (is_new) result.classes.emplace_back();
      add_value(result.classes[it->second], name);
    }
    for (const auto& [out, term] : terms_) {
      const std::string in = constant_operand(term.node)->variable.name();
      if (term.is_sum) {
        ConstantTerm one = term;
        one.first = known_.at(out).first;
        result.classes[class_of.at(root(out))].terms.push_back(one);
        continue;
      }
      // A product stands between two classes, or inside one.
      const bool both = term.variable_in && term.result_in && root(in) == root(out);
      if (both) continue;  // the factor passes
      for (const bool at_result : {false, true}) {
        if (!(at_result ? term.result_in : term.variable_in)) continue;
        ConstantTerm one = term;
        one.variable_in = !at_result;
        one.result_in = at_result;
        one.first = known_.at(at_result ? out : in).first;
        result.classes[class_of.at(root(at_result ? out : in))].terms.push_back(one);
      }
    }
    result.layers = std::move(affine_);
    return result;
  }

  void add_value(ScaleClass& into, const std::string& name) {
    const auto result = results_.find(name);
    const auto entry = entries_.find(name);
    const Known& known = known_.at(name);
    const int64_t channels = layout_of(name).channels;
    const int trailing = layout_of(name).rank - known.axis - 1;
    into.first[name] = known.first;
    into.values.push_back({name, known.first, channels, known.axis, trailing,
                           entry != entries_.end(), result != results_.end()});
    into.channels = std::max(into.channels, known.first + channels);
    if (into.obstacle.empty()) into.obstacle = known.obstacle;
    if (!through_concat_ && into.values[0].channels != channels && into.obstacle.empty()) {
      into.obstacle = "channels of " + name + " differ";
    }
    if (result != results_.end()) into.producers.push_back(result->second);
    if (entry != entries_.end()) {
      into.consumers.insert(into.consumers.end(), entry->second.begin(), entry->second.end());
    }
    if (const auto norm = norms_.find(name); norm != norms_.end()) {
      into.norms.push_back({norm->second.node, known.first});
    }
    const auto uses = activations_.find(name);
    if (uses != activations_.end()) {
      into.activations.insert(into.activations.end(), uses->second.begin(), uses->second.end());
    }
  }

  Graph& graph_;
  const ValueTypes& types_;
  bool through_concat_;
  std::vector<AffineLayer> affine_;
  std::map<std::string, size_t> results_;               ///< by the name of the layer's result
  std::map<std::string, std::vector<size_t>> entries_;  ///< by the name of the value that enters
  std::map<std::string, Known> known_;
  std::vector<std::string> order_;
  std::deque<std::string> pending_;
  std::map<std::string, ConstantTerm> terms_;  ///< by the node's output
  std::map<std::string, NormTerm> norms_;
  std::map<std::string, std::vector<Use>> activations_;
};

}  // namespace

ScaleGraph find_scale_classes(Model& model, const ValueTypes& types,
                              const std::vector<Layer>& selected, bool through_concat) {
  ScaleGraph found = Finder(model, types, selected, through_concat).find();
  for (ScaleClass& one : found.classes) {
    if (one.obstacle.empty()) one.obstacle = range_obstacle(found, one);
  }
  return found;
}

int64_t first_channel(const ScaleClass& scale_class, const AffineLayer& layer, bool produced) {
  return scale_class.first.at((produced ? layer.result() : layer.entry()).name());
}

}  // namespace mcompress::quantization
