// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <onnx/defs/parser.h>
#include <onnx/onnx_pb.h>

#include <filesystem>
#include <string>

#include "mcompress/model.h"

namespace mcompress::test {

/// A model from ONNX text form, without the six-storing extras of tests/support.
inline onnx::ModelProto proto_from_text(const std::string& text) {
  onnx::ModelProto proto;
  onnx::OnnxParser parser(text.c_str());
  const auto status = parser.Parse(proto);
  if (!status.IsOK()) throw Error(ErrorCode::kBug, status.ErrorMessage());
  return proto;
}

/// The same of the text of a graph alone.
inline onnx::ModelProto proto_from_graph(const std::string& graph, int opset) {
  return proto_from_text("<ir_version: 7, opset_import: [\"\" : " + std::to_string(opset) + "]>\n" + graph);
}

inline Model model_from_text(const std::string& text) {
  return Model::parse(proto_from_text(text).SerializeAsString());
}

/// A folder of this test, removed with the object.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& name)
      : path_(std::filesystem::path(MCOMPRESS_BINARY_DIR) / "test-files" / name) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace mcompress::test
