// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

TEST(FineTune, SaysWhatItMisses) {
  Model model = parse_model(
      "g (float[2,2] x) => (float[2,2] y) <float[2,2] w = {1,2,3,4}> { y = MatMul(x, w) }");
  EXPECT_THROW(run_pass("fine-tune", model), Error);
}

}  // namespace
}  // namespace mcompress::test
