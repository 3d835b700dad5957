// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "opset/adapters.h"

namespace mcompress::opset {

void refuse(NodeRef node, std::string_view reason) {
  throw Unsupported(node.label() + ": " + std::string(reason));
}

bool is_read(NodeRef node, int index) {
  const ValueRef value = node.output(index);
  return value && (value.is_graph_output() || !value.uses().empty());
}

void batch_normalization_9(Context&, NodeRef node) {
  if (node.attribute("spatial", int64_t{1}) != 1) {
    refuse(node, "BatchNormalization with spatial = 0 ended with opset 8");
  }
  if (node.has_attribute("spatial")) node.graph().remove_attribute(node, "spatial");
}

void batch_normalization_14(Context&, NodeRef node) {
  for (int i = 1; i < node.output_count(); ++i) {
    if (!node.output_name(i).empty()) {
      refuse(node, "BatchNormalization in training form, with running statistics as outputs");
    }
  }
}

void dropout_10(Context&, NodeRef node) {
  if (is_read(node, 1)) refuse(node, "the mask of Dropout is read and changed its type");
}

void grid_sample_20(Context&, NodeRef node) {
  const std::string mode = node.attribute("mode", "bilinear");
  const std::string renamed = mode == "bilinear" ? "linear" : mode == "bicubic" ? "cubic" : mode;
  node.graph().set_attribute(node, {"mode", renamed});
}

void roi_align_16(Context&, NodeRef node) {
  // The new default is half_pixel; what there was before is output_half_pixel.
  node.graph().set_attribute(node,
                             {"coordinate_transformation_mode", std::string("output_half_pixel")});
}

void scatter_11(Context&, NodeRef node) { node.graph().set_op(node, "ScatterElements"); }

}  // namespace mcompress::opset
