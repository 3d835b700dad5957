// SPDX-License-Identifier: Apache-2.0
//
// Removes what no graph output depends on.
//
//   Before:  y = Relu(x)   unused = Exp(x)      initializers: w (nobody reads it)
//   After:   y = Relu(x)
//
// Looks into the bodies of If, Loop and Scan too. The outputs of a body count as read.
//
// Refuses: graph inputs and outputs stay, also initializers that are graph inputs or outputs; a
// node without any output stays, since only its effect can be why it is there.
#include <vector>

#include "mcompress/pass_context.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

bool is_read(const NodeRef& node) {
  if (node.output_count() == 0) return true;
  for (int i = 0; i < node.output_count(); ++i) {
    const ValueRef output = node.output(i);
    if (output && (output.is_graph_output() || !output.uses().empty())) return true;
  }
  return false;
}

int64_t remove_unread_nodes(Graph& graph) {
  std::vector<NodeRef> nodes;
  for (const NodeRef node : graph.nodes()) nodes.push_back(node);
  int64_t removed = 0;
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (is_read(*node)) continue;
    graph.erase(*node);
    ++removed;
  }
  return removed;
}

int64_t remove_unread_initializers(Graph& graph) {
  int64_t removed = 0;
  for (const std::string& name : graph.initializers()) {
    const ValueRef value = graph.find(name);
    if (!value || value.is_graph_input() || value.is_graph_output() || !value.uses().empty()) {
      continue;
    }
    graph.erase_initializer(name);
    ++removed;
  }
  return removed;
}

class EliminateDead : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "eliminate-dead",
        .summary = "remove nodes and initializers that no output depends on",
        .fidelity = Fidelity::kExact,
        .benefit = "smaller file, where an exporter left something behind",
    };
    return info;
  }
  void describe(OptionSet&) override {}

  bool run(Model& model, PassContext& context) override {
    int64_t nodes = 0, initializers = 0;
    // Inner bodies last in this list read what outer graphs define, so they are cleaned first. A
    // body goes with its node; its list is fetched anew because removed bodies must not be touched.
    for (bool again = true; again;) {
      const std::vector<Graph*> graphs = model.graphs();
      int64_t removed = 0;
      for (auto graph = graphs.rbegin(); graph != graphs.rend(); ++graph) {
        removed += remove_unread_nodes(**graph);
        initializers += remove_unread_initializers(**graph);
      }
      nodes += removed;
      again = removed > 0 && graphs.size() > 1;
    }
    context.count("nodes removed", nodes);
    context.count("initializers removed", initializers);
    return nodes + initializers > 0;
  }
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(eliminate_dead, EliminateDead)
