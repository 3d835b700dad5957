// SPDX-License-Identifier: Apache-2.0
#include "analysis/extract.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace mcompress::analysis {
namespace {

using ValueKey = std::pair<const Graph*, std::string>;

ValueKey key_of(const ValueRef& value) { return {&value.scope(), value.name()}; }

void write_tensor(const Tensor& tensor, onnx::TensorProto& proto) {
  proto.set_data_type(static_cast<int32_t>(tensor.type()));
  for (const int64_t size : tensor.shape()) proto.add_dims(size);
  const auto bytes = tensor.bytes();
  proto.set_raw_data(bytes.data(), bytes.size());
}

/// Builds the proto; values get short names, so that those of different bodies do not collide.
class Extractor {
 public:
  explicit Extractor(const Model& model) {
    // Below 4 every initializer would have to be an input as well.
    proto_.set_ir_version(std::max<int64_t>(model.ir_version(), 4));
    for (const auto& import : model.proto().opset_import()) *proto_.add_opset_import() = import;
    proto_.mutable_graph()->set_name("constants");
  }

  void add(const NodeRef& node) {
    onnx::NodeProto& copy = *proto_.mutable_graph()->add_node();
    copy = *node.proto();
    for (int i = 0; i < copy.input_size(); ++i) {
      const ValueRef input = node.input(i);
      copy.set_input(i, input ? name_of(input) : "");
    }
    for (int i = 0; i < copy.output_size(); ++i) {
      if (copy.output(i).empty()) continue;
      const std::string name = fresh();
      names_[{&node.graph(), copy.output(i)}] = name;
      copy.set_output(i, name);
      proto_.mutable_graph()->add_output()->set_name(name);
      outputs_.push_back({node, i, name});
    }
  }

  Extracted finish() && { return {Model::parse(proto_.SerializeAsString()), std::move(outputs_)}; }

 private:
  std::string fresh() { return "v" + std::to_string(names_.size()); }

  std::string name_of(const ValueRef& value) {
    const auto found = names_.find(key_of(value));
    if (found != names_.end()) return found->second;
    const auto constant = value.constant();
    if (!constant) throw Error(ErrorCode::kBug, value.name() + ": not a constant");
    const std::string name = fresh();
    names_[key_of(value)] = name;
    onnx::TensorProto& proto = *proto_.mutable_graph()->add_initializer();
    write_tensor(*constant, proto);
    proto.set_name(name);
    return name;
  }

  onnx::ModelProto proto_;
  std::map<ValueKey, std::string> names_;
  std::vector<ExtractedOutput> outputs_;
};

constexpr int64_t kChainOpset = 13;  // of per-channel DequantizeLinear

/// Builds the proto of extract_chain; names stay as they are.
class ChainExtractor {
 public:
  ChainExtractor(const Model& model, const ValueTypes& types) : types_(types) {
    proto_.set_ir_version(std::max<int64_t>(model.ir_version(), 7));
    for (const auto& import : model.proto().opset_import()) {
      auto& copy = *proto_.add_opset_import();
      copy = import;
      if (copy.domain().empty() || copy.domain() == "ai.onnx")
        copy.set_version(std::max(copy.version(), kChainOpset));
    }
    proto_.mutable_graph()->set_name("chain");
  }

  bool add(const NodeRef& node) {
    for (int i = 0; i < node.input_count(); ++i) {
      if (const ValueRef input = node.input(i); input && !add_value(input)) return false;
    }
    *proto_.mutable_graph()->add_node() = *node.proto();
    for (int i = 0; i < node.output_count(); ++i) known_.insert(node.output_name(i));
    return true;
  }

  Model finish(const NodeRef& last) && {
    onnx::NodeProto& end = *proto_.mutable_graph()->add_node();
    end.set_op_type("Identity");
    end.add_input(last.output_name());
    end.add_output(last.output_name() + "_leaves");
    proto_.mutable_graph()->add_output()->set_name(end.output(0));
    return Model::parse(proto_.SerializeAsString());
  }

 private:
  bool add_value(const ValueRef& value) {
    if (!known_.insert(value.name()).second) return true;
    if (const auto constant = value.constant()) {
      onnx::TensorProto& proto = *proto_.mutable_graph()->add_initializer();
      write_tensor(*constant, proto);
      proto.set_name(value.name());
      return true;
    }
    const ValueType type = types_.find(value);
    if (type.type != DataType::kFloat || !type.known_rank) return false;
    onnx::ValueInfoProto& input = *proto_.mutable_graph()->add_input();
    input.set_name(value.name());
    auto& tensor = *input.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(onnx::TensorProto::FLOAT);
    tensor.mutable_shape();
    for (const int64_t size : type.shape) {
      if (size == 0) return false;
      tensor.mutable_shape()->add_dim()->set_dim_value(std::max<int64_t>(size, 1));
    }
    return true;
  }

  const ValueTypes& types_;
  onnx::ModelProto proto_;
  std::set<std::string> known_;
};

}  // namespace

std::optional<Model> extract_chain(const Model& model, std::span<const NodeRef> nodes,
                                   const ValueTypes& types) {
  ChainExtractor extractor(model, types);
  for (const NodeRef& node : nodes) {
    if (!extractor.add(node)) return std::nullopt;
  }
  return std::move(extractor).finish(nodes.back());
}

Model identity_model() {
  onnx::ModelProto proto;
  proto.set_ir_version(7);
  proto.add_opset_import()->set_version(kChainOpset);
  onnx::GraphProto& graph = *proto.mutable_graph();
  graph.set_name("identity");
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type("Identity");
  node.add_input("x");
  node.add_output("y");
  onnx::ValueInfoProto& input = *graph.add_input();
  input.set_name("x");
  auto& tensor = *input.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx::TensorProto::FLOAT);
  tensor.mutable_shape()->add_dim()->set_dim_value(1);
  graph.add_output()->set_name("y");
  return Model::parse(proto.SerializeAsString());
}

Extracted extract_constant_nodes(const Model& model, std::span<const NodeRef> nodes) {
  Extractor extractor(model);
  for (const NodeRef& node : nodes) extractor.add(node);
  return std::move(extractor).finish();
}

}  // namespace mcompress::analysis
