// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

// scale / sqrt(var + 0) = 2 and 0.5; shift = 1 - 3 * 2 = -5 and 0 - 2 * 0.5 = -1.
constexpr const char* kStatistics =
    "float[2] s = {2.0, 1.0}, float[2] b = {1.0, 0.0}, float[2] m = {3.0, 2.0}, float[2] v = {1.0, "
    "4.0}";

std::string graph(const std::string& head, const std::string& more, const std::string& body) {
  return "g " + head + " <" + kStatistics + (more.empty() ? "" : ", " + more) + "> {" + body + "}";
}

TEST(FoldBatchNorm, IntoTheConvBefore) {
  expect_rewrite("fold-batch-norm",
                 graph("(float[1,1,4,4] x) => (float[1,2,4,4] y)",
                       "float[2,1,1,1] W = {1.0, 2.0}, float[2] c = {1.0, 1.0}", R"(
      a = Conv(x, W, c)
      y = BatchNormalization <epsilon = 0.0> (a, s, b, m, v)
    )"),
                 R"(
    g (float[1,1,4,4] x) => (float[1,2,4,4] y) <float[2,1,1,1] W = {2.0, 1.0}, float[2] c = {-3.0, -0.5}> {
      y = Conv(x, W, c)
    })");
}

TEST(FoldBatchNorm, GivesAConvWithoutBiasOne) {
  expect_rewrite("fold-batch-norm",
                 graph("(float[1,2,4] x) => (float[1,2,4] y)", "float[2,1,1] W = {1.0, 2.0}", R"(
      a = Conv <group = 2> (x, W)
      y = BatchNormalization <epsilon = 0.0> (a, s, b, m, v)
    )"),
                 R"(
    g (float[1,2,4] x) => (float[1,2,4] y) <float[2,1,1] W = {2.0, 1.0}, float[2] c = {-5.0, -1.0}> {
      y = Conv <group = 2> (x, W, c)
    })");
}

TEST(FoldBatchNorm, StatisticsBehindAnIdentityNameThePassThatHelps) {
  expect_unchanged(
      "fold-batch-norm",
      graph("(float[1,1,4,4] x) => (float[1,2,4,4] y)", "float[2,1,1,1] W = {1.0, 2.0}", R"(
      a = Conv(x, W)
      n = Identity(m)
      y = BatchNormalization(a, s, b, n, v)
    )"),
      "eliminate-identity");
}

TEST(FoldBatchNorm, IntoConvTransposeGemmAndMatMul) {
  expect_rewrite("fold-batch-norm",
                 graph("(float[1,1,4,4] x) => (float[1,2,5,5] y)",
                       "float[1,2,2,2] W = {1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0}", R"(
      a = ConvTranspose(x, W)
      y = BatchNormalization <epsilon = 0.0> (a, s, b, m, v)
    )"),
                 R"(
    g (float[1,1,4,4] x) => (float[1,2,5,5] y)
    <float[1,2,2,2] W = {2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0}, float[2] c = {-5.0, -1.0}> {
      y = ConvTranspose(x, W, c)
    })");
  expect_rewrite("fold-batch-norm",
                 graph("(float[3,2] x) => (float[3,2] y)",
                       "float[2,2] W = {1.0, 2.0, 3.0, 4.0}, float[1,2] c = {2.0, 2.0}", R"(
      a = Gemm <transB = 1, beta = 0.5> (x, W, c)
      y = BatchNormalization <epsilon = 0.0> (a, s, b, m, v)
    )"),
                 R"(
    g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {2.0, 4.0, 1.5, 2.0}, float[2] c = {-6.0, -1.0}> {
      y = Gemm <transB = 1, beta = 0.5> (x, W, c)
    })");
  expect_rewrite(
      "fold-batch-norm",
      graph("(float[3,2] x) => (float[3,2] y)", "float[2,2] W = {1.0, 2.0, 3.0, 4.0}", R"(
      a = MatMul(x, W)
      y = BatchNormalization <epsilon = 0.0> (a, s, b, m, v)
    )"),
      R"(
    g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {2.0, 1.0, 6.0, 2.0}, float[2] c = {-5.0, -1.0}> {
      a = MatMul(x, W)
      y = Add(a, c)
    })");
}

TEST(FoldBatchNorm, IntoTheLayerAfterWithoutPadding) {
  expect_rewrite(
      "fold-batch-norm",
      graph("(float[1,2,4,4] x) => (float[1,1,4,4] y)", "float[1,2,1,1] W = {1.0, 2.0}", R"(
      a = BatchNormalization <epsilon = 0.0> (x, s, b, m, v)
      y = Conv(a, W)
    )"),
      R"(
    g (float[1,2,4,4] x) => (float[1,1,4,4] y) <float[1,2,1,1] W = {2.0, 1.0}, float[1] c = {-7.0}> {
      y = Conv(x, W, c)
    })");
  expect_unchanged(
      "fold-batch-norm",
      graph("(float[1,2,4,4] x) => (float[1,1,6,6] y)", "float[1,2,1,1] W = {1.0, 2.0}", R"(
      a = BatchNormalization <epsilon = 0.0> (x, s, b, m, v)
      y = Conv <pads = [1,1,1,1]> (a, W)
    )"),
      "zero padding");
}

TEST(FoldBatchNorm, RefusesWhatItCannotProve) {
  expect_unchanged("fold-batch-norm",
                   graph("(float[1,2,4,4] x) => (float[1,2,4,4] y, float[1,2,4,4] z)",
                         "float[2,1,1,1] W = {1.0, 2.0}", R"(
      a = Conv <group = 2> (x, W)
      y = BatchNormalization(a, s, b, m, v)
      z = Exp(a)
    )"),
                   "used twice");
  expect_unchanged("fold-batch-norm", R"(
    g (float[1,2,4,4] x, float[2] s, float[2] b, float[2] m, float[2] v) => (float[1,2,4,4] y)
    <float[2,1,1,1] W = {1.0, 2.0}> {
      a = Conv <group = 2> (x, W)
      y = BatchNormalization(a, s, b, m, v)
    })",
                   "no constants");
  // MatMul of rank 3: channels of the normalization are not the columns.
  expect_unchanged(
      "fold-batch-norm",
      graph("(float[3,2,2] x) => (float[3,2,2] y)", "float[2,2] W = {1.0, 2.0, 3.0, 4.0}", R"(
      a = MatMul(x, W)
      y = BatchNormalization(a, s, b, m, v)
    )"),
      "not the layer's");
}

TEST(FoldBatchNorm, KeepsLayersThatAreSkipped) {
  Model model =
      parse_model(graph("(float[1,2,4,4] x) => (float[1,2,4,4] y)", "float[2,1,1,1] W = {1.0, 2.0}",
                        R"(
      a = Conv <group = 2> (x, W)
      y = BatchNormalization(a, s, b, m, v)
    )"));
  PassContext context = make_context();
  StepSpec step;
  step.pass = "fold-batch-norm";
  step.skip = {"op:Conv"};
  context.set_selection(LayerSelection({}, {"op:Conv"}));
  EXPECT_FALSE(builtin_passes().create("fold-batch-norm")->run(model, context));
}

TEST(FoldBatchNorm, EveryStoring) {
  const Model model = parse_model(graph("(float[1,2,4,4] x) => (float[1,2,4,4] y)",
                                        "float[2,2,1,1] W = {1.0, 2.0, 3.0, 4.0}", R"(
      a = Conv(x, W)
      y = BatchNormalization(a, s, b, m, v)
    )"));
  for (Storing& storing : six_storings(model, "W")) {
    SCOPED_TRACE(storing.how);
    const Model before = storing.model.clone();
    EXPECT_TRUE(run_pass("fold-batch-norm", storing.model).changed);
    EXPECT_EQ(normal_form(storing.model).find("BatchNormalization"), std::string::npos);
    expect_close(before, storing.model);
  }
}

}  // namespace
}  // namespace mcompress::test
