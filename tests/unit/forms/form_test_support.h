// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/runtime_service.h"

namespace mcompress::forms::testing {

/// The runtime, opened once per test program.
inline RuntimeService& runtime() {
  static const std::shared_ptr<RuntimeService> service = make_onnx_runtime();
  return *service;
}

inline void add_value(onnx::ValueInfoProto& info, const std::string& name, DataType type,
                      int rank_or_unknown = -1) {
  info.set_name(name);
  auto* tensor = info.mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(static_cast<int32_t>(type));
  for (int i = 0; i < rank_or_unknown; ++i) {
    tensor->mutable_shape()->add_dim()->set_dim_param("d" + std::to_string(i));
  }
}

inline void fill(onnx::TensorProto& proto, const std::string& name, const Tensor& value) {
  proto.set_name(name);
  proto.set_data_type(static_cast<int32_t>(value.type()));
  for (const int64_t d : value.shape()) proto.add_dims(d);
  proto.set_raw_data(value.bytes().data(), value.byte_size());
}

/// y = Reshape(W, s): shows the bits of any constant, whatever its type.
inline Model holder(const Tensor& value, int64_t opset) {
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  auto* import = proto.add_opset_import();
  import->set_domain("");
  import->set_version(opset);
  auto* graph = proto.mutable_graph();
  graph->set_name("g");
  auto* s = graph->add_input();
  add_value(*s, "s", DataType::kInt64);
  s->mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(1);
  add_value(*graph->add_output(), "y", value.type());
  fill(*graph->add_initializer(), "W", value);
  auto* node = graph->add_node();
  node->set_op_type("Reshape");
  node->add_input("W");
  node->add_input("s");
  node->add_output("y");
  return Model::parse(proto.SerializeAsString());
}

inline Tensor run_holder(const Model& model, bool optimize) {
  SessionOptions options;
  options.optimize = optimize;
  const auto session = runtime().open(model, options);
  return session->run({{"s", Tensor::from(Shape{1}, std::vector<int64_t>{-1})}}).front();
}

inline bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.type() == b.type() && a.byte_size() == b.byte_size() &&
         std::memcmp(a.bytes().data(), b.bytes().data(), a.byte_size()) == 0;
}

inline std::vector<std::string> optimized_ops(const Model& model) {
  std::vector<std::string> ops;
  for (const OptimizedNode& node : runtime().optimized_nodes(model)) ops.push_back(node.op);
  std::sort(ops.begin(), ops.end());
  return ops;
}

}  // namespace mcompress::forms::testing
