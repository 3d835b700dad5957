// SPDX-License-Identifier: Apache-2.0
//
// Recipes that train, as a person runs them. Skipped in a build without libtorch.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/support/cli_test.h"
#include "tests/support/has_trainer.h"
#include "tests/support/model_text.h"

namespace mcompress {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CliTraining : public testing::CliTest {
 protected:
  void SetUp() override {
    if (!testing::has_trainer()) GTEST_SKIP() << "built without libtorch";
    test::parse_model(R"(
      g (float[N,4] x) => (float[N,3] y)
      <float[4,8] a = {0.5,-1,0.3,0.2,-0.7,0.1,0.9,-0.4, 0.3,0.8,-0.6,0.5,0.2,-0.9,0.1,0.7,
                       -0.2,0.4,0.6,-0.8,0.5,0.3,-0.1,0.9, 0.7,-0.3,0.2,0.6,-0.5,0.8,0.4,-0.2},
       float[8,3] b = {0.5,-0.2,0.1, 0.3,0.4,-0.6, -0.1,0.7,0.2, 0.6,-0.3,0.5, -0.4,0.2,0.3,
                       0.1,-0.5,0.6, 0.2,0.3,-0.1, -0.6,0.4,0.2}> {
        h = MatMul(x, a)
        r = Relu(h)
        y = MatMul(r, b)
      })")
        .save(path("m.onnx"), {.overwrite = true});
    testing::write_bytes(path("rows.csv"), rows());
  }

  /// Four numbers and which of the first three is the greatest.
  static std::string rows() {
    std::string text;
    uint64_t state = 3;
    for (int row = 0; row < 120; ++row) {
      double values[4];
      for (double& value : values) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        value = static_cast<double>(state >> 40) / static_cast<double>(uint64_t{1} << 23) - 1;
        text += fmt::format("{:.4f},", value);
      }
      const auto* const best = std::max_element(values, values + 3);
      text += fmt::format("{}\n", best - values);
    }
    return text;
  }
  void write_recipe(const std::string& steps) {
    testing::write_bytes(path("r.yaml"),
                         "data: {training: {csv: rows.csv, header: no}}\nsteps:\n" + steps);
  }
  testing::CliResult run_recipe(const std::vector<std::string>& more = {},
                                const testing::CliOptions& options = {}) {
    std::vector<std::string> words = {"run", "m.onnx",   "-r",       "r.yaml",
                                      "-o",  "out.onnx", "--report", "report.json"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words, options);
  }
  nlohmann::json report() const {
    return nlohmann::json::parse(testing::read_bytes(path("report.json")));
  }
};

TEST_F(CliTraining, TheBestEpochIsTheResultAndTheReportHasThemAll) {
  write_recipe("  - fine-tune: {epochs: 8, batch: 16, learning-rate: 0.02}\n");
  const testing::CliResult result = run_recipe();
  ASSERT_EQ(result.code, 0) << result.err;
  const auto step = report()["steps"][0];
  ASSERT_EQ(step["epochs"].size(), 8U);
  double best = 0;
  int kept = 0;
  for (const auto& epoch : step["epochs"]) {
    best = std::max(best, epoch["metric"].get<double>());
    if (epoch["best"].get<bool>()) {
      ++kept;
      EXPECT_EQ(epoch["metric"], step["metric"]["value"]) << "the file written has the best metric";
    }
  }
  EXPECT_EQ(kept, 1);
  EXPECT_EQ(step["metric"]["value"].get<double>(), best);
  EXPECT_GT(best, report()["metric_baseline"].is_null()
                      ? 0.5
                      : report()["metric_baseline"]["value"].get<double>());
}

TEST_F(CliTraining, AnInterruptWritesTheBestSoFar) {
  write_recipe(
      "  - fine-tune: {epochs: 1000000, batch: 16, checkpoint: saved}\n"
      "  - prune-magnitude: {sparsity: 0.9}\n");
  const testing::CliResult result =
      run_recipe({}, {.signal = SIGINT, .signal_after = {}, .signal_when = path("saved")});
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_THAT(files(),
              ElementsAre("m.onnx", "out.onnx", "r.yaml", "report.json", "rows.csv", "saved"));
  EXPECT_EQ(run({"inspect", "out.onnx"}).code, 0);
  EXPECT_TRUE(report()["interrupted"].get<bool>());
  EXPECT_EQ(report()["steps"][0]["name"], "fine-tune");
  EXPECT_EQ(report()["steps"].size(), 1U) << "later steps are left out";
  EXPECT_THAT(report()["warnings"].dump(), HasSubstr("interrupted"));
  EXPECT_GE(report()["steps"][0]["epochs"].size(), 1U);
  EXPECT_THAT(result.out, HasSubstr("training of 1: fine-tune"));
}

TEST_F(CliTraining, GoesOnFromItsCheckpointAndSaysSo) {
  write_recipe("  - fine-tune: {epochs: 3, batch: 16, checkpoint: saved}\n");
  ASSERT_EQ(run_recipe().code, 0);
  EXPECT_TRUE(report()["steps"][0]["notes"].empty());
  const std::string first = testing::read_bytes(path("out.onnx"));
  const testing::CliResult again = run_recipe({"--force"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("from its checkpoint, after epoch 3, step 18 of 18"));
  EXPECT_THAT(report()["steps"][0]["notes"].dump(), HasSubstr("after epoch 3"));
  EXPECT_EQ(testing::read_bytes(path("out.onnx")), first);
  const testing::CliResult other = run_recipe({"--force", "--set", "seed=5"});
  EXPECT_EQ(other.code, 5);
  EXPECT_THAT(other.err, HasSubstr("another seed"));
}

TEST_F(CliTraining, RoundsWithACheckpointHaveOneEach) {
  write_recipe(
      "  - repeat: 2\n"
      "    steps:\n"
      "      - prune-magnitude: {sparsity: {from: 0.3, to: 0.6}}\n"
      "      - fine-tune: {epochs: 1, batch: 16, checkpoint: saved.ckpt}\n");
  const testing::CliResult result = run_recipe();
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(files(), ElementsAre("m.onnx", "out.onnx", "r.yaml", "report.json", "rows.csv",
                                   "saved-2.ckpt", "saved.ckpt"));
  const std::string first = testing::read_bytes(path("out.onnx"));
  ASSERT_EQ(run_recipe({"--force"}).code, 0) << "all rounds find theirs";
  EXPECT_EQ(testing::read_bytes(path("out.onnx")), first);
}

TEST_F(CliTraining, TheProgressLineHasEpochLossAndMetric) {
  write_recipe("  - fine-tune: {epochs: 400, batch: 16}\n");
  const testing::CliResult result = run_recipe({"--progress", "always"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, ::testing::ContainsRegex(
                              "epoch [0-9]+/400, loss [0-9.]+, metric [0-9.]+, [0-9.]+ m?s left"));
}

TEST_F(CliTraining, LabelsAreNamedAsTheFileCountsThem) {
  std::string text = rows();
  text[text.rfind('\n', text.size() - 2) - 1] = '7';  // of the last row but one
  testing::write_bytes(path("rows.csv"), text);
  write_recipe("  - fine-tune: {epochs: 1, batch: 16}\n");
  const testing::CliResult result = run_recipe();
  EXPECT_EQ(result.code, 5);
  EXPECT_THAT(result.err, HasSubstr("sample 118 has class 7"));
}

TEST_F(CliTraining, RoundsOfPruningAndFineTuningFollowCurves) {
  write_recipe(
      "  - repeat: 3\n"
      "    steps:\n"
      "      - prune-magnitude: {sparsity: {from: 0.3, to: 0.75, curve: cubic}}\n"
      "      - fine-tune: {epochs: 2, batch: 16, learning-rate: {from: 0.02, to: 0.005, curve: "
      "exponential}}\n");
  const testing::CliResult result = run_recipe();
  ASSERT_EQ(result.code, 0) << result.err;
  const auto steps = report()["steps"];
  ASSERT_EQ(steps.size(), 6U);
  EXPECT_THAT(steps[1]["options"].get<std::string>(), HasSubstr("learning-rate: 0.02"));
  EXPECT_THAT(steps[3]["options"].get<std::string>(), HasSubstr("learning-rate: 0.01"));
  EXPECT_THAT(steps[5]["options"].get<std::string>(), HasSubstr("learning-rate: 0.005"));
  for (const auto& layer : report()["layers"]) {
    EXPECT_EQ(layer["sparsity"].get<double>(), 0.75) << "zeros of pruning are zero after training";
  }
}

TEST_F(CliTraining, RoundsThatPruneWhileTheyTrainFollowCurves) {
  // One number for all layers, then one for each.
  for (const std::string to : {"0.75", "[0.75, 0.5]"}) {
    write_recipe(
        "  - repeat: 3\n"
        "    steps:\n"
        "      - fine-tune: {epochs: 2, batch: 16, prune-every: 2, prune-sparsity: {from: 0.25, "
        "to: " +
        to + "}}\n");
    const testing::CliResult result = run_recipe({"--force"});
    ASSERT_EQ(result.code, 0) << result.err;
    const auto steps = report()["steps"];
    ASSERT_EQ(steps.size(), 3U);
    const auto options = [&](size_t round) { return steps[round]["options"].get<std::string>(); };
    EXPECT_THAT(options(0), HasSubstr("prune-sparsity: [0.25]"));
    EXPECT_THAT(options(1),
                HasSubstr(to == "0.75" ? "prune-sparsity: [0.5]" : "prune-sparsity: [0.5, 0.375]"));
    const auto layers = report()["layers"];
    EXPECT_EQ(layers[0]["sparsity"].get<double>(), 0.75);
    EXPECT_EQ(layers[1]["sparsity"].get<double>(), to == "0.75" ? 0.75 : 0.5);
  }
}

TEST_F(CliTraining, SharedValuesStayShared) {
  write_recipe(
      "  - prune-magnitude: {sparsity: 0.5}\n"
      "  - share-weights: {values: 3}\n"
      "  - fine-tune: {epochs: 3, batch: 16, learning-rate: 0.01}\n");
  const testing::CliResult result = run_recipe({"--set", "encode=false"});
  ASSERT_EQ(result.code, 0) << result.err;
  for (const auto& layer : report()["layers"]) {
    EXPECT_LE(layer["distinct"].get<int>(), 4) << layer["name"];
    EXPECT_EQ(layer["sparsity"].get<double>(), 0.5);
  }
}

TEST_F(CliTraining, WhatIsMissingIsSaidBeforeAnythingRuns) {
  testing::write_bytes(path("r.yaml"), "steps: [prune-magnitude, fine-tune]\n");
  const testing::CliResult result = run_recipe();
  EXPECT_EQ(result.code, 5);
  EXPECT_THAT(result.err, HasSubstr("r.yaml:1:26: fine-tune: this pass needs training data"));
  EXPECT_THAT(result.err, HasSubstr("--data training"));
  EXPECT_THAT(result.err, HasSubstr("missing-data: skip"));
  testing::write_bytes(path("s.yaml"),
                       "steps: [prune-magnitude, fine-tune: {missing-data: skip}]\n");
  const testing::CliResult skipped = run({"run", "m.onnx", "-r", "s.yaml", "-o", "s.onnx"});
  EXPECT_EQ(skipped.code, 0) << skipped.err;
  EXPECT_THAT(skipped.out + skipped.err, HasSubstr("no training data"));
}

TEST_F(CliTraining, TheSameBytesWithAnyNumberOfThreads) {
  write_recipe("  - fine-tune: {epochs: 2, batch: 16, mixup: 0.2, noise: 0.1}\n");
  ASSERT_EQ(run_recipe({"--threads", "1"}).code, 0);
  const std::string one = testing::read_bytes(path("out.onnx"));
  ASSERT_EQ(run_recipe({"--threads", "3", "--force"}).code, 0);
  EXPECT_EQ(testing::read_bytes(path("out.onnx")), one);
}

}  // namespace
}  // namespace mcompress
