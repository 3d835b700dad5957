// SPDX-License-Identifier: Apache-2.0
#include "analysis/attributes.h"

#include <onnx/onnx_pb.h>

namespace mcompress::analysis {

std::vector<std::string> attribute_strings(const NodeRef& node, std::string_view name) {
  for (const auto& attribute : node.proto()->attribute()) {
    if (attribute.name() == name) return {attribute.strings().begin(), attribute.strings().end()};
  }
  return {};
}

}  // namespace mcompress::analysis
