// SPDX-License-Identifier: Apache-2.0
//
// Weights at the end of float: where a number becomes infinite, that is no damage of so many
// decibels.
#include <gmock/gmock.h>

#include "tests/support/cli_test.h"
#include "tests/support/model_text.h"

namespace mcompress {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class LostNumbers : public testing::CliTest {
 protected:
  LostNumbers() {
    test::parse_model(R"(
      g (float[N,2] x) => (float[N,2] y) <float[2,2] w = {3e38, 1.0, 1.0, 3.2e38}> {
        y = MatMul(x, w)
      })")
        .save(path("huge.onnx"));
    // 3e38 becomes 3.1e38, which 1.1 takes out of float, as 3e38 it does not.
    testing::write_bytes(path("rows.csv"), "a,b\n1.1,0.5\n1.0,0.5\n");
    testing::write_bytes(path("r.yaml"),
                         "metric: sqnr\nencode: false\n"
                         "data: {evaluation: {csv: rows.csv}}\n"
                         "steps:\n  - share-weights: {values: 2}\n");
  }
};

TEST_F(LostNumbers, AreWarnedOf) {
  const testing::CliResult result = run({"run", "huge.onnx", "-r", "r.yaml", "-o", "o.onnx"});
  EXPECT_EQ(result.code, 0) << result.err;
  const std::string text = result.out + result.err;
  EXPECT_THAT(text,
              AllOf(HasSubstr("1 of 2 samples have NaN or infinity in the output, 0 before"),
                    HasSubstr("NaN or infinity comes out of MatMul:y, where it did not before"),
                    HasSubstr("nothing left"), Not(HasSubstr("exact"))));
  const testing::CliResult same =
      run({"run", "huge.onnx", "-r", "r.yaml", "--set", "share-weights.values=4", "-o", "s.onnx"});
  EXPECT_THAT(same.out + same.err, Not(HasSubstr("infinity")));
  const testing::CliResult compared =
      run({"compare", "huge.onnx", "o.onnx", "--data", "rows.csv", "--metric", "sqnr"});
  EXPECT_THAT(compared.out + compared.err, HasSubstr("1 of 2 samples have NaN or infinity"));
}

}  // namespace
}  // namespace mcompress
