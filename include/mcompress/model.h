// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mcompress/tensor.h"

namespace onnx {
class GraphProto;
class ModelProto;
class NodeProto;
}  // namespace onnx

namespace mcompress {

class Graph;
class Model;
class NodeRef;

/// An attribute given to a new node or set on an old one.
struct Attribute {
  using Value = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
                             std::vector<std::string>, Tensor>;
  std::string name;
  Value value;
};

struct Use;

/// A named value seen from the graph that defines it. A small value; stays valid across edits for
/// as long as the name is defined. An empty ValueRef stands for an absent optional input.
class ValueRef {
 public:
  ValueRef() = default;
  ValueRef(Graph* scope, std::string name) : scope_(scope), name_(std::move(name)) {}

  explicit operator bool() const { return scope_ != nullptr; }
  const std::string& name() const { return name_; }
  /// The graph that defines the value (an outer one for a captured value).
  Graph& scope() const { return *scope_; }

  /// The node that computes it; empty for inputs, initializers and values of unknown origin.
  NodeRef producer() const;
  /// Position among the producer's outputs; -1 without a producer.
  int producer_output() const;
  /// Every node input that reads it, nodes of subgraph bodies included, in a fixed order.
  std::vector<Use> uses() const;
  /// True when it is an output of the graph that defines it or of a body that captures it.
  bool is_graph_output() const;
  bool is_graph_input() const;

  /// True for an initializer that is not a graph input, and for the output of a Constant node,
  /// unless it holds strings or is sparse.
  bool is_constant() const;
  /// Type and shape of a constant without reading it; kUndefined and {} when not constant.
  DataType constant_type() const;
  Shape constant_shape() const;
  /// Reads the constant (from the model file where it is large). Each call reads anew: keep it.
  std::optional<Tensor> constant() const;

  friend bool operator==(const ValueRef&, const ValueRef&) = default;

 private:
  Graph* scope_ = nullptr;
  std::string name_;
};

/// A node of a graph. A small value; valid until the node is erased, `alive` tells.
class NodeRef {
 public:
  NodeRef() = default;
  NodeRef(Graph* graph, onnx::NodeProto* proto) : graph_(graph), proto_(proto) {}

  explicit operator bool() const { return proto_ != nullptr; }
  bool alive() const;
  Graph& graph() const { return *graph_; }

  const std::string& op() const;
  /// "" for the default domain, also where the file says "ai.onnx".
  std::string domain() const;
  /// As in the file: may be empty and need not be unique. Use `label` for people.
  const std::string& name() const;
  /// Name for people and for layer selection: the node's name, or "Op:first_output" without one.
  std::string label() const;
  bool is(std::string_view op, std::string_view domain = "") const;

  int input_count() const;
  int output_count() const;
  /// Empty for an absent optional input or an index past the end.
  ValueRef input(int index) const;
  ValueRef output(int index = 0) const;
  const std::string& input_name(int index) const;
  const std::string& output_name(int index = 0) const;

  bool has_attribute(std::string_view name) const;
  int64_t attribute(std::string_view name, int64_t fallback) const;
  float attribute(std::string_view name, float fallback) const;
  std::string attribute(std::string_view name, std::string_view fallback) const;
  std::vector<int64_t> attribute_ints(std::string_view name) const;
  std::vector<float> attribute_floats(std::string_view name) const;
  std::optional<Tensor> attribute_tensor(std::string_view name) const;
  /// Bodies of If, Loop, Scan.
  std::vector<Graph*> subgraphs() const;

  onnx::NodeProto* proto() const { return proto_; }
  friend bool operator==(const NodeRef&, const NodeRef&) = default;

 private:
  Graph* graph_ = nullptr;
  onnx::NodeProto* proto_ = nullptr;
};

/// `node` reads the value as its input number `input`.
struct Use {
  NodeRef node;
  int input;
};

/// What a new node is. Output names left empty get fresh ones from `name_hint` or the op.
struct NodeSpec {
  std::string op;
  std::vector<ValueRef> inputs;
  std::vector<Attribute> attributes = {};
  std::string domain = "";
  std::string name = "";
  std::vector<std::string> outputs = {""};
};

/// The nodes of one graph in topological order at the time of the call. Iteration skips nodes
/// that were erased meanwhile and does not visit nodes inserted meanwhile.
class NodeRange {
 public:
  class Iterator {
   public:
    Iterator(const NodeRange* range, size_t at) : range_(range), at_(at) { skip_erased(); }
    NodeRef operator*() const { return range_->nodes_[at_]; }
    Iterator& operator++() {
      ++at_;
      skip_erased();
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    void skip_erased() {
      while (at_ < range_->nodes_.size() && !range_->nodes_[at_].alive()) ++at_;
    }
    const NodeRange* range_;
    size_t at_;
  };
  explicit NodeRange(std::vector<NodeRef> nodes) : nodes_(std::move(nodes)) {}
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, nodes_.size()}; }
  size_t size() const { return nodes_.size(); }
  bool empty() const { return nodes_.empty(); }

 private:
  std::vector<NodeRef> nodes_;
};

/// Element type and shape of a graph input or output as declared; not to be trusted for outputs.
struct ValueInfo {
  std::string name;
  DataType type = DataType::kUndefined;
  bool has_shape = false;
  Shape shape;                          ///< -1 for a symbolic or unknown dimension
  std::vector<std::string> dim_params;  ///< name of each symbolic dimension, "" otherwise
};

/// The main graph or the body of a control-flow node. The only way to change a model: every method
/// keeps the index of producers, uses and constants right. Objects live as long as their Model.
class Graph {
 public:
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  Model& model() const { return *model_; }
  /// The graph around a body; null for the main graph.
  Graph* parent() const { return parent_; }
  /// The If, Loop or Scan node that owns a body; empty for the main graph.
  NodeRef owner() const { return owner_; }
  const std::string& name() const;

  NodeRange nodes();
  std::vector<ValueInfo> inputs() const;  ///< initializers that are also inputs included
  std::vector<ValueInfo> outputs() const;
  /// Names of the initializers in file order.
  std::vector<std::string> initializers() const;
  /// Resolves a name in this graph or the graphs around it; empty when nobody defines it.
  ValueRef find(std::string_view name);

  /// Adds a node; it is placed near `before` (at the end without one), the order is kept
  /// topological. Returns it.
  NodeRef insert(NodeSpec spec, NodeRef before = {});
  /// Removes a node. Its outputs must have no uses left and be no graph outputs; throws kBug.
  void erase(NodeRef node);
  /// Makes every reader of `from`, graph outputs included, read `to`, and returns what they read
  /// now. Names stay, except where `from` is a graph output, which must keep its name: then `to`
  /// takes it over (the old producer gets a fresh name; a ValueRef with the old name of `to` is
  /// stale), or where it cannot, an Identity is added.
  ValueRef replace_uses(const ValueRef& from, const ValueRef& to);
  /// Like replace_uses, for a value newly computed in place of an old one: `now`, the output of a node
  /// of this graph, always takes the name of `old` over, so that a rewritten layer keeps its identity
  /// (rules.md 15). Returns the value under that name.
  ValueRef supersede(const ValueRef& old, const ValueRef& now);
  void set_input(NodeRef node, int index, const ValueRef& value);  ///< empty value: absent
  /// Drops trailing inputs so that `count` are left.
  void truncate_inputs(NodeRef node, int count);
  /// Renames what a node produces; uses of the old name are NOT changed.
  void set_output(NodeRef node, int index, const std::string& name);
  void set_op(NodeRef node, const std::string& op, const std::string& domain = "");
  void set_name(NodeRef node, const std::string& name);
  void set_attribute(NodeRef node, Attribute attribute);
  void remove_attribute(NodeRef node, std::string_view name);

  /// New initializer with a fresh name made from `hint`.
  ValueRef add_constant(std::string_view hint, const Tensor& value);
  /// New initializer with exactly this name, which nothing defines now (it may have been used before).
  ValueRef add_constant_named(const std::string& name, const Tensor& value);
  /// Replaces a constant for all who read it (type and shape may change).
  void set_constant(const ValueRef& value, const Tensor& tensor);
  /// Gives `node` another constant as its input: in place when nobody else reads the old one,
  /// else a new initializer. Returns the value now read.
  ValueRef set_constant_input(NodeRef node, int index, const Tensor& tensor);
  /// Removes an initializer that nobody reads; throws kBug when it is read.
  void erase_initializer(const std::string& name);
  /// A name that no graph of the model uses.
  std::string fresh_name(std::string_view hint);
  /// True when `fresh_name(name)` would give `name` itself; reserves nothing.
  bool is_free(std::string_view name) const;
  /// Declares another shape for an input (-1: open). Throws kBug where there is no such tensor input.
  void set_input_shape(const std::string& name, const Shape& shape);
  /// Forgets the declared shapes of inner values and outputs of this graph (after a change of widths).
  void drop_value_info();

 private:
  friend class Model;
  friend class ValueRef;
  friend class NodeRef;
  struct Index;
  Graph(Model* model, Graph* parent, NodeRef owner, onnx::GraphProto* proto);

  Model* model_;
  Graph* parent_;
  NodeRef owner_;
  onnx::GraphProto* proto_;
  std::unique_ptr<Index> index_;
};

/// What earlier steps did to a weight; later steps and training keep it (rules.md 15).
enum class ConstraintKind { kMask, kCodebook, kTied };
struct TensorConstraint {
  ConstraintKind kind;
  std::string pass;  ///< who recorded it
};

/// Knowledge that travels with a model, is cloned and rolled back with it.
/// A value that is on purpose smaller by a factor per channel than it was in the input model; what
/// reads it makes up for it.
struct DividedValue {
  int axis = 1;
  std::vector<double> factors;  ///< one per channel along `axis`
};

struct ModelState {
  std::multimap<std::string, TensorConstraint> constraints;  ///< by value name of the weight
  /// Name of a value -> name it had in the input model, for values that were renamed.
  std::map<std::string, std::string> origin;
  std::map<std::string, DividedValue> divided;  ///< by name of the value
};

enum class ExternalData { kAuto, kAlways, kNever };

struct SaveOptions {
  ExternalData external_data = ExternalData::kAuto;  ///< auto: above 1.8 GiB
  bool overwrite = false;                            ///< an existing file is an error without it
};

/// 128 bits over everything the file would say, payloads included.
struct Fingerprint {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
  std::string hex() const;
};

/// An ONNX model. Wraps the ModelProto, which stays the only truth; tensors above 64 KiB stay in
/// the file they came from (or in a private spill file once changed) and are read on demand, so a
/// clone costs little and a model of many GiB fits in small memory.
class Model {
 public:
  /// Reads a model and checks its structure (not its semantics: the runtime does).
  /// Throws kModel naming file and byte where it is truncated or not ONNX.
  static Model load(const std::filesystem::path& path);
  /// Parses serialized bytes; external data is looked for in `folder`.
  static Model parse(std::string_view bytes, const std::filesystem::path& folder = {});
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  Model clone() const;
  /// Atomic: temporary file, sync, rename; large models get OUTPUT.<hash8>.data beside them.
  void save(const std::filesystem::path& path, const SaveOptions& options = {}) const;
  /// Bytes that `save` would write, external data included.
  uint64_t file_size() const;
  Fingerprint fingerprint() const;

  Graph& graph() const;
  /// The main graph and every body, outer before inner.
  std::vector<Graph*> graphs() const;
  /// Version of a domain's operator set ("" is ai.onnx); 0 when not imported.
  int64_t opset(std::string_view domain = "") const;
  /// Declares that a domain is used; keeps a version that is there already.
  void import_domain(const std::string& domain, int64_t version);
  /// Sets the version of a domain and raises the IR version to match; nodes are NOT adapted (src/opset does that).
  void set_opset(std::string_view domain, int64_t version);
  int64_t ir_version() const;

  /// Value of a metadata_props entry, or "".
  std::string metadata(std::string_view key) const;
  void set_metadata(const std::string& key, const std::string& value);

  /// Initializers that are also graph inputs become plain constants. Returns how many.
  int freeze_inputs();

  ModelState& state();
  const ModelState& state() const;
  /// Grows with every edit; tells the framework whether something was touched.
  uint64_t edit_count() const;

  /// For src/ir, src/runtime and src/opset only: the proto, with large tensors as external stubs
  /// whose location is the canonical path without its leading slash; nodes in topological order.
  const onnx::ModelProto& proto() const;
  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  friend class Graph;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mcompress
