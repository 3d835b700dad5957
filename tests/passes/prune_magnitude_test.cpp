// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

int64_t zeros(const Model& model, const std::string& name) {
  const std::vector<float> values = model.graph().find(name).constant()->to_float();
  return std::count(values.begin(), values.end(), 0.0F);
}

std::string product(const std::string& shape, const std::string& values, const std::string& size) {
  return "g (float[2," + size + "] x) => (float[2,N] y) <float" + shape + " W = {" + values +
         "}> { y = MatMul(x, W) }";
}

constexpr const char* kTwoLayers = R"(
  g (float[2,4] x) => (float[2,2] y)
  <float[4,4] A = {1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,10.0,11.0,12.0,13.0,14.0,15.0,16.0},
   float[4] c = {0.001, 0.002, 0.003, 0.004},
   float[4,2] B = {0.01,0.02,0.03,0.04,0.05,0.06,0.07,0.08}> {
    a = MatMul(x, A)
    h = Add(a, c)
    y = MatMul(h, B)
  })";

TEST(PruneMagnitude, ZeroesTheSmallestWeights) {
  expect_rewrite("prune-magnitude", product("[2,2]", "0.9, 0.1, -0.5, 0.2", "2"),
                 product("[2,2]", "0.9, 0.0, -0.5, 0.0", "2"));
}

TEST(PruneMagnitude, SaysHowWeightsThatAreInputsBecomeConstants) {
  Model model = parse_model(
      "g (float[2,2] x, float[2,2] W) => (float[2,2] y) <float[2,2] W = {0.9, 0.1, -0.5, 0.2}> "
      "{ y = MatMul(x, W) }");
  Outcome outcome = run_pass("prune-magnitude", model);
  EXPECT_FALSE(outcome.changed);
  EXPECT_NE(outcome.warnings.at(0).find("--freeze-inputs"), std::string::npos);
  model.freeze_inputs();
  outcome = run_pass("prune-magnitude", model);
  EXPECT_TRUE(outcome.changed);
  EXPECT_TRUE(outcome.warnings.empty());
}

TEST(PruneMagnitude, LampNamesTheLayerThatHoldsInfinity) {
  Model model = parse_model(kTwoLayers);
  std::vector<float> values(8, 0.5F);
  values[3] = std::numeric_limits<float>::infinity();
  model.graph().set_constant(model.graph().find("B"), Tensor::from<float>({4, 2}, values));
  const Outcome outcome = run_pass("prune-magnitude", model, {{"scope", "lamp"}});
  EXPECT_TRUE(outcome.changed) << "the other layer is pruned";
  ASSERT_EQ(outcome.skips.size(), 1U);
  EXPECT_EQ(outcome.skips[0].output, "y");
  EXPECT_NE(outcome.skips[0].reason.find("infinity"), std::string::npos);
}

TEST(PruneMagnitude, CountsAreExactLocally) {
  for (const char* sparsity : {"0.25", "0.5", "0.75"}) {
    Model model = parse_model(kTwoLayers);
    run_pass("prune-magnitude", model, {{"sparsity", sparsity}});
    EXPECT_EQ(zeros(model, "A"), static_cast<int64_t>(std::stod(sparsity) * 16));
    EXPECT_EQ(zeros(model, "B"), static_cast<int64_t>(std::stod(sparsity) * 8));
    EXPECT_EQ(zeros(model, "c"), 0) << "biases stay";
  }
}

TEST(PruneMagnitude, GlobalAndLampHoldTheTotalAndKeepAWeightPerOutput) {
  for (const char* scope : {"global", "lamp"}) {
    Model model = parse_model(kTwoLayers);
    const Outcome outcome =
        run_pass("prune-magnitude", model, {{"sparsity", "0.5"}, {"scope", scope}});
    EXPECT_EQ(zeros(model, "A") + zeros(model, "B"), 12) << scope;
    EXPECT_LE(zeros(model, "B"), 6) << scope << ": an output lost all its weights";
    EXPECT_EQ(outcome.counters.at("zeros"), 12);
  }
  Model global = parse_model(kTwoLayers), lamp = parse_model(kTwoLayers);
  run_pass("prune-magnitude", global, {{"scope", "global"}});
  run_pass("prune-magnitude", lamp, {{"scope", "lamp"}});
  EXPECT_GT(zeros(global, "B"), zeros(lamp, "B")) << "lamp balances layers";
}

TEST(PruneMagnitude, NeverEmptiesALayer) {
  Model model = parse_model(kTwoLayers);
  run_pass("prune-magnitude", model, {{"sparsity", "1"}});
  EXPECT_EQ(zeros(model, "A"), 15);
  EXPECT_EQ(zeros(model, "B"), 7);
  Model capped = parse_model(kTwoLayers);
  run_pass("prune-magnitude", capped, {{"sparsity", "1"}, {"max-layer-sparsity", "0.5"}});
  EXPECT_EQ(zeros(capped, "A"), 8);
}

TEST(PruneMagnitude, WarnsWhereTheLimitsForbidTheSparsity) {
  Model model = parse_model(kTwoLayers);
  const Outcome outcome =
      run_pass("prune-magnitude", model, {{"sparsity", "1"}, {"scope", "global"}});
  ASSERT_FALSE(outcome.warnings.empty());
  EXPECT_NE(outcome.warnings[0].find("asks for 24"), std::string::npos) << outcome.warnings[0];
}

TEST(PruneMagnitude, KeepsTwoOfFourInputs) {
  // Inputs are the rows of W: in each column the two largest of four stay.
  expect_rewrite("prune-magnitude", product("[4,2]", "1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0", "4"),
                 product("[4,2]", "0.0, 8.0, 0.0, 7.0, 3.0, 0.0, 4.0, 0.0", "4"),
                 {{"pattern", "2:4"}});
  expect_unchanged("prune-magnitude", product("[2,2]", "1.0, 2.0, 3.0, 4.0", "2"),
                   "pattern 2:4 needs 4 input channels, it has 2", {{"pattern", "2:4"}});
}

TEST(PruneMagnitude, TellsWhereAPatternDoesNotHold) {
  Model tail = parse_model(product("[5,1]", "1.0, 8.0, 2.0, 7.0, 3.0", "5"));
  PassContext context = make_context();
  run_pass("prune-magnitude", tail, {{"pattern", "2:4"}}, &context);
  ASSERT_EQ(context.notes().size(), 1U);
  EXPECT_NE(context.notes()[0].find("the last 1 of its 5 input channels"), std::string::npos)
      << context.notes()[0];
  // The Gemm reads the rows as its outputs.
  Model shared = parse_model(R"(
    g (float[1,4] x) => (float[1,4] y)
    <float[4,4] W = {1.0,2.0,3.0,4.0, 2.0,3.0,4.0,1.0, 3.0,4.0,1.0,2.0, 4.0,1.0,2.0,3.0}> {
      m = MatMul(x, W)
      y = Gemm <transB = 1> (m, W)
    })");
  PassContext other = make_context();
  run_pass("prune-magnitude", shared, {{"pattern", "2:4"}}, &other);
  ASSERT_EQ(other.notes().size(), 1U);
  EXPECT_NE(other.notes()[0].find("along another axis: it is not 2:4 there"), std::string::npos)
      << other.notes()[0];
}

TEST(PruneMagnitude, PrunesWholeBlocks) {
  expect_rewrite("prune-magnitude", product("[2,4]", "1.0, 1.0, 9.0, 0.1, 1.0, 1.0, 9.0, 9.0", "2"),
                 product("[2,4]", "0.0, 0.0, 9.0, 0.1, 0.0, 0.0, 9.0, 9.0", "2"),
                 {{"pattern", "2x2"}});
}

TEST(PruneMagnitude, RefusesOptionsThatContradict) {
  for (const Options& options :
       {Options{{"pattern", "2:4"}, {"sparsity", "0.5"}}, Options{{"pattern", "4:2"}},
        Options{{"pattern", "2:4"}, {"scope", "global"}}, Options{{"sparsity", "1.5"}}}) {
    Model model = parse_model(kTwoLayers);
    EXPECT_THROW(run_pass("prune-magnitude", model, options), Error);
  }
}

TEST(PruneMagnitude, ConvolutionsByOutputAndTap) {
  Model model = parse_model(R"(
    g (float[1,4,3,3] x) => (float[1,1,2,2] y)
    <float[1,4,2,2] W = {1.0,2.0,3.0,4.0, 2.0,3.0,4.0,1.0, 3.0,4.0,1.0,2.0, 4.0,1.0,2.0,3.0}> { y = Conv(x, W) })");
  run_pass("prune-magnitude", model, {{"pattern", "2:4"}});
  const std::vector<float> kept{0, 0, 3, 4, 0, 3, 4, 0, 3, 4, 0, 0, 4, 0, 0, 3};
  EXPECT_EQ(model.graph().find("W").constant()->to_float(), kept);
}

TEST(PruneMagnitude, IsIdempotentAndRecordsTheMask) {
  Model model = parse_model(kTwoLayers);
  EXPECT_TRUE(run_pass("prune-magnitude", model).changed);
  EXPECT_FALSE(run_pass("prune-magnitude", model).changed);
  ASSERT_EQ(model.state().constraints.count("A"), 1U);
  EXPECT_EQ(model.state().constraints.find("A")->second.kind, ConstraintKind::kMask);
}

TEST(PruneMagnitude, EveryStoring) {
  const Model model = parse_model(product("[4,2]", "0.9, 0.1, -0.5, 0.2, 0.8, 0.3, 0.7, 0.6", "4"));
  for (Storing& storing : six_storings(model, "W")) {
    SCOPED_TRACE(storing.how);
    const bool shared = storing.how == "shared";  // Mul would keep the dense weight in the file
    const Outcome outcome = run_pass("prune-magnitude", storing.model);
    EXPECT_EQ(outcome.changed, !shared);
    for (const Layer& layer : find_layers(storing.model)) {
      const std::vector<float> values = layer.weight.constant()->to_float();
      EXPECT_EQ(std::count(values.begin(), values.end(), 0.0F), shared ? 0 : 4);
    }
    if (shared) {
      EXPECT_NE(outcome.skips.at(0).reason.find("another node"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace mcompress::test
