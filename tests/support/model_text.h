// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "mcompress/model.h"

namespace mcompress::test {

/// A model from ONNX text form. A text that starts with a graph gets `opset` and IR version 8 (IR
/// 10 from opset 21). Lines that start with # are comments, and these say what the form of
/// libonnx 1.12 cannot:
///
///     # name y conv_1                   the node that computes y is called conv_1
///     # initializer int4 w [3] 1 -2 3   likewise uint4; float16 and bfloat16 by their bits
///     # open x 0                        dimension 0 of graph input x is unknown and has no name
///     # freeze                          initializers that are graph inputs become constants
///
/// Inputs with values in the head of the graph, (float[2] x, float[2] w = {1, 2}), are initializers
/// that are inputs too; `<float[2] w = {1, 2}>` after the head makes plain ones.
Model parse_model(std::string_view text, int64_t opset = 17);

/// The model in a normal form for comparisons: a line per node, inner values numbered in order,
/// constants (initializers and Constant nodes alike) written out where they are read, attributes
/// sorted by name, bodies indented. Floats keep 5 digits, constants of more than 16 elements their
/// first ones.
std::string normal_form(Model& model);

}  // namespace mcompress::test
