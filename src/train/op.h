// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcompress/model.h"

namespace mcompress::train {

using Tensors = std::vector<at::Tensor>;

/// How a graph is run this time. One for each thread.
struct Execution {
  int64_t opset = 17;             ///< of the default domain
  bool training = false;          ///< Dropout drops
  bool batch_statistics = false;  ///< BatchNormalization uses those of the batch and records them
  bool learn_scales = false;      ///< of QuantizeLinear and DequantizeLinear (LSQ)
  at::Generator generator = {};   ///< for Dropout; undefined outside of training
  /// By name of the statistics' constant: what this batch had (mean; unbiased variance).
  std::map<std::string, at::Tensor> recorded_statistics = {};
};

/// Computes the outputs of a node. `inputs` are its inputs in order, undefined tensors for absent ones,
/// integer ones with their own types. Thread-safe. Throws mcompress::Unsupported for a form of the operator
/// that is not covered, naming it.
using OpFunction = Tensors (*)(const NodeRef& node, std::span<const at::Tensor> inputs,
                               Execution& execution);

struct OpInfo {
  OpFunction run = nullptr;
  /// False: no gradient passes it (Shape, ArgMax): fine for what no parameter reaches.
  bool differentiable = true;
  /// Inputs that are trained where they are constants: {1, 2} of Conv. Any floating constant of more than
  /// one element at such a place is a parameter.
  std::vector<int> parameters = {};
  /// Why this form of the operator is not covered, as far as the graph tells, or "". Null: all forms are.
  std::string (*obstacle)(const NodeRef& node) = nullptr;
};

/// By operator: "Conv", "com.microsoft:Gelu".
using OpTable = std::map<std::string, OpInfo, std::less<>>;
const OpTable& op_table();
/// Null for one that is not in the table.
const OpInfo* find_op(const NodeRef& node);

// Each file of operators adds its own.
void add_convolution_ops(OpTable& table);    // Conv, ConvTranspose (1-D, 2-D, groups, auto_pad, dilation)
void add_pool_ops(OpTable& table);           // MaxPool, AveragePool, Global*, LpPool...
void add_matrix_ops(OpTable& table);         // Gemm, MatMul, Einsum...
void add_normalization_ops(OpTable& table);  // Batch, Layer, Group, Instance, SkipLayer..., LRN
void add_recurrent_ops(OpTable& table);      // LSTM, GRU, RNN
void add_activation_ops(OpTable& table);     // Relu ... Erf, Softmax, Dropout
void add_elementwise_ops(OpTable& table);    // Add ... Where, Cast, comparisons
void add_reduction_ops(OpTable& table);      // Reduce*, ArgMax, CumSum, TopK
void add_shape_ops(OpTable& table);          // Reshape ... Resize, Gather, Pad, Concat, Shape, Constant
void add_quantization_ops(OpTable& table);   // QuantizeLinear, DequantizeLinear, straight through

}  // namespace mcompress::train
