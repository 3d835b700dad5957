// SPDX-License-Identifier: Apache-2.0
// What of a model can be trained. Nodes that are not in the table of operators cannot be run by the
// trainer at all: they and all that they depend on become the prefix, which ONNX Runtime runs; what
// it reads stays as it is. Within the rest the gradient is followed back from the output.
#include <algorithm>
#include <array>
#include <cmath>

#include "train/program.h"

namespace mcompress::train {
namespace {

using NodeSet = std::set<const onnx::NodeProto*>;

constexpr auto kIntegerResults = std::to_array<std::string_view>(
    {"Shape", "Size", "ArgMax", "ArgMin", "NonZero", "Equal", "Less", "LessOrEqual", "Greater",
     "GreaterOrEqual", "And", "Or", "Not", "Xor", "IsNaN", "IsInf", "Multinomial"});
/// A weight behind one of these is still a weight.
constexpr auto kRearrangements = std::to_array<std::string_view>(
    {"Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"});

/// Whose constants may forbid rather than weigh: -infinity or -1e9 added before a Softmax.
constexpr auto kElementwise =
    std::to_array<std::string_view>({"Add", "Sub", "Mul", "Div", "Where", "Min", "Max"});
constexpr float kForbidding = 1e4F;

template <class List>
bool is_one_of(const List& list, const std::string& op) {
  return std::find(list.begin(), list.end(), op) != list.end();
}

bool is_float_type(int64_t type) { return is_floating(static_cast<DataType>(type)); }

bool forbids(const ValueRef& constant) {
  const auto values = constant.constant()->to_float();
  return std::any_of(values.begin(), values.end(),
                     [](float value) { return !(std::abs(value) < kForbidding); });
}

/// A number alone scales or shifts, and is a constant of the formula; a bias has an axis, and stands
/// where biases do or is added to a product with one output.
bool is_bias_of_one(const NodeRef& node, int index, const ValueRef& constant) {
  if (element_count(constant.constant_shape()) != 1 || constant.constant_shape().empty())
    return false;
  if (!is_one_of(kElementwise, node.op())) return true;
  const ValueRef other = node.is("Add") ? node.input(1 - index) : ValueRef();
  const NodeRef product = other ? other.producer() : NodeRef();
  if (!product || !product.is("MatMul")) return false;
  const ValueRef weight = product.input(1);
  return weight && weight.is_constant() && !weight.constant_shape().empty() &&
         weight.constant_shape().back() == 1;
}

/// What a node reads, values that its bodies capture included.
std::vector<ValueRef> reads(const NodeRef& node) {
  std::vector<ValueRef> result;
  for (int i = 0; i < node.input_count(); ++i) {
    if (const ValueRef value = node.input(i)) result.push_back(value);
  }
  for (Graph* const body : node.subgraphs()) {
    for (const NodeRef inner : body->nodes()) {
      for (const ValueRef& value : reads(inner)) {
        if (&value.scope() == &node.graph()) result.push_back(value);
      }
    }
    for (const auto& output : body->outputs()) {
      const ValueRef value = body->find(output.name);
      if (value && &value.scope() == &node.graph()) result.push_back(value);
    }
  }
  return result;
}

class Check {
 public:
  Check(const Model& model, const std::string& output);
  TrainingCheck run();

 private:
  std::string obstacle(const NodeRef& node) const;
  void find_kinds();
  bool all_integer(const NodeRef& node) const;
  NodeSet ancestors(const std::vector<ValueRef>& values) const;
  std::set<std::string> candidates(const NodeRef& node) const;
  void find_prefix();
  void follow_gradient();
  std::vector<NodeRef> stops_above(const std::set<std::string>& lost) const;
  TrainingCheck verdict() const;

  Model model_;
  ValueRef output_;
  std::vector<NodeRef> nodes_;  ///< of the main graph that lead to the output
  std::map<const onnx::NodeProto*, std::string> obstacles_;
  std::set<std::string> constant_, integer_;  ///< values
  NodeSet prefix_;
  std::vector<std::string> fed_;
  std::set<const onnx::NodeProto*> trained_;  ///< nodes that a gradient passes
  std::set<std::string> parameters_, all_candidates_;
};

Check::Check(const Model& model, const std::string& output) : model_(model.clone()) {
  model_.freeze_inputs();
  Graph& graph = model_.graph();
  const auto outputs = graph.outputs();
  if (outputs.empty()) throw Error(ErrorCode::kModel, "the model has no output");
  output_ = graph.find(output.empty() ? outputs.front().name : output);
  if (!output_) throw Error(ErrorCode::kModel, "the model has no output '" + output + "'");
  const NodeSet wanted = ancestors({output_});
  for (const NodeRef node : graph.nodes()) {
    if (wanted.count(node.proto()) > 0) nodes_.push_back(node);
  }
}

/// Why the trainer cannot run a node, or "".
std::string Check::obstacle(const NodeRef& node) const {
  const OpInfo* const info = find_op(node);
  if (info == nullptr) return "the trainer does not know " + node.op();
  return info->obstacle == nullptr ? "" : info->obstacle(node);
}

NodeSet Check::ancestors(const std::vector<ValueRef>& values) const {
  NodeSet found;
  std::vector<ValueRef> open = values;
  while (!open.empty()) {
    const ValueRef value = open.back();
    open.pop_back();
    const NodeRef node = value.is_constant() ? NodeRef() : value.producer();
    if (!node || !found.insert(node.proto()).second) continue;
    for (const ValueRef& read : reads(node)) open.push_back(read);
  }
  return found;
}

bool Check::all_integer(const NodeRef& node) const {
  const auto values = reads(node);
  return !values.empty() && std::all_of(values.begin(), values.end(), [&](const ValueRef& value) {
    return integer_.count(value.name()) > 0;
  });
}

/// Which values are constant and which hold no floats, as far as that follows without shapes.
void Check::find_kinds() {
  for (const auto& input : model_.graph().inputs()) {
    if (!is_floating(input.type)) integer_.insert(input.name);
  }
  for (const NodeRef& node : nodes_) {
    bool constant = true;
    for (const ValueRef& value : reads(node)) {
      if (value.is_constant()) {
        constant_.insert(value.name());
        if (!is_floating(value.constant_type())) integer_.insert(value.name());
      }
      constant = constant && constant_.count(value.name()) > 0;
    }
    const bool integer =
        is_one_of(kIntegerResults, node.op()) ||
        (node.op() == "Cast" && !is_float_type(node.attribute("to", int64_t{1}))) ||
        (node.op() != "Cast" && !node.op().ends_with("Linear") && all_integer(node));
    for (int i = 0; i < node.output_count(); ++i) {
      if (constant) constant_.insert(node.output_name(i));
      if (integer) integer_.insert(node.output_name(i));
    }
    if (const std::string why = obstacle(node); !why.empty()) obstacles_[node.proto()] = why;
  }
}

/// Floating constants that the node would train, seen through rearrangements. One number alone is
/// none, unless it is a bias.
std::set<std::string> Check::candidates(const NodeRef& node) const {
  std::set<std::string> result;
  const OpInfo* const info = find_op(node);
  if (info == nullptr) return result;
  for (const int index : info->parameters) {
    ValueRef value = node.input(index);
    while (value && !value.is_constant()) {
      const NodeRef producer = value.producer();
      const bool through =
          producer && (is_one_of(kRearrangements, producer.op()) ||
                       (producer.op() == "Cast" && integer_.count(value.name()) == 0));
      value = through ? producer.input(0) : ValueRef();
    }
    if (!value || !is_floating(value.constant_type())) continue;
    if (element_count(value.constant_shape()) <= 1 && !is_bias_of_one(node, index, value)) continue;
    if (is_one_of(kElementwise, node.op()) && forbids(value)) continue;
    result.insert(value.name());
  }
  return result;
}

/// Values that cross from the prefix to what is trained are fed, but what counts elements and
/// shapes is computed again: it has no samples to cut a batch into.
void Check::find_prefix() {
  std::vector<ValueRef> ends;
  for (const NodeRef& node : nodes_) {
    if (obstacles_.count(node.proto()) == 0) continue;
    prefix_.insert(node.proto());
    for (const ValueRef& value : reads(node)) ends.push_back(value);
  }
  for (const auto* const node : ancestors(ends)) prefix_.insert(node);
  std::set<std::string> seen;
  std::vector<ValueRef> open = {output_};
  while (!open.empty()) {
    const ValueRef value = open.back();
    open.pop_back();
    if (value.is_constant() || !seen.insert(value.name()).second) continue;
    const NodeRef node = value.producer();
    const bool again = node && obstacles_.count(node.proto()) == 0 &&
                       (integer_.count(value.name()) > 0 || constant_.count(value.name()) > 0);
    if (!node || (prefix_.count(node.proto()) > 0 && !again)) {
      fed_.push_back(value.name());
      continue;
    }
    for (const ValueRef& read : reads(node)) open.push_back(read);
  }
  std::sort(fed_.begin(), fed_.end());
}

void Check::follow_gradient() {
  std::set<std::string> reached = {output_.name()};
  std::set<std::string> frozen;
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    const auto found = candidates(*node);
    all_candidates_.insert(found.begin(), found.end());
    if (prefix_.count(node->proto()) > 0) {
      // What the prefix reads keeps its values, also where something behind it reads it, too.
      for (const ValueRef& value : reads(*node)) frozen.insert(value.name());
      frozen.insert(found.begin(), found.end());
      continue;
    }
    bool wanted = false;
    for (int i = 0; i < node->output_count(); ++i) {
      const std::string& name = node->output_name(i);
      wanted = wanted || (reached.count(name) > 0 && integer_.count(name) == 0);
    }
    if (!wanted || !find_op(*node)->differentiable) continue;
    trained_.insert(node->proto());
    parameters_.insert(found.begin(), found.end());
    for (const ValueRef& value : reads(*node)) {
      if (integer_.count(value.name()) == 0) reached.insert(value.name());
    }
  }
  for (const auto& name : frozen) parameters_.erase(name);
}

/// Nodes that keep the gradient from some parameter of `lost`.
std::vector<NodeRef> Check::stops_above(const std::set<std::string>& lost) const {
  std::vector<NodeRef> result;
  for (const NodeRef& node : nodes_) {
    const bool known = obstacles_.count(node.proto()) == 0;
    if (known && (prefix_.count(node.proto()) > 0 || trained_.count(node.proto()) > 0)) continue;
    if (known && find_op(node)->differentiable && node.op() != "Cast") continue;
    NodeSet above = ancestors(reads(node));
    above.insert(node.proto());
    const bool stops = std::any_of(nodes_.begin(), nodes_.end(), [&](const NodeRef& other) {
      if (above.count(other.proto()) == 0) return false;
      const auto found = candidates(other);
      return std::any_of(found.begin(), found.end(),
                         [&](const std::string& name) { return lost.count(name) > 0; });
    });
    if (stops) result.push_back(node);
  }
  return result;
}

TrainingCheck Check::verdict() const {
  TrainingCheck result;
  result.fed = fed_;
  result.has_prefix = !prefix_.empty();
  result.parameters.assign(parameters_.begin(), parameters_.end());
  std::set<std::string> lost;
  std::set_difference(all_candidates_.begin(), all_candidates_.end(), parameters_.begin(),
                      parameters_.end(), std::inserter(lost, lost.end()));
  for (const NodeRef& node : nodes_) {
    // In a part of constants nothing is fed sample by sample.
    const bool constant = node.output_count() > 0 && constant_.count(node.output_name()) > 0;
    if (constant && obstacles_.count(node.proto()) > 0) {
      result.obstacles.push_back(node.label() + ": " + obstacles_.at(node.proto()));
    }
  }
  const auto stops = stops_above(lost);
  for (const NodeRef& node : stops) {
    const auto why = obstacles_.find(node.proto());
    if (why != obstacles_.end()) result.frozen.push_back(node.label());
    if (parameters_.empty()) {
      result.obstacles.push_back(node.label() + ": " +
                                 (why != obstacles_.end() ? why->second : "no gradient"));
    }
  }
  if (result.frozen.empty()) {  // a prefix without weights, or with weights in its bodies alone
    for (const NodeRef& node : nodes_) {
      const auto why = obstacles_.find(node.proto());
      if (why == obstacles_.end()) continue;
      result.frozen.push_back(node.label());
      if (parameters_.empty()) result.obstacles.push_back(node.label() + ": " + why->second);
    }
  }
  return result;
}

TrainingCheck Check::run() {
  find_kinds();
  find_prefix();
  follow_gradient();
  return verdict();
}

}  // namespace

TrainingCheck check_model(const Model& model, const std::string& output) {
  return Check(model, output).run();
}

}  // namespace mcompress::train
