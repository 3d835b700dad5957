// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the tests of the passes that quantize weights share.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/support/pass_test.h"

namespace mcompress::test {

/// Values that look like a weight, the same every time: a fifth of them is large.
inline Tensor weight_values(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = std::sin(static_cast<float>(i * i % 977)) * (i % 5 == 0 ? 1.0F : 0.3F);
  }
  return Tensor::from(shape, values);
}

/// A model in text form whose constant W gets `shape` and such values.
inline Model with_weight(const std::string& text, const Shape& shape, int64_t opset = 17) {
  Model model = parse_model(text, opset);
  model.graph().set_constant(model.graph().find("W"), weight_values(shape));
  return model;
}

/// Operators of the runtime's optimized graph, sorted, without those that only change a layout.
inline std::vector<std::string> kernels(const Model& model) {
  std::vector<std::string> ops;
  for (const auto& node : runtime()->optimized_nodes(model)) {
    if (node.op.rfind("Reorder", 0) != 0) ops.push_back(node.op);
  }
  std::sort(ops.begin(), ops.end());
  return ops;
}

}  // namespace mcompress::test
