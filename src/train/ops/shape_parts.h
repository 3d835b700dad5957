// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/op.h"

namespace mcompress::train {

// The operators of add_shape_ops by file.
void add_index_ops(
    OpTable& table);  // Slice, Gather, Scatter, Pad, Split: parts of tensors by place
void add_resize_ops(OpTable& table);  // Resize, Upsample

}  // namespace mcompress::train
