// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "models.h"
#include "tests/support/cli_test.h"

namespace mcompress {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CliPack : public testing::CliTest {
 protected:
  CliPack() { testing::write_model(path("m.onnx")); }
};

TEST_F(CliPack, ThereAndBack) {
  const testing::CliResult packed = run({"pack", "m.onnx", "--explain"});
  EXPECT_EQ(packed.code, 0) << packed.err;
  EXPECT_THAT(packed.out, HasSubstr("m.onnx: "));
  EXPECT_THAT(packed.out, HasSubstr("(the rest)"));
  const testing::CliResult back = run({"unpack", "m.mcz", "-o", "back.onnx"});
  EXPECT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(testing::read_bytes(path("back.onnx")), testing::read_bytes(path("m.onnx")));
  EXPECT_EQ(run({"unpack", "m.mcz"}).code, 2) << "m.onnx is there";
  EXPECT_EQ(run({"pack", "m.onnx"}).code, 2) << "m.mcz is there";
  EXPECT_EQ(run({"pack", "m.onnx", "--force"}).code, 0);
  EXPECT_EQ(run({"pack", "m.onnx", "-o", "m.onnx", "--force"}).code, 2);
  EXPECT_EQ(run({"unpack", "m.mcz", "-o", "m.mcz", "--force"}).code, 2);
  EXPECT_EQ(run({"pack", "none.onnx"}).code, 4);
  EXPECT_THAT(files(), ElementsAre("back.onnx", "m.mcz", "m.onnx"));
}

TEST_F(CliPack, JsonAddsUp) {
  const testing::CliResult result = run({"pack", "m.onnx", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json.at("plain_bytes"), testing::read_bytes(path("m.onnx")).size());
  EXPECT_EQ(json.at("packed_bytes"), testing::read_bytes(path("m.mcz")).size());
  uint64_t plain = 0;
  for (const auto& part : json.at("parts")) plain += part.at("plain_bytes").get<uint64_t>();
  EXPECT_EQ(plain, json.at("plain_bytes"));
}

TEST_F(CliPack, RunWritesAnArchive) {
  ASSERT_EQ(run({"run", "m.onnx", "-r", "lossless", "-o", "s.onnx"}).code, 0);
  const testing::CliResult result =
      run({"run", "m.onnx", "-r", "lossless", "-o", "s.mcz", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(files(), ElementsAre("m.onnx", "s.mcz", "s.onnx"));
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json.at("output"), "s.mcz");
  EXPECT_EQ(json.at("size_after").at("file_bytes"), testing::read_bytes(path("s.mcz")).size());
  ASSERT_EQ(run({"unpack", "s.mcz", "-o", "back.onnx"}).code, 0);
  EXPECT_EQ(testing::read_bytes(path("back.onnx")), testing::read_bytes(path("s.onnx")));
}

TEST_F(CliPack, CommandsReadArchivesAsModels) {
  ASSERT_EQ(run({"pack", "m.onnx"}).code, 0);
  ASSERT_EQ(run({"run", "m.onnx", "-r", "sparse", "-o", "a.onnx"}).code, 0);
  const testing::CliResult result = run({"run", "m.mcz", "-r", "sparse", "-o", "b.onnx", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out).at("input"), "m.mcz");
  EXPECT_TRUE(testing::read_bytes(path("a.onnx")) == testing::read_bytes(path("b.onnx")));
  EXPECT_EQ(run({"run", "m.mcz", "-r", "sparse"}).code, 0);
  const testing::CliResult onto = run({"run", "m.mcz", "-r", "sparse", "-o", "m.mcz", "--force"});
  EXPECT_EQ(onto.code, 2);
  EXPECT_THAT(onto.err, HasSubstr("m.mcz: is the input model"));
  EXPECT_THAT(files(), ElementsAre("a.onnx", "b.onnx", "m.mcz", "m.onnx", "m.sparse.onnx"));

  const auto plain = nlohmann::json::parse(run({"inspect", "m.onnx", "--json"}).out);
  const auto packed = nlohmann::json::parse(run({"inspect", "m.mcz", "--json"}).out);
  EXPECT_EQ(packed.at("layers"), plain.at("layers"));
  EXPECT_EQ(packed.at("input"), "m.mcz");
  const size_t bytes = testing::read_bytes(path("m.mcz")).size();
  EXPECT_EQ(packed.at("size").at("file_bytes"), bytes);

  const testing::CliResult compared = run({"compare", "m.onnx", "m.mcz", "--json"});
  ASSERT_EQ(compared.code, 0) << compared.err;
  const auto comparison = nlohmann::json::parse(compared.out);
  EXPECT_EQ(comparison.at("input_b"), "m.mcz");
  EXPECT_EQ(comparison.at("size_after").at("file_bytes"), bytes);
  const testing::CliResult evaluated =
      run({"evaluate", "m.mcz", "--set", "data.evaluation.random.count=8", "--json"});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  EXPECT_EQ(nlohmann::json::parse(evaluated.out).at("input"), "m.mcz");
}

TEST_F(CliPack, RunCountsBothArchivesAsTheyLie) {
  ASSERT_EQ(run({"pack", "m.onnx"}).code, 0);
  const testing::CliResult result =
      run({"run", "m.mcz", "-r", "lossless", "-o", "s.mcz", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json.at("size_before").at("file_bytes"), testing::read_bytes(path("m.mcz")).size());
  EXPECT_EQ(json.at("size_after").at("file_bytes"), testing::read_bytes(path("s.mcz")).size());
}

TEST_F(CliPack, TablesAndPlansAreMadeOfArchivesToo) {
  ASSERT_EQ(run({"pack", "m.onnx"}).code, 0);
  for (const char* model : {"m.onnx", "m.mcz"}) {
    const testing::CliResult table =
        run({"calibrate", model, "--set", "data.calibration.random.count=8", "-o", "t.json",
             "--force"});
    EXPECT_EQ(table.code, 0) << table.err;
    const testing::CliResult plan = run({"sensitivity", model, "-r", "int8-weights", "--set",
                                         "data.calibration.random.count=8", "--json"});
    ASSERT_EQ(plan.code, 0) << plan.err;
    EXPECT_EQ(nlohmann::json::parse(plan.out).at("input"), model);
  }
}

TEST_F(CliPack, AMissingFileIsNamedOnce) {
  for (const char* command : {"unpack", "pack", "inspect"}) {
    const testing::CliResult result = run({command, "none.mcz"});
    EXPECT_EQ(result.code, 4);
    EXPECT_THAT(result.err, HasSubstr("none.mcz: no such file"));
    EXPECT_THAT(result.err, ::testing::Not(HasSubstr("none.mcz: none.mcz"))) << command;
  }
}

TEST_F(CliPack, DamagedArchivesAreFour) {
  ASSERT_EQ(run({"pack", "m.onnx"}).code, 0);
  const std::string bytes = testing::read_bytes(path("m.mcz"));
  testing::write_bytes(path("cut.mcz"), bytes.substr(0, bytes.size() - 7));
  const testing::CliResult cut = run({"unpack", "cut.mcz", "-o", "x.onnx"});
  EXPECT_EQ(cut.code, 4);
  EXPECT_THAT(cut.err, HasSubstr("cut.mcz: the archive is damaged: it is truncated"));
  EXPECT_THAT(cut.err, HasSubstr("hint: "));
  std::string flipped = bytes;
  flipped[20] = static_cast<char>(flipped[20] ^ 1);
  testing::write_bytes(path("flipped.mcz"), flipped);
  EXPECT_EQ(run({"unpack", "flipped.mcz", "-o", "x.onnx"}).code, 4);
  const testing::CliResult other = run({"unpack", "m.onnx", "-o", "x.onnx"});
  EXPECT_EQ(other.code, 4);
  EXPECT_THAT(other.err, HasSubstr("m.onnx: not an archive of mcompress"));
  EXPECT_THAT(files(), ElementsAre("cut.mcz", "flipped.mcz", "m.mcz", "m.onnx"));
}

}  // namespace
}  // namespace mcompress
