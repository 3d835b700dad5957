// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <queue>

#include "ir/model_impl.h"

namespace mcompress {

Graph::Graph(Model* model, Graph* parent, NodeRef owner, onnx::GraphProto* proto)
    : model_(model),
      parent_(parent),
      owner_(owner),
      proto_(proto),
      index_(std::make_unique<Index>()) {
  index_->define(*this);
  auto& impl = model_->impl();
  for (auto& node : *proto_->mutable_node()) {
    std::vector<std::unique_ptr<Graph>> bodies;
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) {
        bodies.emplace_back(new Graph(model_, this, NodeRef(this, &node), attribute.mutable_g()));
      }
      for (auto& graph : *attribute.mutable_graphs()) {
        bodies.emplace_back(new Graph(model_, this, NodeRef(this, &node), &graph));
      }
    }
    if (!bodies.empty()) impl.bodies[&node] = std::move(bodies);
  }
}

Graph::~Graph() = default;

void Graph::Index::define(Graph& graph) {
  auto& names = graph.model_->impl().names;
  const auto add = [&](const std::string& name, Definition definition) {
    if (name.empty()) return;
    names.insert(name);
    const auto [it, fresh] = definitions.try_emplace(name, definition);
    if (fresh) return;
    if (it->second.is_input && definition.kind == Kind::kInitializer) {
      definition.is_input = true;
      it->second = definition;
      return;
    }
    throw Error(ErrorCode::kModel,
                "value '" + name + "' is defined twice in graph '" + graph.name() + "'");
  };
  for (const auto& input : graph.proto_->input()) {
    add(input.name(), {.kind = Kind::kInput, .is_input = true});
  }
  for (auto& tensor : *graph.proto_->mutable_initializer()) {
    add(tensor.name(), {.kind = Kind::kInitializer, .initializer = &tensor});
  }
  for (const auto& sparse : graph.proto_->sparse_initializer()) {
    const auto it = definitions.find(sparse.values().name());
    if (it == definitions.end()) add(sparse.values().name(), {.kind = Kind::kOpaque});
  }
  for (auto& node : *graph.proto_->mutable_node()) {
    if (!node.name().empty()) names.insert(node.name());
    places[&node] = {.key = ++next_key, .phase = 0, .sequence = ++next_sequence};
    for (int i = 0; i < node.output_size(); ++i) {
      add(node.output(i), {.kind = Kind::kNodeOutput, .node = &node, .output = i});
    }
  }
}

void Graph::Index::define_outputs(Graph& graph, onnx::NodeProto* node) {
  for (int i = 0; i < node->output_size(); ++i) {
    const std::string& name = node->output(i);
    if (name.empty()) continue;
    const auto [it, fresh] = definitions.try_emplace(
        name, Definition{.kind = Kind::kNodeOutput, .node = node, .output = i});
    if (!fresh) {
      throw Error(ErrorCode::kBug,
                  "value '" + name + "' would be defined twice in graph '" + graph.name() + "'");
    }
    graph.model_->impl().names.insert(name);
  }
}

Graph* Graph::Index::scope_of(Graph& from, const std::string& name) {
  for (Graph* graph = &from; graph != nullptr; graph = graph->parent_) {
    if (graph->index_->definitions.contains(name)) return graph;
  }
  return nullptr;
}

void Graph::Index::read(Graph& graph) {
  for (auto& node : *graph.proto_->mutable_node()) {
    for (int i = 0; i < node.input_size(); ++i) add_use(graph, &node, i);
  }
  for (int i = 0; i < graph.proto_->output_size(); ++i) {
    const std::string& name = graph.proto_->output(i).name();
    if (Graph* const scope = scope_of(graph, name)) {
      scope->index_->output_uses[name].push_back({&graph, i});
    }
  }
}

void Graph::Index::add_use(Graph& graph, onnx::NodeProto* node, int input) {
  const std::string& name = node->input(input);
  if (name.empty()) return;
  if (Graph* const scope = scope_of(graph, name)) {
    scope->index_->uses[name].push_back({&graph, node, input});
  }
}

void Graph::Index::remove_use(Graph& graph, onnx::NodeProto* node, int input) {
  const std::string& name = node->input(input);
  if (name.empty()) return;
  Graph* const scope = scope_of(graph, name);
  if (scope == nullptr) return;
  const auto it = scope->index_->uses.find(name);
  if (it == scope->index_->uses.end()) return;
  std::erase(it->second, RawUse{&graph, node, input});
  if (it->second.empty()) scope->index_->uses.erase(it);
}

void Graph::Index::remove_all_uses(Graph& graph, onnx::NodeProto* node) {
  for (int i = 0; i < node->input_size(); ++i) remove_use(graph, node, i);
  auto& bodies = graph.model_->impl().bodies;
  const auto it = bodies.find(node);
  if (it == bodies.end()) return;
  for (const auto& body : it->second) {
    for (auto& inner : *body->proto_->mutable_node()) remove_all_uses(*body, &inner);
    for (int i = 0; i < body->proto_->output_size(); ++i) {
      const std::string& name = body->proto_->output(i).name();
      if (Graph* const scope = scope_of(*body, name)) {
        std::erase_if(scope->index_->output_uses[name],
                      [&](const OutputUse& use) { return use.graph == body.get(); });
      }
    }
  }
  graph.model_->impl().erased_bodies.push_back(std::move(it->second));
  bodies.erase(it);
}

void Graph::Index::sort(Graph& graph) {
  if (!order_dirty) return;
  auto* const nodes = graph.proto_->mutable_node();
  // Edges from each node to the nodes of this graph that read it, directly or from a body.
  std::unordered_map<const onnx::NodeProto*, std::vector<onnx::NodeProto*>> readers;
  std::unordered_map<const onnx::NodeProto*, size_t> waiting;
  for (const auto& [name, users] : uses) {
    const auto definition = definitions.find(name);
    if (definition == definitions.end() || definition->second.node == nullptr) continue;
    for (const RawUse& use : users) {
      onnx::NodeProto* reader = use.node;
      for (Graph* at = use.graph; at != &graph; at = at->parent_) reader = at->owner_.proto();
      readers[definition->second.node].push_back(reader);
      ++waiting[reader];
    }
  }
  // A body's output that names an outer value directly is a dependence of the owner, too.
  for (const auto& [name, users] : output_uses) {
    const auto definition = definitions.find(name);
    if (definition == definitions.end() || definition->second.node == nullptr) continue;
    for (const OutputUse& use : users) {
      if (use.graph == &graph) continue;
      onnx::NodeProto* reader = nullptr;
      for (Graph* at = use.graph; at != &graph; at = at->parent_) reader = at->owner_.proto();
      readers[definition->second.node].push_back(reader);
      ++waiting[reader];
    }
  }
  using Entry = std::pair<Place, onnx::NodeProto*>;
  const auto later = [](const Entry& a, const Entry& b) { return b.first < a.first; };
  std::priority_queue<Entry, std::vector<Entry>, decltype(later)> ready(later);
  for (auto& node : *nodes) {
    if (waiting.find(&node) == waiting.end()) ready.emplace(places.at(&node), &node);
  }
  std::unordered_map<const onnx::NodeProto*, int> rank;
  while (!ready.empty()) {
    onnx::NodeProto* const node = ready.top().second;
    ready.pop();
    rank.emplace(node, static_cast<int>(rank.size()));
    const auto next = readers.find(node);
    if (next == readers.end()) continue;
    for (onnx::NodeProto* const reader : next->second) {
      if (--waiting[reader] == 0) ready.emplace(places.at(reader), reader);
    }
  }
  if (rank.size() != static_cast<size_t>(nodes->size())) {
    for (auto& node : *nodes) {
      if (rank.contains(&node)) continue;
      throw Error(ErrorCode::kModel,
                  "node " + NodeRef(&graph, &node).label() + " depends on itself through a cycle");
    }
  }
  std::sort(nodes->pointer_begin(), nodes->pointer_end(),
            [&](const auto* a, const auto* b) { return rank.at(a) < rank.at(b); });
  order_dirty = false;
}

}  // namespace mcompress
