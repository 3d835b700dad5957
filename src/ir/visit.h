// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <onnx/onnx_pb.h>

#include <functional>

namespace mcompress::ir {

/// Calls `visit` for every tensor of the model: initializers, attributes, sparse parts, bodies,
/// functions, training graphs.
void for_each_tensor(onnx::ModelProto& model, const std::function<void(onnx::TensorProto&)>& visit);

}  // namespace mcompress::ir
