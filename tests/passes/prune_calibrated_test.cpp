// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <set>

#include "forms/stored_form.h"
#include "tests/support/output_error.h"
#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

int64_t zeros_of(const Model& model, const std::string& name) {
  const std::vector<float> values = model.graph().find(name).constant()->to_float();
  return std::count(values.begin(), values.end(), 0.0F);
}

std::vector<float> wave(size_t count, float pitch) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = std::sin(static_cast<float>(i + 1) * pitch) + 0.3F * std::cos(static_cast<float>(i) * 1.7F);
  }
  return values;
}

/// Conv with pads and groups, Gemm with transB and bias, MatMul.
Model network() {
  Model model = parse_model(R"(
    g (float[1,4,6,6] x) => (float[1,12] y)
    <float[1] cw = {1.0}, float[8] cb = {0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8}, float[1] gw = {1.0},
     float[16] gb = {0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8}, float[1] mw = {1.0}> {
      c = Conv<pads = [1, 1, 1, 1], group = 2>(x, cw, cb)
      r = Relu(c)
      p = AveragePool<kernel_shape = [3, 3], strides = [3, 3]>(r)
      f = Flatten(p)
      h = Gemm<transB = 1>(f, gw, gb)
      a = Relu(h)
      y = MatMul(a, mw)
    })");
  const auto set = [&](const char* name, const Shape& shape, float pitch) {
    const auto count = static_cast<size_t>(element_count(shape));
    model.graph().set_constant(model.graph().find(name), Tensor::from(shape, wave(count, pitch)));
  };
  set("cw", {8, 2, 3, 3}, 0.71F);
  set("gw", {16, 32}, 0.37F);
  set("mw", {16, 12}, 0.53F);
  return model;
}

struct Solved {
  Model model = network();
  Outcome outcome;
  explicit Solved(const Options& options, int threads = 1) {
    PassContext context = make_data_context(model, threads, 60);
    outcome = run_pass("prune-calibrated", model, options, &context);
  }
  std::vector<float> weight(const char* name) const {
    return forms::constant_or_form(find(name).weight)->to_float();
  }
  Layer find(const char* name) const {
    for (const Layer& layer : find_layers(const_cast<Model&>(model))) {  // reads only
      if (layer.output == name) return layer;
    }
    throw std::runtime_error(name);
  }
};

TEST(PruneCalibrated, CountsAreExactAndOthersAreRefitted) {
  const std::vector<float> before = network().graph().find("gw").constant()->to_float();
  for (const char* sparsity : {"0.25", "0.5", "0.75"}) {
    const Solved solved(Options{{"sparsity", sparsity}});
    EXPECT_TRUE(solved.outcome.changed);
    const double part = std::stod(sparsity);
    EXPECT_EQ(zeros_of(solved.model, "cw"), std::lround(part * 144));
    EXPECT_EQ(zeros_of(solved.model, "gw"), std::lround(part * 512));
    EXPECT_EQ(zeros_of(solved.model, "mw"), std::lround(part * 192));
    const std::vector<float> after = solved.weight("h");
    int64_t moved = 0;
    for (size_t i = 0; i < before.size(); ++i) moved += after[i] != 0 && after[i] != before[i];
    EXPECT_GT(moved, 20);
    EXPECT_EQ(solved.model.state().constraints.find("gw")->second.kind, ConstraintKind::kMask);
  }
}

TEST(PruneCalibrated, WandaComparesWithinEachOutputAndUpdatesNothing) {
  const Solved solved(Options{{"sparsity", "0.5"}, {"method", "wanda"}});
  const std::vector<float> before = network().graph().find("mw").constant()->to_float();
  const std::vector<float> after = solved.weight("y");
  for (size_t j = 0; j < 12; ++j) {
    int64_t zeros = 0;
    for (size_t i = 0; i < 16; ++i) {
      zeros += after[i * 12 + j] == 0;
      const size_t at = i * 12 + j;
      EXPECT_EQ(after[at], after[at] != 0 ? before[at] : 0);
    }
    EXPECT_EQ(zeros, 8);
  }
}

TEST(PruneCalibrated, KeepsNOfMInputsOfEveryGroup) {
  for (const char* method : {"obs", "sparsegpt", "wanda"}) {
    const Solved solved(Options{{"pattern", "2:4"}, {"method", method}});
    const std::vector<float> gemm = solved.weight("h");
    for (size_t row = 0; row < 16; ++row) {
      for (size_t first = 0; first < 32; first += 4) {
        int64_t kept = 0;
        for (size_t i = first; i < first + 4; ++i) kept += gemm[row * 32 + i] != 0;
        EXPECT_LE(kept, 2);
      }
    }
    EXPECT_NE(solved.outcome.skips.at(0).reason.find("needs 4 input channels, it has 2"),
              std::string::npos);
  }
}

TEST(PruneCalibrated, TellsWhereAPatternDoesNotHold) {
  Model model = parse_model(R"(
    g (float[1,5] x) => (float[1,5] y)
    <float[5,5] W = {1.0,2.0,3.0,4.0,5.0, 2.0,3.0,4.0,1.0,7.0, 3.0,4.0,1.0,2.0,1.0,
                     4.0,1.0,2.0,3.0,8.0, 9.0,7.0,5.0,3.0,1.0}> {
      m = MatMul(x, W)
      y = Gemm <transB = 1> (m, W)
    })");
  PassContext context = make_data_context(model, 1, 20);
  run_pass("prune-calibrated", model, {{"pattern", "2:4"}}, &context);
  ASSERT_EQ(context.notes().size(), 2U);
  EXPECT_NE(context.notes()[0].find("the last 1 of its 5 input channels"), std::string::npos);
  EXPECT_NE(context.notes()[1].find("it is not 2:4 there"), std::string::npos);
}

TEST(PruneCalibrated, OnePassOverTheInputsPrunesAndUpdates) {
  const auto lost = [](const char* method) {
    Model model = network();
    PassContext context = make_data_context(model, 1, 60);
    run_pass("prune-calibrated", model, {{"sparsity", "0.5"}, {"method", method}}, &context);
    double error = 0;
    for (const auto& decision : context.decisions()) {
      const std::string& text = decision.decision.detail;
      const size_t at = text.find("output error ");
      if (at != std::string::npos) error += std::stod(text.substr(at + 13));
    }
    return error;
  };
  const Solved solved(Options{{"sparsity", "0.5"}, {"method", "sparsegpt"}});
  EXPECT_EQ(zeros_of(solved.model, "mw"), 96);
  EXPECT_GT(lost("sparsegpt"), 0);
  EXPECT_LE(lost("obs"), lost("sparsegpt"));
}

TEST(PruneCalibrated, RoundsToACodebookInTheSameLoop) {
  const Solved solved(Options{{"sparsity", "0.5"}, {"codebook", "3"}});
  for (const char* layer : {"c", "h", "y"}) {
    const std::vector<float> values = solved.weight(layer);
    EXPECT_LE(std::set<float>(values.begin(), values.end()).size(), 8U);
    EXPECT_GE(std::count(values.begin(), values.end(), 0.0F), static_cast<int64_t>(values.size() / 2));
  }
}

TEST(PruneCalibrated, RoundsToIntegersThatAreStoredAsSuch) {
  const Solved solved(Options{{"sparsity", "0.5"}, {"bits", "4"}});
  for (const char* name : {"c", "h", "y"}) {
    const Layer layer = solved.find(name);
    const auto form = forms::recognise(layer.weight);
    ASSERT_TRUE(form);
    EXPECT_EQ(form->kind, forms::FormKind::kScaled);
  }
  // Four bits lose little.
  expect_close(Solved(Options{{"sparsity", "0.5"}}).model, solved.model, {0.5, true});
}

TEST(PruneCalibrated, ABudgetIsSharedOut) {
  const Solved small(Options{{"budget", "20 %"}, {"codebook", "auto"}});
  const Solved large(Options{{"budget", "60 %"}, {"codebook", "auto"}});
  const auto zeros = [](const Solved& solved) {
    return zeros_of(solved.model, "cw") + zeros_of(solved.model, "gw") + zeros_of(solved.model, "mw");
  };
  EXPECT_GT(zeros(small), zeros(large));
  const Solved impossible(Options{{"budget", "10 B"}});
  ASSERT_FALSE(impossible.outcome.warnings.empty());
  EXPECT_NE(impossible.outcome.warnings[0].find("cannot be reached"), std::string::npos);
  EXPECT_TRUE(large.outcome.warnings.empty());
  const Solved ample(Options{{"budget", "1 MB"}});
  ASSERT_FALSE(ample.outcome.warnings.empty());
  EXPECT_NE(ample.outcome.warnings[0].find("more than the model takes"), std::string::npos);
}

TEST(PruneCalibrated, ASparsityOfAllLayersIsSharedOut) {
  const Solved solved(Options{{"sparsity", "0.6"}, {"scope", "global"}});
  const int64_t conv = zeros_of(solved.model, "cw"), gemm = zeros_of(solved.model, "gw"),
                product = zeros_of(solved.model, "mw");
  EXPECT_NEAR(static_cast<double>(conv + gemm + product), 0.6 * (144 + 512 + 192), 2);
  EXPECT_NE(conv, std::lround(0.6 * 144));
}

TEST(PruneCalibrated, LayersMakeUpForTheOnesBeforeThem) {
  for (const char* sparsity : {"0.5", "0.7"}) {
    const Solved alone(Options{{"sparsity", sparsity}, {"inputs", "original"}});
    const Solved behind(Options{{"sparsity", sparsity}, {"inputs", "compressed"}});
    EXPECT_LT(output_error(network(), behind.model), 0.9 * output_error(network(), alone.model));
    // Nothing comes before the first layer.
    EXPECT_EQ(zeros_of(behind.model, "cw"), zeros_of(alone.model, "cw"));
  }
}

TEST(PruneCalibrated, WithoutDataItFailsOrIsLeftOut) {
  Model model = network();
  EXPECT_THROW(run_pass("prune-calibrated", model), Error);
  const Outcome outcome = run_pass("prune-calibrated", model, {{"missing-data", "skip"}});
  EXPECT_FALSE(outcome.changed);
  EXPECT_NE(outcome.warnings.at(0).find("left out"), std::string::npos);
}

TEST(PruneCalibrated, RefusesOptionsThatContradict) {
  for (const Options& options :
       {Options{{"pattern", "2:4"}, {"sparsity", "0.5"}}, Options{{"pattern", "4:2"}},
        Options{{"sparsity", "0.5"}, {"budget", "10 %"}}, Options{{"budget", "ten"}},
        Options{{"codebook", "auto"}}, Options{{"codebook", "3"}, {"bits", "4"}},
        Options{{"bits", "1"}}, Options{{"method", "wanda"}, {"codebook", "3"}}}) {
    Model model = network();
    PassContext context = make_data_context(model);
    EXPECT_THROW(run_pass("prune-calibrated", model, options, &context), Error);
  }
}

TEST(PruneCalibrated, EveryStoring) {
  const Model model = parse_model(
      "g (float[2,4] x) => (float[2,2] y) <float[4,2] W = {0.9, 0.1, -0.5, 0.2, 0.8, 0.3, 0.7, 0.6}> "
      "{ y = MatMul(x, W) }");
  for (Storing& storing : six_storings(model, "W")) {
    SCOPED_TRACE(storing.how);
    PassContext context = make_data_context(storing.model);
    const Outcome outcome = run_pass("prune-calibrated", storing.model, {}, &context);
    for (const Layer& layer : find_layers(storing.model)) {
      const std::vector<float> values = layer.weight.constant()->to_float();
      EXPECT_EQ(std::count(values.begin(), values.end(), 0.0F), outcome.changed ? 4 : 0);
    }
    EXPECT_TRUE(outcome.changed || !outcome.skips.empty());
  }
}

}  // namespace
}  // namespace mcompress::test
