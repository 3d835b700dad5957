// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include "mcompress/tensor.h"

namespace mcompress::train {

/// A copy. 4- and 2-bit integers become int8 or uint8; bfloat16 and half stay. Throws kModel for
/// types that libtorch does not have.
at::Tensor to_torch(const Tensor& tensor);
/// A copy of a tensor on the CPU, contiguous or not.
Tensor from_torch(const at::Tensor& tensor);
/// Of a type in ONNX; throws kModel where libtorch has none.
at::ScalarType torch_type(DataType type);
DataType onnx_type(at::ScalarType type);

}  // namespace mcompress::train
