// SPDX-License-Identifier: Apache-2.0
#include "train/op.h"

namespace mcompress::train {

void add_quantization_ops(OpTable&) {}

}  // namespace mcompress::train
