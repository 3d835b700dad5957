// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <vector>

#include "opset/adapters.h"

namespace mcompress::opset {
namespace {

std::string hint(NodeRef node, const char* what) { return node.output_name(0) + "_" + what; }

// Moves a list of integers; an absent attribute leaves an absent input.
void ints_to_input(NodeRef node, const char* attribute, int index) {
  if (!node.has_attribute(attribute)) return;
  const auto values = node.attribute_ints(attribute);
  Graph& graph = node.graph();
  graph.remove_attribute(node, attribute);
  const auto tensor = Tensor::from(Shape{static_cast<int64_t>(values.size())}, values);
  graph.set_input(node, index, graph.add_constant(hint(node, attribute), tensor));
}

// Moves a float, as a scalar of the type that the node computes in.
void float_to_input(NodeRef node, const char* attribute, int index, DataType type) {
  if (!node.has_attribute(attribute)) return;
  const float value = node.attribute(attribute, 0.0F);
  Graph& graph = node.graph();
  graph.remove_attribute(node, attribute);
  const auto tensor = Tensor::scalar(value).cast(type);
  graph.set_input(node, index, graph.add_constant(hint(node, attribute), tensor));
}

}  // namespace

void clip_11(Context& context, NodeRef node) {
  if (!node.has_attribute("min") && !node.has_attribute("max")) return;
  const DataType type = context.element_type(node, node.input(0));
  float_to_input(node, "min", 1, type);
  float_to_input(node, "max", 2, type);
}

void dft_20(Context&, NodeRef node) {
  // The default moved from 1 to -2, so it is always written down.
  const auto axis = node.attribute("axis", int64_t{1});
  Graph& graph = node.graph();
  if (node.has_attribute("axis")) graph.remove_attribute(node, "axis");
  graph.set_input(node, 2, graph.add_constant(hint(node, "axis"), Tensor::scalar(axis)));
}

void dropout_12(Context&, NodeRef node) {
  // The mask of inference changed its meaning from one version to the next.
  if (is_read(node, 1)) refuse(node, "the mask of Dropout is read");
  float_to_input(node, "ratio", 1, DataType::kFloat);
}

void pad_11(Context& context, NodeRef node) {
  const bool constant = node.attribute("mode", "constant") == "constant";
  const float value = node.attribute("value", 0.0F);
  ints_to_input(node, "pads", 1);
  if (constant && value != 0.0F) {
    float_to_input(node, "value", 2, context.element_type(node, node.input(0)));
  } else if (node.has_attribute("value")) {
    node.graph().remove_attribute(node, "value");
  }
}

void reduce_axes(Context&, NodeRef node) { ints_to_input(node, "axes", 1); }

void slice_10(Context&, NodeRef node) {
  ints_to_input(node, "starts", 1);
  ints_to_input(node, "ends", 2);
  ints_to_input(node, "axes", 3);
}

void split_13(Context&, NodeRef node) { ints_to_input(node, "split", 1); }

void split_18(Context&, NodeRef node) {
  if (node.input(1)) return;
  node.graph().set_attribute(node, {"num_outputs", static_cast<int64_t>(node.output_count())});
}

void topk_10(Context&, NodeRef node) {
  const auto k = node.attribute("k", int64_t{0});
  Graph& graph = node.graph();
  graph.remove_attribute(node, "k");
  const auto tensor = Tensor::from(Shape{1}, std::vector<int64_t>{k});
  graph.set_input(node, 1, graph.add_constant(hint(node, "k"), tensor));
}

}  // namespace mcompress::opset
