// SPDX-License-Identifier: Apache-2.0
#include <onnx/onnx_pb.h>
#include "support/hash.h"
#include "forms/qdq.h"
