// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <initializer_list>

#include <fmt/format.h>

#include "mcompress/error.h"
#include "train/loss.h"

namespace mcompress::train {
namespace {

constexpr int kMostSteps = 24;

bool is_any(const NodeRef& node, std::initializer_list<const char*> ops) {
  return std::ranges::any_of(ops, [&](const char* op) { return node.is(op); });
}
/// Same values in the same places; quantization passes gradients straight through.
bool keeps_places(const NodeRef& node) {
  return is_any(node, {"Identity", "Cast", "Dropout", "QuantizeLinear", "DequantizeLinear"});
}
bool moves_places(const NodeRef& node) {
  return is_any(node, {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose"});
}
LossHead::Ending ending_of(const NodeRef& node) {
  if (node.is("Softmax")) return LossHead::Ending::kSoftmax;
  if (node.is("LogSoftmax")) return LossHead::Ending::kLogSoftmax;
  if (node.is("Sigmoid")) return LossHead::Ending::kSigmoid;
  return LossHead::Ending::kNone;
}
NodeRef before(const NodeRef& node) { return node.input(0) ? node.input(0).producer() : NodeRef(); }

}  // namespace

LossHead find_head(const Model& model, const std::string& output) {
  Graph& graph = model.graph();
  LossHead head;
  head.output = output;
  if (output.empty() && !graph.outputs().empty()) head.output = graph.outputs().front().name;
  const ValueRef value = graph.find(head.output);
  if (!value) {
    throw Error(ErrorCode::kModel, fmt::format("output '{}': the model has no such value", output));
  }
  head.value = head.output;
  bool moved = false;
  NodeRef node = value.producer();
  for (int step = 0; node && step < kMostSteps; ++step) {
    const LossHead::Ending ending = ending_of(node);
    if (ending != LossHead::Ending::kNone || (node.is("ArgMax") && !head.has_axis)) {
      const int64_t opset = model.opset();
      if (!node.is("Sigmoid")) {
        head.has_axis = true;
        head.flat = opset < 13 && !node.is("ArgMax");
        head.axis = node.attribute("axis", node.is("ArgMax") ? int64_t{0}
                                           : head.flat       ? int64_t{1}
                                                             : int64_t{-1});
      }
      head.ending = ending;
      head.applied = moved && ending != LossHead::Ending::kNone;
      // Scores behind a reshape have the output's shape, which labels and teachers follow.
      if (moved) head.has_axis = head.flat = false;
      if (!head.applied && node.input(0)) head.value = node.input(0).name();
      if (ending != LossHead::Ending::kNone) break;
      moved = false;
    } else if (moves_places(node)) {
      moved = true;
    } else if (!keeps_places(node)) {
      break;
    }
    node = before(node);
  }
  return head;
}

}  // namespace mcompress::train
