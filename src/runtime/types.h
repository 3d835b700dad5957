// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <onnx/onnx_pb.h>

#include <functional>
#include <memory>

#include "mcompress/dataset.h"
#include "mcompress/model.h"
#include "mcompress/value_types.h"
#include "runtime/session.h"

namespace mcompress::runtime {

/// Opens a skeleton quickly: no optimization, no prepacking.
using OpenSkeleton = std::function<std::unique_ptr<OrtSession>(const onnx::ModelProto&)>;

/// What RuntimeService::infer_types promises. How (rules.md 35): name-only outputs get their type
/// from the runtime; a Shape node tells rank 0 from unknown rank; the bodies of If, Loop and Scan
/// are hoisted into models of their own, with the captured values as typed inputs.
ValueTypes infer_types(const Model& model, const Feeds* sample, const OpenSkeleton& open);

}  // namespace mcompress::runtime
