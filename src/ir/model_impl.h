// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <onnx/onnx_pb.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/payload.h"
#include "mcompress/model.h"

namespace mcompress {

struct Model::Impl {
  std::shared_ptr<onnx::ModelProto> proto = std::make_shared<onnx::ModelProto>();
  std::shared_ptr<ir::PayloadStore> payloads;
  ModelState state;
  uint64_t edits = 0;
  std::unordered_set<std::string> names;  ///< of all values and nodes, for fresh ones
  /// Names of the values that the model was loaded with; shared by its clones.
  std::shared_ptr<const std::unordered_set<std::string>> original_names;
  std::unordered_map<std::string, int> next_suffix;
  std::unique_ptr<Graph> main;
  /// Bodies by the node that owns them, in attribute order.
  std::unordered_map<const onnx::NodeProto*, std::vector<std::unique_ptr<Graph>>> bodies;
  std::vector<std::vector<std::unique_ptr<Graph>>> erased_bodies;

  /// IR below 4 wants initializers among the inputs and treats them as constants.
  bool initializers_are_inputs() const { return proto->ir_version() < 4; }
  /// Where the bytes of an initializer are; empty where they are inside the proto.
  static std::optional<ir::PayloadRange> large_payload(const ValueRef& constant);
};

/// Who defines a name, and what reads it, for one graph.
struct Graph::Index {
  enum class Kind { kInput, kInitializer, kNodeOutput, kOpaque };
  struct Definition {
    Kind kind = Kind::kOpaque;
    bool is_input = false;  ///< also (or only) a graph input
    onnx::NodeProto* node = nullptr;
    int output = 0;
    onnx::TensorProto* initializer = nullptr;
  };
  struct RawUse {
    Graph* graph;
    onnx::NodeProto* node;
    int input;
    friend bool operator==(const RawUse&, const RawUse&) = default;
  };
  struct OutputUse {
    Graph* graph;
    int index;
  };
  /// Where a node would like to stand: near `key`; inserted ones before it.
  struct Place {
    uint64_t key = 0;
    int phase = 0;
    uint64_t sequence = 0;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  std::unordered_map<std::string, Definition> definitions;
  std::unordered_map<std::string, std::vector<RawUse>> uses;
  std::unordered_map<std::string, std::vector<OutputUse>> output_uses;
  std::unordered_map<const onnx::NodeProto*, Place> places;  ///< of nodes that are alive
  std::vector<std::unique_ptr<onnx::NodeProto>> graveyard;   ///< keeps stale NodeRefs harmless
  uint64_t next_key = 0;
  uint64_t next_sequence = 0;
  bool order_dirty = true;

  void define(Graph& graph);
  void read(Graph& graph);
  void define_outputs(Graph& graph, onnx::NodeProto* node);
  static Graph* scope_of(Graph& from, const std::string& name);
  static void add_use(Graph& graph, onnx::NodeProto* node, int input);
  static void remove_use(Graph& graph, onnx::NodeProto* node, int input);
  static void remove_all_uses(Graph& graph, onnx::NodeProto* node);
  /// Puts nodes into topological order, those free to choose near their places; drops erased ones.
  void sort(Graph& graph);
};

}  // namespace mcompress
