// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/tensor.h"

namespace mcompress::forms {

/// Nodes and constants to be written, with symbolic values, so that the bytes of a form are known
/// before its payload is packed. The value added last is the end of the chain.
class Chain {
 public:
  struct Constant {
    DataType type;
    Shape shape;
    std::function<Tensor()> make;
  };
  struct Node {
    std::string op;
    std::vector<int> inputs;
    std::vector<Attribute> attributes;
    std::string domain;
  };
  struct Value {
    bool is_node;
    size_t at;
  };

  int constant(DataType type, Shape shape, std::function<Tensor()> make);
  int constant(Tensor value);
  int node(std::string op, std::vector<int> inputs, std::vector<Attribute> attributes = {},
           std::string domain = "");
  /// The chain cannot be used below this version of the operator set.
  void require_opset(int64_t version);

  int64_t least_opset() const { return least_opset_; }
  const std::vector<Constant>& constants() const { return constants_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Value>& values() const { return values_; }
  /// Bytes of all constants, without what protobuf adds.
  uint64_t payload_bytes() const;

 private:
  std::vector<Constant> constants_;
  std::vector<Node> nodes_;
  std::vector<Value> values_;
  int64_t least_opset_ = 7;
};

/// Bytes that an initializer adds to a file, payload included (raw_data, stored inline).
uint64_t initializer_bytes(DataType type, const Shape& shape, size_t name_length);
/// Bytes that the constant behind `value` adds now, as an initializer or as a Constant node.
uint64_t plain_bytes(const ValueRef& value);
/// Bytes that a node adds to a file.
uint64_t node_bytes(const Chain::Node& node, const std::vector<size_t>& input_names, size_t output_name);

/// Writes chains into one graph, in front of the nodes that were there when it was made. Names are
/// one or two letters, small constants are written once for all chains of the emitter.
class Emitter {
 public:
  explicit Emitter(Graph& graph);
  /// Bytes that `emit` would add to the file. Exact up to the length prefix of the graph itself.
  uint64_t bytes(const Chain& chain, size_t end_name_length) const;
  /// Returns the end of the chain.
  ValueRef emit(const Chain& chain);
  Graph& graph() const { return *graph_; }

 private:
  std::string next_name(uint64_t& counter) const;
  static std::string content_key(const Chain::Constant& constant, Tensor& value);

  Graph* graph_;
  NodeRef before_;
  mutable uint64_t counter_ = 0;
  std::map<std::string, std::string> shared_;  ///< content -> name of the initializer
};

/// Puts `end`, the output of a node of the same graph that nobody reads yet, in the place of the constant
/// `old`, which must not be a graph output: all its readers read `end`, which takes the name over.
ValueRef replace_constant(const ValueRef& old, const ValueRef& end);

}  // namespace mcompress::forms
