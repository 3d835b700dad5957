// SPDX-License-Identifier: Apache-2.0
// Copies of a model's skeleton with other outputs, for sessions that look inside.
#pragma once

#include <onnx/onnx_pb.h>

#include <set>
#include <span>
#include <string>

namespace mcompress::runtime {

/// Makes `names` outputs of the main graph by name alone: the runtime infers their types. Names
/// that are outputs already are left.
void add_outputs(onnx::ModelProto& model, std::span<const std::string> names);

/// Leaves `names` as the only outputs, and the nodes and initializers that they depend on.
void keep_only_outputs(onnx::ModelProto& model, std::span<const std::string> names);

/// Takes the declared types away from outputs and inner values: they may lie.
void forget_declared_types(onnx::ModelProto& model);

/// Names that a body reads and does not define.
std::set<std::string> captured_names(const onnx::GraphProto& body);

/// Names that a node reads, those that its bodies capture included.
std::set<std::string> names_read(const onnx::NodeProto& node);

}  // namespace mcompress::runtime
