// SPDX-License-Identifier: Apache-2.0
//
// Removes nodes that return their input as it is.
//
//   Before:  a = Identity(x)   b = Transpose<perm=[1,0]>(a)   c = Transpose<perm=[1,0]>(b)
//            y = Relu(c)
//   After:   y = Relu(x)
//
// Identity, Dropout, Cast to the same type, Reshape, Flatten, Expand to the same shape, Transpose
// that moves nothing (a pair becomes one), Pad by nothing, Slice of everything, Concat, Sum, Max,
// Min, Mean of one input, Clip without bounds, Mul and Div by 1, Sub of 0, Add of -0 (Add of +0
// turns -0 into +0), Relu of Relu, Reshape of Reshape.
//
// Refuses: where the node's output is a graph output that cannot take over the input (itself a
// graph input, output or constant), where a constant would widen the shape, and where a shape must
// be known and is not.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "analysis/patterns.h"
#include "mcompress/error.h"
#include "mcompress/pass_context.h"
#include "pass/known_types.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

using analysis::read_integers;

/// The value may be an input, which opsets before that had as an attribute.
std::vector<int64_t> integers(const NodeRef& node, const char* attribute, int input) {
  std::vector<int64_t> values = node.attribute_ints(attribute);
  if (values.empty() && node.input(input)) {
    if (auto read = read_integers(node.input(input))) values = std::move(*read);
  }
  return values;
}

bool output_is_read(const NodeRef& node, int index) {
  const ValueRef output = node.output(index);
  return output && (output.is_graph_output() || !output.uses().empty());
}

/// Every reader of the node's output can read its input instead. Otherwise an Identity would be
/// needed, and nothing be won.
bool can_pass_through(const NodeRef& node) {
  const ValueRef input = node.input(0), output = node.output(0);
  if (!input || !output) return false;
  if (!output.is_graph_output()) return true;
  return &input.scope() == &node.graph() && input.producer() && !input.is_graph_output() &&
         !input.is_constant() && !output.is_graph_input();
}

bool is_one(double v) { return v == 1.0; }
bool is_zero(double v) { return v == 0.0; }
bool is_negative_zero(double v) { return v == 0.0 && std::signbit(v); }

class Matcher {
 public:
  Matcher(const ValueTypes& types, int64_t opset) : types_(types), opset_(opset) {}

  /// Input 0 of the node, bit for bit, is what output 0 is.
  bool returns_its_input(const NodeRef& node) const {
    const std::string& op = node.op();
    if (op == "Identity") return node.input_count() == 1;
    if (op == "Dropout") return is_inactive_dropout(node);
    if (op == "Cast") return is_same_cast(node);
    if (op == "Reshape") return is_same_reshape(node);
    if (op == "Flatten" || op == "Expand") return has_same_static_shape(node);
    if (op == "Transpose") return is_identity_permutation(node);
    if (op == "Pad") return pads_nothing(node);
    if (op == "Slice") return slices_everything(node);
    if (op == "Concat" || op == "Sum" || op == "Max" || op == "Min" || op == "Mean") {
      return node.input_count() == 1;
    }
    if (op == "Clip") return clips_nothing(node);
    if (op == "Relu") return analysis::producer_of(node.input(0), "Relu").alive();
    return false;
  }

  /// The operand that Mul, Div, Add or Sub with a neutral constant returns; empty otherwise.
  ValueRef neutral_operand(const NodeRef& node) const {
    const std::string& op = node.op();
    if (op != "Mul" && op != "Div" && op != "Add" && op != "Sub") return {};
    if (node.has_attribute("broadcast")) return {};
    const auto operand = analysis::constant_operand(node);
    if (!operand) return {};
    if ((op == "Div" || op == "Sub") && operand->constant_input == 0) return {};
    if (!keeps_shape(*operand)) return {};
    const DataType type = operand->constant.constant_type();
    if (element_count(operand->constant.constant_shape()) == 0) return {};
    if (type == DataType::kFloat || type == DataType::kDouble) {
      const auto values = analysis::read_floats(operand->constant);
      if (!values) return {};
      const auto neutral = op == "Mul" || op == "Div" ? is_one
                           : op == "Sub"              ? is_positive_zero
                                                      : is_negative_zero;
      return std::all_of(values->begin(), values->end(), neutral) ? operand->variable : ValueRef{};
    }
    const auto values = read_integers(operand->constant);
    if (!values) return {};
    const int64_t neutral = op == "Mul" || op == "Div" ? 1 : 0;
    const bool all =
        std::all_of(values->begin(), values->end(), [neutral](int64_t v) { return v == neutral; });
    return all ? operand->variable : ValueRef{};
  }

 private:
  /// x - (+0) is x; -0 - (-0) is +0.
  static bool is_positive_zero(double v) { return is_zero(v) && !std::signbit(v); }

  bool keeps_shape(const analysis::ConstantOperand& operand) const {
    const Shape shape = operand.constant.constant_shape();
    if (shape.empty()) return true;
    const ValueType type = types_.find(operand.variable);
    const size_t rank = shape.size();
    if (!type.known_rank || rank > type.shape.size()) return false;
    for (size_t i = 0; i < rank; ++i) {
      const int64_t own = type.shape[type.shape.size() - rank + i];
      if (shape[i] != 1 && shape[i] != own) return false;
    }
    return true;
  }

  bool has_same_static_shape(const NodeRef& node) const {
    const ValueType in = types_.find(node.input(0)), out = types_.find(node.output(0));
    return in.is_static() && out.is_static() && in.shape == out.shape;
  }

  bool is_inactive_dropout(const NodeRef& node) const {
    if (opset_ < 7 || output_is_read(node, 1)) return false;
    const ValueRef training = node.input(2);
    if (!training) return true;
    if (!training.is_constant() || training.constant_type() != DataType::kBool) return false;
    const auto tensor = training.constant();
    return tensor && tensor->count() == 1 && !tensor->as<bool>()[0];
  }

  bool is_same_cast(const NodeRef& node) const {
    const DataType from = types_.find(node.input(0)).type;
    return from != DataType::kUndefined &&
           from == static_cast<DataType>(node.attribute("to", int64_t{0}));
  }

  bool is_same_reshape(const NodeRef& node) const {
    if (has_same_static_shape(node)) return true;
    const ValueType in = types_.find(node.input(0));
    const std::vector<int64_t> target = integers(node, "shape", 1);
    if (!in.known_rank || target.size() != in.shape.size() || target.empty()) return false;
    const bool zero_copies = node.attribute("allowzero", int64_t{0}) == 0;
    int open = 0;
    for (size_t i = 0; i < target.size(); ++i) {
      if (target[i] == 0 && zero_copies) continue;
      if (target[i] > 0 && target[i] == in.shape[i]) continue;
      if (target[i] != -1) return false;
      ++open;
    }
    return open <= 1 && std::count(in.shape.begin(), in.shape.end(), 0) == 0;
  }

  static bool is_identity_permutation(const NodeRef& node) {
    const std::vector<int64_t> perm = node.attribute_ints("perm");
    if (perm.empty()) return false;
    for (size_t i = 0; i < perm.size(); ++i) {
      if (perm[i] != static_cast<int64_t>(i)) return false;
    }
    return true;
  }

  bool pads_nothing(const NodeRef& node) const {
    const std::vector<int64_t> pads = integers(node, opset_ < 2 ? "paddings" : "pads", 1);
    return !pads.empty() && std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p == 0; });
  }

  bool slices_everything(const NodeRef& node) const {
    const std::vector<int64_t> starts = integers(node, "starts", 1);
    const std::vector<int64_t> ends = integers(node, "ends", 2);
    std::vector<int64_t> axes = integers(node, "axes", 3);
    const std::vector<int64_t> steps = integers(node, "steps", 4);
    if (starts.empty() || starts.size() != ends.size()) return false;
    if (node.input(3) && axes.size() != starts.size()) return false;
    if (node.input(4) && steps.size() != starts.size()) return false;
    const ValueType in = types_.find(node.input(0));
    for (size_t i = 0; i < starts.size(); ++i) {
      if (starts[i] != 0 || (!steps.empty() && steps[i] != 1)) return false;
      if (ends[i] >= std::numeric_limits<int32_t>::max()) continue;
      if (!in.known_rank) return false;
      int64_t axis = axes.empty() ? static_cast<int64_t>(i) : axes[i];
      if (axis < 0) axis += in.rank();
      if (axis < 0 || axis >= in.rank()) return false;
      const int64_t size = in.shape[static_cast<size_t>(axis)];
      if (size < 0 || ends[i] < size) return false;
    }
    return true;
  }

  bool clips_nothing(const NodeRef& node) const {
    if (opset_ >= 11) return !node.input(1) && !node.input(2);
    return !node.has_attribute("min") && !node.has_attribute("max");
  }

  const ValueTypes& types_;
  int64_t opset_;
};

/// Transpose(Transpose(x, p), q) reads x with the permutations composed.
bool merge_transposes(const NodeRef& outer) {
  const NodeRef inner = analysis::producer_of(outer.input(0), "Transpose");
  if (!outer.is("Transpose") || !inner || !(&inner.graph() == &outer.graph())) return false;
  const auto p = inner.attribute_ints("perm"), q = outer.attribute_ints("perm");
  if (p.empty() || p.size() != q.size() || !inner.input(0)) return false;
  std::vector<int64_t> composed;
  for (const int64_t axis : q) {
    if (axis < 0 || axis >= static_cast<int64_t>(p.size())) return false;
    composed.push_back(p[static_cast<size_t>(axis)]);
  }
  outer.graph().set_attribute(outer, {"perm", composed});
  outer.graph().set_input(outer, 0, inner.input(0));
  analysis::erase_unread(inner);
  return true;
}

/// Reshape(Reshape(x, a), b) is Reshape(x, b), unless b copies a dimension of what it reads.
bool merge_reshapes(const NodeRef& outer) {
  const NodeRef inner = analysis::producer_of(outer.input(0), "Reshape");
  if (!outer.is("Reshape") || !inner || !(&inner.graph() == &outer.graph())) return false;
  const std::vector<int64_t> target = integers(outer, "shape", 1);
  if (target.empty() || !inner.input(0)) return false;
  if (std::count(target.begin(), target.end(), 0) != 0) return false;
  outer.graph().set_input(outer, 0, inner.input(0));
  analysis::erase_unread(inner);
  return true;
}

void bypass(const NodeRef& node, const ValueRef& value) {
  node.graph().replace_uses(node.output(0), value);
  analysis::erase_unread(node);
}

class EliminateIdentity : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "eliminate-identity",
        .summary = "remove nodes that return their input bit for bit",
        .fidelity = Fidelity::kExact,
        .benefit = "fewer nodes; brings together what other passes can fold",
    };
    return info;
  }
  void describe(OptionSet&) override {}

  bool run(Model& model, PassContext& context) override {
    const ValueTypes types = known_types(model, context);
    int64_t removed = 0;
    for (bool again = true; again;) {
      again = false;
      for (Graph* graph : model.graphs()) {
        for (const NodeRef node : graph->nodes()) {
          if (!visit(node, Matcher(types, model.opset()))) continue;
          ++removed;
          again = true;
        }
      }
    }
    context.count("nodes removed", removed);
    return removed > 0;
  }

 private:
  static bool visit(const NodeRef& node, const Matcher& matcher) {
    if (!node.domain().empty() || node.output_count() == 0 || !node.input(0)) return false;
    if (merge_transposes(node) || merge_reshapes(node)) return true;
    if (const ValueRef operand = matcher.neutral_operand(node)) {
      if (!can_pass_through_from(node, operand)) return false;
      bypass(node, operand);
      return true;
    }
    if (!can_pass_through(node) || !matcher.returns_its_input(node)) return false;
    bypass(node, node.input(0));
    return true;
  }

  static bool can_pass_through_from(const NodeRef& node, const ValueRef& operand) {
    const ValueRef output = node.output(0);
    if (!output) return false;
    if (!output.is_graph_output()) return true;
    return &operand.scope() == &node.graph() && operand.producer() && !operand.is_graph_output();
  }
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(eliminate_identity, EliminateIdentity)
