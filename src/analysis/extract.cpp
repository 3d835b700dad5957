// SPDX-License-Identifier: Apache-2.0
#include "analysis/extract.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
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

}  // namespace

Extracted extract_constant_nodes(const Model& model, std::span<const NodeRef> nodes) {
  Extractor extractor(model);
  for (const NodeRef& node : nodes) extractor.add(node);
  return std::move(extractor).finish();
}

}  // namespace mcompress::analysis
