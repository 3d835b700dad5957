// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "models.h"
#include "tests/support/cli_test.h"

namespace mcompress {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CliRun : public testing::CliTest {
 protected:
  CliRun() { testing::write_model(path("m.onnx")); }
};

TEST_F(CliRun, WritesAModelAndItsReport) {
  const std::string input = testing::read_bytes(path("m.onnx"));
  const testing::CliResult result =
      run({"run", "m.onnx", "-r", "lossless", "--report", "r.md", "--report", "r.json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_THAT(result.out, HasSubstr("eliminate-identity"));
  EXPECT_THAT(files(), ElementsAre("m.lossless.onnx", "m.onnx", "r.json", "r.md"));
  EXPECT_EQ(testing::read_bytes(path("m.onnx")), input);
  EXPECT_EQ(nlohmann::json::parse(testing::read_bytes(path("r.json"))).at("recipe_name"),
            "lossless");
  const testing::CliResult again = run({"run", "m.onnx", "-r", "lossless"});
  EXPECT_EQ(again.code, 2);
  EXPECT_EQ(run({"run", "m.onnx", "-r", "lossless", "--force"}).code, 0);
}

TEST_F(CliRun, JsonIsAllOfStandardOutput) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"run", "m.onnx", "-r", "lossless", "--json"},
        {"inspect", "m.onnx", "--json"},
        {"compare", "m.onnx", "m.onnx", "--json"},
        {"passes", "--json"},
        {"recipe", "schema"}}) {
    const testing::CliResult result = run(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_FALSE(nlohmann::json::parse(result.out, nullptr, false).is_discarded())
        << arguments.front();
  }
}

TEST_F(CliRun, ADryRunWritesNothing) {
  const testing::CliResult result = run({"run", "m.onnx", "-r", "deep-compression", "--dry-run"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("prune-magnitude"));
  EXPECT_THAT(files(), ElementsAre("m.onnx"));
}

TEST_F(CliRun, AFailedConstraintIsOne) {
  testing::write_bytes(path("r.yaml"),
                       "steps: [eliminate-identity]\nconstraints: {size: \"<= 1 %\"}\n");
  const testing::CliResult result = run({"run", "m.onnx", "-r", "r.yaml"});
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_THAT(result.out, HasSubstr("size"));
  EXPECT_THAT(files(), Contains("m.r.onnx"));
}

TEST_F(CliRun, SettingsReachTheirStep) {
  const auto zeros = [&](const std::string& sparsity) {
    const testing::CliResult result = run({"run", "m.onnx", "-r", "sparse", "--force", "--json",
                                           "--set", "prune-magnitude.sparsity=" + sparsity});
    EXPECT_EQ(result.code, 0) << result.err;
    return testing::read_bytes(path("m.sparse.onnx"));
  };
  EXPECT_NE(zeros("0.25"), zeros("0.75"));
}

TEST_F(CliRun, ShortNamesStandBehindOrBeforeTheEncodingAndLayersAreFoundAgain) {
  const auto steps = [&](const std::string& recipe) {
    testing::write_bytes(path("r.yaml"), "steps: [share-weights: {values: 2}, " + recipe + "]\n");
    const testing::CliResult result = run({"run", "m.onnx", "-r", "r.yaml", "--force", "--json"});
    EXPECT_EQ(result.code, 0) << result.err;
    std::vector<std::string> names;
    const nlohmann::json report = nlohmann::json::parse(result.out);
    for (const nlohmann::json& step : report.at("steps")) names.push_back(step.at("name"));
    EXPECT_LE(report.at("layers").at(0).at("bits_after"), 16);
    EXPECT_GT(report.at("layers").at(0).at("bits_after"), 0);
    return names;
  };
  EXPECT_THAT(steps("shorten-names"), ElementsAre("share-weights", "shorten-names", "encode-weights"));
  EXPECT_THAT(steps("encode-weights, shorten-names"),
              ElementsAre("share-weights", "encode-weights", "shorten-names"));
}

TEST_F(CliRun, LayersWhoseWeightIsAnInputAreNamed) {
  test::parse_model(R"(
g (float[N,2] x, float[2,4] w) => (float[N,2] y)
<float[2,4] w = {0.5, -1, 0.25, 2, 1, 0.75, -0.5, 1.5}, float[4,2] v = {1, 0.5, -0.5, 2, 0.25, 1, -1, 0.75}>
{
  hidden = MatMul(x, w)
  y = MatMul(hidden, v)
})")
      .save(path("w.onnx"));
  testing::write_bytes(path("r.yaml"), "steps: [prune-magnitude]\n");
  const testing::CliResult result =
      run({"run", "w.onnx", "-r", "r.yaml", "--explain", "-o", "a.onnx"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out,
              HasSubstr("hidden  its weight is a graph input, which a caller may replace"));
  const testing::CliResult frozen =
      run({"run", "w.onnx", "-r", "r.yaml", "--explain", "-o", "b.onnx", "--freeze-inputs"});
  EXPECT_THAT(frozen.out, ::testing::Not(HasSubstr("is a graph input")));
}

TEST_F(CliRun, APatternThatMatchesNothingNamesWhatItMayMean) {
  for (const auto& [pattern, meant] :
       {std::pair{"op:MatMull", "did you mean 'op:MatMul'?"}, std::pair{"op:Foo", "op:MatMul"}}) {
    testing::write_bytes(path("r.yaml"), std::string("steps: [{prune-magnitude: {}, only: [\"") +
                                             pattern + "\"]}]\n");
    const testing::CliResult result = run({"run", "m.onnx", "-r", "r.yaml", "--json", "--force"});
    ASSERT_EQ(result.code, 0) << result.err;
    const auto warnings = nlohmann::json::parse(result.out).at("steps").at(0).at("warnings");
    EXPECT_THAT(warnings.dump(), HasSubstr(meant)) << pattern;
  }
}

TEST_F(CliRun, BytesDoNotDependOnThreads) {
  for (const char* threads : {"1", "2"}) {
    const std::string output = std::string("out") + threads + ".onnx";
    const testing::CliResult result =
        run({"run", "m.onnx", "-r", "deep-compression", "--threads", threads, "-o", output});
    EXPECT_EQ(result.code, 0) << result.err;
  }
  EXPECT_EQ(testing::read_bytes(path("out1.onnx")), testing::read_bytes(path("out2.onnx")));
}

TEST_F(CliRun, DataFromTheRecipeAndTheCommandLine) {
  testing::write_bytes(path("r.yaml"),
                       "data: {calibration: {random: {count: 16}}}\nsteps: [quantize-static]\n");
  const testing::CliResult result = run({"run", "m.onnx", "-r", "r.yaml"});
  EXPECT_EQ(result.code, 0) << result.err;
  testing::write_bytes(path("s.yaml"), "steps: [quantize-static]\n");
  const testing::CliResult none = run({"run", "m.onnx", "-r", "s.yaml"});
  EXPECT_EQ(none.code, 5);
  EXPECT_THAT(none.err, HasSubstr("--data calibration"));
}

TEST_F(CliRun, TheRecipeInt8DoesWithoutDataWhatIsSoundWithout) {
  const testing::CliResult result = run({"run", "m.onnx", "-r", "int8", "-o", "out.onnx"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out + result.err, HasSubstr("there is no calibration data"));
  EXPECT_TRUE(std::filesystem::exists(path("out.onnx")));
}

TEST_F(CliRun, GatesWithoutDataLeaveTheirStepOut) {
  testing::write_bytes(path("r.yaml"),
                       "steps: [{prune-magnitude: {sparsity: 0.5}, gate: {metric-drop: \"<= 1 %\", "
                       "on-fail: roll-back}}]\n");
  const testing::CliResult result =
      run({"run", "m.onnx", "-r", "r.yaml", "--report", "r.json", "--report", "r.md"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("left out: no data to judge by"));
  EXPECT_THAT(testing::read_bytes(path("r.md")), HasSubstr("left out: no data to judge by"));
  const auto json = nlohmann::json::parse(testing::read_bytes(path("r.json")));
  const auto& gate = json.at("steps").at(0).at("gates").at(0);
  EXPECT_EQ(gate.at("action"), "left out");
  EXPECT_EQ(gate.at("measured_text"), "no data to judge by");
  EXPECT_TRUE(gate.at("measured").is_null());
}

TEST_F(CliRun, AnInterruptLeavesNothingBehind) {
  testing::write_bytes(path("r.yaml"),
                       "data: {calibration: {random: {count: 3000000}}}\n"
                       "steps: [{quantize-static: {where: everywhere}}]\n");
  const testing::CliResult result =
      run({"run", "m.onnx", "-r", "r.yaml", "-o", "out.onnx"},
          {.signal = SIGINT, .signal_after = std::chrono::milliseconds(700)});
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_LT(result.seconds, 2.0);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(files(), ElementsAre("m.onnx", "r.yaml"));
}

TEST_F(CliRun, KeepsTheModelAfterEachStep) {
  const testing::CliResult result = run({"run", "m.onnx", "-r", "sparse", "--keep-steps", "steps"});
  EXPECT_EQ(result.code, 0) << result.err;
  size_t kept = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path("steps"))) {
    EXPECT_EQ(run({"inspect", entry.path().string()}).code, 0) << entry.path();
    ++kept;
  }
  EXPECT_GT(kept, 1u);
  const testing::CliResult again =
      run({"run", "m.onnx", "-r", "sparse", "-o", "other.onnx", "--keep-steps", "steps"});
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(again.err, HasSubstr("--force"));
}

TEST_F(CliRun, DoesNotWriteAModelToStandardOutput) {
  const testing::CliResult result = run({"run", "m.onnx", "-r", "lossless", "-o", "-"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("standard output"));
  EXPECT_THAT(files(), ElementsAre("m.onnx"));
}

}  // namespace
}  // namespace mcompress
