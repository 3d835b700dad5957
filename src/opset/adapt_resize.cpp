// SPDX-License-Identifier: Apache-2.0
// Upsample (7, 9) became Resize (10), which got coordinate modes in 11. The old operators computed
// x = i / scale; nearest took floor(x) where a dimension grows and ceil(x) where it shrinks.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "opset/adapters.h"

namespace mcompress::opset {
namespace {

enum class Direction { kUnknown, kGrows, kShrinks, kBoth };

Direction direction_of(const std::vector<float>& scales) {
  bool grows = false;
  bool shrinks = false;
  for (const float scale : scales) {
    grows = grows || scale > 1.0F;
    shrinks = shrinks || scale < 1.0F;
  }
  if (grows && shrinks) return Direction::kBoth;
  return shrinks ? Direction::kShrinks : Direction::kGrows;
}

Direction direction(const Context& context, NodeRef node) {
  if (context.was_upsample(node)) return Direction::kGrows;
  if (const auto scales = node.input(1).constant()) return direction_of(scales->to_float());
  const ValueType from = context.type(node.input(0));
  const ValueType to = context.type(node.output(0));
  if (!from.is_static() || !to.is_static() || from.rank() != to.rank()) return Direction::kUnknown;
  std::vector<float> scales;
  for (size_t i = 0; i < from.shape.size(); ++i) {
    scales.push_back(static_cast<float>(to.shape[i]) / static_cast<float>(from.shape[i]));
  }
  return direction_of(scales);
}

const char* nearest_mode(const Context& context, NodeRef node) {
  switch (direction(context, node)) {
    case Direction::kGrows:
      return "floor";
    case Direction::kShrinks:
      return "ceil";
    case Direction::kBoth:
      refuse(node, "nearest Resize grows one dimension and shrinks another");
    case Direction::kUnknown:
      break;
  }
  refuse(node, "nearest Resize has scales that are not known");
}

}  // namespace

void upsample_9(Context&, NodeRef node) {
  const auto scales = node.attribute_floats("scales");
  if (scales.empty()) refuse(node, "Upsample has no scales");
  Graph& graph = node.graph();
  graph.remove_attribute(node, "scales");
  const auto tensor = Tensor::from(Shape{static_cast<int64_t>(scales.size())}, scales);
  graph.set_input(node, 1, graph.add_constant(node.output_name(0) + "_scales", tensor));
}

void upsample_10(Context& context, NodeRef node) {
  node.graph().set_op(node, "Resize");
  context.mark_upsample(node);
}

void resize_11(Context& context, NodeRef node) {
  Graph& graph = node.graph();
  if (node.attribute("mode", "nearest") == "nearest") {
    graph.set_attribute(node, {"nearest_mode", std::string(nearest_mode(context, node))});
  }
  graph.set_attribute(node, {"coordinate_transformation_mode", std::string("asymmetric")});
  const ValueRef scales = node.input(1);
  // Version 11 demands the input; it is read for tf_crop_and_resize only.
  const auto no_region = Tensor(DataType::kFloat, Shape{0});
  graph.set_input(node, 1, graph.add_constant(node.output_name(0) + "_roi", no_region));
  graph.set_input(node, 2, scales);
}

}  // namespace mcompress::opset
