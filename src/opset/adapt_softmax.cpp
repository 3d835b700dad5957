// SPDX-License-Identifier: Apache-2.0
// Before 13 Softmax, LogSoftmax and Hardmax took their input for a matrix: the dimensions from
// `axis` on were one axis. Since 13 `axis` is one dimension.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "opset/adapters.h"

namespace mcompress::opset {
namespace {

constexpr int64_t kOldDefaultAxis = 1;

// The one dimension that the old node worked along; nullopt when there are several or they are
// unknown.
std::optional<int64_t> single_axis(const ValueType& type, int64_t axis) {
  if (axis == -1) return -1;
  if (!type.known_rank) return std::nullopt;
  const int64_t rank = type.rank();
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return std::nullopt;
  std::optional<int64_t> found;
  for (int64_t i = axis; i < rank; ++i) {
    if (type.shape[static_cast<size_t>(i)] == 1) continue;
    if (found) return std::nullopt;
    found = i;
  }
  return found ? found : axis;
}

}  // namespace

void softmax_13(Context& context, NodeRef node) {
  Graph& graph = node.graph();
  const ValueRef input = node.input(0);
  const auto axis = node.attribute("axis", kOldDefaultAxis);
  if (const auto single = single_axis(context.type(input), axis)) {
    graph.set_attribute(node, {"axis", *single});
    return;
  }
  // Flatten is the old coercion, whatever the rank.
  const std::string result = node.output_name(0);
  const NodeRef matrix =
      graph.insert({.op = "Flatten", .inputs = {input}, .attributes = {{"axis", axis}}}, node);
  const NodeRef shape = graph.insert({.op = "Shape", .inputs = {input}}, node);
  graph.set_input(node, 0, matrix.output());
  graph.set_attribute(node, {"axis", int64_t{-1}});
  graph.set_output(node, 0, graph.fresh_name(result + "_matrix"));
  graph.insert({.op = "Reshape", .inputs = {node.output(0), shape.output()}, .outputs = {result}});
}

}  // namespace mcompress::opset
