// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mcompress/runtime_service.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress::test {

inline std::shared_ptr<RuntimeService> runtime() {
  static const auto instance = make_onnx_runtime();
  return instance;
}

inline onnx::ModelProto text_proto(const std::string& graph, int opset = 13) {
  return proto_from_graph(graph, opset);
}

inline Model text_model(const std::string& graph, int opset = 13) {
  return Model::parse(text_proto(graph, opset).SerializeAsString());
}

inline Tensor floats(Shape shape, std::vector<float> values) {
  return Tensor::from(std::move(shape), values);
}

}  // namespace mcompress::test
