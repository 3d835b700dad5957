// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <onnx/defs/parser.h>
#include <onnx/onnx_pb.h>

#include <memory>
#include <string>
#include <vector>

#include "mcompress/runtime_service.h"

namespace mcompress::test {

inline std::shared_ptr<RuntimeService> runtime() {
  static const auto instance = make_onnx_runtime();
  return instance;
}

inline onnx::ModelProto text_proto(const std::string& graph, int opset = 13) {
  const std::string text =
      "<ir_version: 7, opset_import: [\"\" : " + std::to_string(opset) + "]>\n" + graph;
  onnx::ModelProto proto;
  onnx::OnnxParser parser(text.c_str());
  const auto status = parser.Parse(proto);
  if (!status.IsOK()) throw Error(ErrorCode::kBug, status.ErrorMessage());
  return proto;
}

inline Model text_model(const std::string& graph, int opset = 13) {
  return Model::parse(text_proto(graph, opset).SerializeAsString());
}

inline Tensor floats(Shape shape, std::vector<float> values) {
  return Tensor::from(std::move(shape), values);
}

}  // namespace mcompress::test
