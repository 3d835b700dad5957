// SPDX-License-Identifier: Apache-2.0
#include "runtime/skeleton.h"

#include <algorithm>

namespace mcompress::runtime {
namespace {

std::set<std::string> output_names(const onnx::GraphProto& graph) {
  std::set<std::string> names;
  for (const auto& output : graph.output()) names.insert(output.name());
  return names;
}

template <class Repeated, class Keep>
void retain(Repeated* items, Keep keep) {
  int kept = 0;
  for (int i = 0; i < items->size(); ++i) {
    if (!keep(items->Get(i))) continue;
    if (kept != i) items->SwapElements(kept, i);
    ++kept;
  }
  items->DeleteSubrange(kept, items->size() - kept);
}

}  // namespace

std::set<std::string> captured_names(const onnx::GraphProto& body) {
  std::set<std::string> read;
  for (const auto& node : body.node()) read.merge(names_read(node));
  for (const auto& output : body.output()) read.insert(output.name());
  for (const auto& node : body.node()) {
    for (const auto& name : node.output()) read.erase(name);
  }
  for (const auto& input : body.input()) read.erase(input.name());
  for (const auto& tensor : body.initializer()) read.erase(tensor.name());
  for (const auto& tensor : body.sparse_initializer()) read.erase(tensor.values().name());
  return read;
}

std::set<std::string> names_read(const onnx::NodeProto& node) {
  std::set<std::string> names(node.input().begin(), node.input().end());
  names.erase("");
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) names.merge(captured_names(attribute.g()));
    for (const auto& body : attribute.graphs()) names.merge(captured_names(body));
  }
  return names;
}

void add_outputs(onnx::ModelProto& model, std::span<const std::string> names) {
  std::set<std::string> present = output_names(model.graph());
  for (const auto& name : names) {
    if (present.insert(name).second) model.mutable_graph()->add_output()->set_name(name);
  }
}

void keep_only_outputs(onnx::ModelProto& model, std::span<const std::string> names) {
  auto* graph = model.mutable_graph();
  add_outputs(model, names);
  std::set<std::string> needed(names.begin(), names.end());
  retain(graph->mutable_output(), [&](const auto& output) { return needed.count(output.name()); });
  std::set<const onnx::NodeProto*> kept;
  for (int i = graph->node_size() - 1; i >= 0; --i) {
    const auto& node = graph->node(i);
    const auto& outputs = node.output();
    if (std::none_of(outputs.begin(), outputs.end(),
                     [&](const std::string& name) { return needed.count(name) > 0; })) {
      continue;
    }
    kept.insert(&node);
    needed.merge(names_read(node));
  }
  for (const auto& input : graph->input()) needed.insert(input.name());
  retain(graph->mutable_node(), [&](const auto& node) { return kept.count(&node); });
  retain(graph->mutable_initializer(), [&](const auto& t) { return needed.count(t.name()); });
  retain(graph->mutable_sparse_initializer(),
         [&](const auto& t) { return needed.count(t.values().name()); });
}

void forget_declared_types(onnx::ModelProto& model) {
  auto* graph = model.mutable_graph();
  graph->clear_value_info();
  for (auto& output : *graph->mutable_output()) {
    const std::string name = output.name();
    output.Clear();
    output.set_name(name);
  }
}

}  // namespace mcompress::runtime
