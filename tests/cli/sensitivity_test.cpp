// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "models.h"
#include "tests/support/cli_test.h"

namespace mcompress {
namespace {

using ::testing::HasSubstr;

/// Two products that are large enough to store in 8 bits.
void write_large_model(const std::filesystem::path& path) {
  const auto values = [](int count) {
    std::string text = "0.5";
    for (int i = 1; i < count; ++i)
      text += ", " + std::to_string((i * 7919 % 10007) / 10007.0 - 0.5);
    return text;
  };
  test::parse_model("g (float[N,32] x) => (float[N,16] y) <float[32,32] w = {" + values(1024) +
                    "}, float[32,16] v = {" + values(512) +
                    "}> {\n h = MatMul(x, w)\n r = Relu(h)\n y = MatMul(r, v)\n}")
      .save(path, {.overwrite = true});
}

class CliSensitivity : public testing::CliTest {
 protected:
  CliSensitivity() {
    testing::write_model(path("m.onnx"));
    testing::write_bytes(path("r.yaml"),
                         "data: {calibration: {random: 30}}\n"
                         "steps: [eliminate-identity, fold-affine, quantize-weights]\n");
  }
};

TEST_F(CliSensitivity, GivesATableAndAPlanThatARecipeTakes) {
  write_large_model(path("m.onnx"));
  const testing::CliResult result =
      run({"sensitivity", "m.onnx", "-r", "r.yaml", "--options", "int8-weights,quantize-dynamic",
           "-o", "plan.yaml", "--tolerance", "1", "--report", "s.md"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("layers, the greatest damage first"));
  EXPECT_THAT(result.out, HasSubstr("plan: 2 of 2 changed"));
  const std::string plan = testing::read_bytes(path("plan.yaml"));
  EXPECT_THAT(plan, HasSubstr("int8-weights: {quantize-weights: {"));
  EXPECT_THAT(plan, HasSubstr("  quantize-dynamic: {quantize-dynamic: {}}\n"));
  ASSERT_THAT(plan, HasSubstr("\"MatMul:h\": int8-weights"));
  const auto output_with = [&](const std::string& text) {
    testing::write_bytes(path("plan.yaml"), text);
    const auto ran = run(
        {"run", "m.onnx", "-r", "r.yaml", "--set", "plan=plan.yaml", "-o", "out.onnx", "--force"});
    EXPECT_EQ(ran.code, 0) << ran.err;
    return testing::read_bytes(path("out.onnx"));
  };
  std::string edited = plan;
  edited.replace(edited.find("\"MatMul:h\": int8-weights"), 24, "\"MatMul:h\": float");
  EXPECT_NE(output_with(plan), output_with(edited));
  EXPECT_EQ(run({"sensitivity", "m.onnx", "-r", "r.yaml", "-o", "plan.yaml"}).code, 2);
}

TEST_F(CliSensitivity, AsJson) {
  const testing::CliResult result = run({"sensitivity", "m.onnx", "-r", "r.yaml", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json.at("kind"), "sensitivity");
  EXPECT_EQ(json.at("layers").size(), 2u);
  EXPECT_EQ(json.at("layers")[0].at("changes")[0].at("choice"), "int8-weights");
}

TEST_F(CliSensitivity, ARepeatCountsAsItsLastRound) {
  testing::write_bytes(path("repeat.yaml"),
                       "data: {calibration: {random: 30}}\nsteps:\n  - repeat: 3\n    steps: "
                       "[{prune-magnitude: {sparsity: {from: 0.2, to: 0.75}}}]\n");
  const testing::CliResult result =
      run({"sensitivity", "m.onnx", "-r", "repeat.yaml", "--json", "--by", "block"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_THAT(json.at("choices")[0].at("options"), HasSubstr("sparsity: 0.75"));
  EXPECT_GT(json.at("layers")[0].at("changes")[0].at("damage"), 0);
}

TEST_F(CliSensitivity, SaysWhatIsWrong) {
  testing::CliResult result = run({"sensitivity", "m.onnx", "-r", "r.yaml", "--options", "int9"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("unknown change 'int9'"));
  result = run({"sensitivity", "m.onnx", "-r", "r.yaml", "--tolerance", "much"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("--tolerance: 'much'"));
  testing::write_bytes(path("exact.yaml"),
                       "data: {calibration: {random: 30}}\nsteps: [eliminate-identity]\n");
  result = run({"sensitivity", "m.onnx", "-r", "exact.yaml"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("name changes with --options"));
  testing::write_bytes(path("plan.yaml"),
                       "choices: {int8: {quantize-weights: {}}}\nlayers: {\"MatMul:i\": int8}\n");
  result = run({"run", "m.onnx", "-r", "r.yaml", "--set", "plan=plan.yaml", "-o", "out.onnx"});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("plan.yaml:2:10: plan: the model has no layer 'MatMul:i'; did "
                                    "you mean 'MatMul:h'?"));
}

TEST_F(CliSensitivity, CostsAreMeasuredOnceAndKept) {
  testing::CliResult result =
      run({"run", "m.onnx", "-r", "r.yaml", "--costs", "costs.json", "-o", "a.onnx"});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("no such cost table"));
  result = run({"run", "m.onnx", "-r", "r.yaml", "--costs", "costs.json", "--measure", "-o",
                "a.onnx", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_GT(json.at("costs").at("measured"), 0);
  EXPECT_THAT(json.at("costs").at("name"), HasSubstr("costs.json"));
  EXPECT_THAT(json.at("effective_recipe"), HasSubstr("costs.json"));
  const std::string table = testing::read_bytes(path("costs.json"));
  EXPECT_THAT(table, HasSubstr("MatMul 8x8 rows"));
  // The same table, the same bytes; nothing is left to measure.
  result = run({"run", "m.onnx", "-r", "r.yaml", "--costs", "costs.json", "--measure", "-o",
                "b.onnx", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out).at("costs").at("measured"), 0);
  EXPECT_EQ(testing::read_bytes(path("costs.json")), table);
  EXPECT_EQ(testing::read_bytes(path("a.onnx")), testing::read_bytes(path("b.onnx")));
  // Without a file, the table of the machine in the user's cache.
  result = run({"run", "m.onnx", "-r", "r.yaml", "--measure", "-o", "c.onnx", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(nlohmann::json::parse(result.out).at("costs").at("name"),
              HasSubstr(".cache/mcompress/costs/"));
  result = run({"run", "m.onnx", "-r", "r.yaml", "-o", "d.onnx", "--json"});
  EXPECT_THAT(nlohmann::json::parse(result.out).at("costs").at("hash"), HasSubstr("xxh3-128:"));
  EXPECT_EQ(testing::read_bytes(path("c.onnx")), testing::read_bytes(path("d.onnx")));
}

}  // namespace
}  // namespace mcompress
