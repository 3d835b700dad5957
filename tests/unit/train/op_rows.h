// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace mcompress::train {

/// A form of an operator: a model of one node. Floating inputs are made up (distinct values between
/// `low` and `high`), others are constants. Each form is run against ONNX Runtime, and the gradient
/// of each floating input of a differentiable operator against finite differences.
struct OpRow {
  std::string op;              ///< as in op_table()
  std::string inputs;          ///< "float[2,3] x, float[3] b"
  std::string call;            ///< "Add(x, b)"; with attributes "Elu<alpha=0.5>(x)"
  std::string constants = {};  ///< "int64[2] axes = {0, 1}"
  double low = -1, high = 1;
  int opset = 17;
  std::string outputs = "float[] y";
  /// Where the gradient is not the derivative of what is computed (straight through), or cannot be:
  /// why. Proved elsewhere.
  std::string no_derivative = {};
  /// Normalized by the batch's own statistics: the gradient alone is checked.
  bool batch_statistics = false;
};

/// All rows. An operator of op_table() without one fails the build.
std::vector<OpRow> op_rows();

// By file.
std::vector<OpRow> activation_rows();
std::vector<OpRow> elementwise_rows();
std::vector<OpRow> reduction_rows();
std::vector<OpRow> shape_rows();
std::vector<OpRow> index_rows();
std::vector<OpRow>
layer_rows();  // convolutions, pools, products, normalizations, recurrent, quantization

}  // namespace mcompress::train
