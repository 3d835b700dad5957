// SPDX-License-Identifier: Apache-2.0
#include "ir/about.h"

#include <onnx/onnx_pb.h>

namespace mcompress {

ModelAbout about(const Model& model) {
  const onnx::ModelProto& proto = model.proto();
  ModelAbout result;
  result.producer = proto.producer_name();
  if (!proto.producer_version().empty()) result.producer += " " + proto.producer_version();
  for (const auto& import : proto.opset_import()) {
    result.opsets[import.domain().empty() ? "ai.onnx" : import.domain()] = import.version();
  }
  for (const auto& entry : proto.metadata_props()) result.metadata[entry.key()] = entry.value();
  result.functions = proto.functions_size();
  return result;
}

}  // namespace mcompress
