// SPDX-License-Identifier: Apache-2.0
//
// Computes now what does not depend on the input.
//
//   Before:  s = Shape(x)   n = Gather(s, 1)   c = Concat(n, [-1])   y = Reshape(x, c)
//   After:   y = Reshape(x, [6, -1])                                 where x is float[4,6]
//
// Nodes whose inputs are all constants are evaluated by the runtime, all in one session. Shape
// arithmetic is computed from the types of the values; the shape input of a Reshape may have one
// unknown entry, which becomes -1.
//
// Refuses: random numbers, nodes with bodies, other domains, stored forms of weights (they are to
// stay small), results larger than the constants that they free by more than `max-growth` bytes,
// and nodes whose output is a graph output.
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "analysis/extract.h"
#include "analysis/patterns.h"
#include "analysis/static_values.h"
#include "forms/stored_form.h"
#include "mcompress/error.h"
#include "mcompress/pass_context.h"
#include "pass/known_types.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

using analysis::PartialIntegers;
using ValueKey = std::pair<const Graph*, std::string>;

ValueKey key_of(const ValueRef& value) { return {&value.scope(), value.name()}; }

/// Ops that are never evaluated: random, or with results that are no dense tensors of numbers.
bool is_excluded(const std::string& op) {
  static constexpr std::array<std::string_view, 14> kExcluded = {
      "Constant",          "RandomNormal",     "RandomUniform",      "RandomNormalLike",
      "RandomUniformLike", "Multinomial",      "Bernoulli",          "SplitToSequence",
      "QuantizeLinear",    "DequantizeLinear", "ConcatFromSequence", "Dropout",
      "TfIdfVectorizer",   "ImageDecoder"};
  if (std::find(kExcluded.begin(), kExcluded.end(), op) != kExcluded.end()) return true;
  return op.starts_with("Sequence") || op.starts_with("Optional") || op.starts_with("String");
}

uint64_t bytes_of(const ValueRef& constant) {
  return packed_bytes(constant.constant_type(), element_count(constant.constant_shape()));
}

class Folder {
 public:
  Folder(Model& model, RuntimeService& runtime, int64_t max_growth)
      : model_(model),
        runtime_(runtime),
        max_growth_(max_growth),
        forms_(forms::form_nodes(model)) {}

  /// Each round folds a node or gives one up, so it ends.
  void run() {
    for (std::vector<NodeRef> nodes = find(); !nodes.empty(); nodes = find()) fold(nodes);
  }
  int64_t folded_nodes() const { return folded_nodes_; }

 private:
  bool can_evaluate(const NodeRef& node) const {
    if (!node.domain().empty() || is_excluded(node.op()) || !node.subgraphs().empty()) return false;
    if (given_up_.count(node.proto()) != 0 || forms_.count(node.proto()) != 0) return false;
    if (node.input_count() == 0 || node.output_count() == 0) return false;
    for (int i = 0; i < node.output_count(); ++i) {
      if (node.output(i) && node.output(i).is_graph_output()) return false;
    }
    return true;
  }

  /// Nodes that depend on constants alone, in an order in which they can be computed.
  std::vector<NodeRef> find() const {
    std::vector<NodeRef> result;
    std::set<ValueKey> known;
    for (Graph* graph : model_.graphs()) {
      for (const NodeRef node : graph->nodes()) {
        if (!can_evaluate(node)) continue;
        bool constant = true;
        for (int i = 0; i < node.input_count() && constant; ++i) {
          const ValueRef input = node.input(i);
          if (!input && node.input_name(i).empty()) continue;
          constant = input && (input.is_constant() || known.count(key_of(input)) != 0);
        }
        if (!constant) continue;
        result.push_back(node);
        for (int i = 0; i < node.output_count(); ++i) {
          if (node.output(i)) known.insert(key_of(node.output(i)));
        }
      }
    }
    return result;
  }

  /// Evaluates `nodes`; where the runtime refuses one, finds out which by halving.
  void fold(std::span<const NodeRef> nodes) {
    try {
      const analysis::Extracted extracted = analysis::extract_constant_nodes(model_, nodes);
      SessionOptions options;
      options.optimize = false;
      options.prepack = false;
      const auto session = runtime_.open(extracted.model, options);
      store(nodes, extracted.outputs, session->run({}));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kBug || error.code() == ErrorCode::kInterrupted) throw;
      // The second half may need results of the first; the next round finds what is left of it.
      if (nodes.size() > 1) return fold(nodes.first(nodes.size() / 2));
      given_up_.insert(nodes[0].proto());
    }
  }

  void store(std::span<const NodeRef> nodes, const std::vector<analysis::ExtractedOutput>& outputs,
             const std::vector<Tensor>& tensors) {
    std::map<const onnx::NodeProto*, std::vector<std::pair<int, const Tensor*>>> results;
    for (size_t i = 0; i < outputs.size(); ++i) {
      results[outputs[i].node.proto()].emplace_back(outputs[i].output, &tensors[i]);
    }
    for (const NodeRef& node : nodes) {
      if (!node.alive()) continue;
      const auto& values = results[node.proto()];
      if (!reads_constants_only(node) || grows_too_much(node, values)) {
        given_up_.insert(node.proto());
        continue;
      }
      for (const auto& [output, tensor] : values) {
        const ValueRef value = node.output(output);
        if (value.uses().empty()) continue;
        const ValueRef constant = node.graph().add_constant(value.name() + "_folded", *tensor);
        node.graph().replace_uses(value, constant);
      }
      analysis::erase_unread(node);
      ++folded_nodes_;
    }
  }

  static bool reads_constants_only(const NodeRef& node) {
    for (int i = 0; i < node.input_count(); ++i) {
      const ValueRef input = node.input(i);
      if (input ? !input.is_constant() : !node.input_name(i).empty()) return false;
    }
    return true;
  }

  /// Compares the new constants with those that nobody reads afterwards.
  bool grows_too_much(const NodeRef& node,
                      const std::vector<std::pair<int, const Tensor*>>& values) const {
    uint64_t added = 0, freed = 0;
    for (const auto& [output, tensor] : values) added += tensor->byte_size();
    for (int i = 0; i < node.input_count(); ++i) {
      const ValueRef input = node.input(i);
      if (input && analysis::is_used_once(input)) freed += bytes_of(input);
    }
    return added > freed + static_cast<uint64_t>(max_growth_);
  }

  Model& model_;
  RuntimeService& runtime_;
  int64_t max_growth_;
  std::set<const onnx::NodeProto*> forms_;
  std::set<const onnx::NodeProto*> given_up_;
  int64_t folded_nodes_ = 0;
};

class FoldConstants : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "fold-constants",
        .summary = "compute what does not depend on the input, shape arithmetic included",
        .fidelity = Fidelity::kExact,
        .needs = {.runtime = true},
        .cost = "one short Run",
        .benefit = "fewer nodes; small models gain latency",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("max-growth", max_growth_, "Bytes that a result may be larger than what it replaces")
        .at_least(0);
  }

  bool run(Model& model, PassContext& context) override {
    Folder folder(model, context.runtime(), max_growth_);
    int64_t shapes = 0, folded = 0;
    // A shape that is known now makes others known: the runtime is asked again.
    for (bool again = true; again;) {
      const int64_t before = shapes + folded;
      shapes += fold_shapes(model, known_types(model, context));
      folder.run();
      folded = folder.folded_nodes();
      again = shapes + folded > before;
    }
    context.count("shapes computed", shapes);
    context.count("nodes folded", folded);
    return shapes + folded > 0;
  }

 private:
  /// All questions come before the first edit, which would make the answers stale.
  static int64_t fold_shapes(Model& model, const ValueTypes& types) {
    struct Finding {
      NodeRef node;
      int input;  ///< of a Reshape; -1: output 0 of the node
      Tensor value;
    };
    std::vector<Finding> findings;
    analysis::StaticValues values(types);
    for (Graph* graph : model.graphs()) {
      for (const NodeRef node : graph->nodes()) {
        if (node.is("Reshape")) {
          if (auto shape = shape_of_reshape(node, values)) findings.push_back({node, 1, *shape});
        } else if (auto value = whole_value(node, values, types)) {
          findings.push_back({node, -1, *value});
        }
      }
    }
    int64_t folded = 0;
    for (const Finding& finding : findings) {
      if (!finding.node.alive()) continue;
      folded += finding.input >= 0 ? set_shape(finding.node, finding.value)
                                   : replace(finding.node, finding.value);
    }
    return folded;
  }

  /// The value of a node of shape arithmetic over something that is no constant.
  static std::optional<Tensor> whole_value(const NodeRef& node, analysis::StaticValues& values,
                                           const ValueTypes& types) {
    if (!node.domain().empty() || node.output_count() != 1 || node.is("Constant"))
      return std::nullopt;
    const ValueRef output = node.output(0);
    if (!output || output.is_graph_output() || output.uses().empty()) return std::nullopt;
    const auto value = values.find(output);
    if (!value || !value->is_known()) return std::nullopt;
    DataType type = types.find(output).type;
    if (type == DataType::kUndefined && node.is("Shape")) type = DataType::kInt64;
    return to_tensor(*value, type);
  }

  static std::optional<Tensor> to_tensor(const PartialIntegers& value, DataType type) {
    if (type != DataType::kInt64 && type != DataType::kInt32) return std::nullopt;
    std::vector<int64_t> entries;
    for (const auto& entry : value.entries) entries.push_back(entry.value_or(-1));
    const Shape shape = value.is_scalar ? Shape{} : Shape{static_cast<int64_t>(entries.size())};
    const Tensor wide = Tensor::from(shape, entries);
    return type == DataType::kInt64 ? wide : wide.cast(type);
  }

  /// A constant for the shape input, where all entries but one are known and positive.
  static std::optional<Tensor> shape_of_reshape(const NodeRef& node,
                                                analysis::StaticValues& values) {
    const ValueRef input = node.input(1);
    if (!node.domain().empty() || !input || input.is_constant()) return std::nullopt;
    const auto shape = values.find(input);
    if (!shape || shape->is_scalar || shape->unknown_count() != 1) return std::nullopt;
    const bool positive = std::all_of(shape->entries.begin(), shape->entries.end(),
                                      [](const auto& entry) { return !entry || *entry > 0; });
    if (!positive) return std::nullopt;
    return to_tensor(*shape, DataType::kInt64);
  }

  static int64_t set_shape(const NodeRef& node, const Tensor& shape) {
    const ValueRef input = node.input(1);
    if (!input || input.is_constant()) return 0;
    Graph& graph = node.graph();
    graph.set_input(node, 1, graph.add_constant(input.name() + "_folded", shape));
    analysis::erase_unread(input.producer());
    return 1;
  }

  static int64_t replace(const NodeRef& node, const Tensor& value) {
    const ValueRef output = node.output(0);
    Graph& graph = node.graph();
    graph.replace_uses(output, graph.add_constant(output.name() + "_folded", value));
    analysis::erase_unread(node);
    return 1;
  }

  int64_t max_growth_ = 1024;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(fold_constants, FoldConstants)
