// SPDX-License-Identifier: Apache-2.0
#include "train/op.h"

namespace mcompress::train {

const OpTable& op_table() {
  static const OpTable table = [] {
    OpTable all;
    for (const auto add : {add_activation_ops, add_convolution_ops, add_elementwise_ops,
                           add_matrix_ops, add_normalization_ops, add_pool_ops,
                           add_quantization_ops, add_recurrent_ops, add_reduction_ops,
                           add_shape_ops}) {
      add(all);
    }
    return all;
  }();
  return table;
}

const OpInfo* find_op(const NodeRef& node) {
  const std::string domain = node.domain();
  const auto found = op_table().find(domain.empty() ? node.op() : domain + ":" + node.op());
  return found == op_table().end() ? nullptr : &found->second;
}

}  // namespace mcompress::train
