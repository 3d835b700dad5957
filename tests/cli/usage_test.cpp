// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/support/cli_test.h"

namespace mcompress {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Cli = testing::CliTest;

TEST_F(Cli, VersionAndHelpGoToStandardOutput) {
  const testing::CliResult version = run({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, StartsWith("mcompress 0."));
  EXPECT_THAT(version.err, IsEmpty());
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"},
                                                    {"run", "--help"},
                                                    {"recipe", "--help"},
                                                    {"recipe", "show", "-h"}}) {
    const testing::CliResult help = run(arguments);
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.out, HasSubstr("Usage: mcompress"));
    EXPECT_THAT(help.err, IsEmpty());
  }
}

struct UsageCase {
  std::vector<std::string> arguments;
  std::string message;
};

TEST_F(Cli, WrongCommandLinesAreTwo) {
  const UsageCase cases[] = {
      {{},
       "mcompress: error: mcompress: a command is missing\nmcompress: hint: see mcompress "
       "--help\n"},
      {{"rnu"},
       "error: unknown command 'rnu'\nmcompress: hint: did you mean 'run'? See mcompress --help\n"},
      {{"run"}, "error: MODEL is required\nmcompress: hint: see mcompress run --help\n"},
      {{"run", "m.onnx"}, "--recipe is required"},
      {{"run", "m.onnx", "-r", "int8", "--thread", "2"},
       "error: unknown option '--thread'\nmcompress: hint: did you mean '--threads'? See mcompress "
       "run --help\n"},
      {{"run", "m.onnx", "-r", "int8", "--threads", "two"}, "--threads"},
      {{"run", "m.onnx", "-r", "int8", "--validate", "maybe"}, "--validate: maybe"},
      {{"run", "m.onnx", "other.onnx", "-r", "int8"}, "other.onnx"},
      {{"recipe"}, "error: mcompress recipe: a command is missing"},
      {{"recipe", "lst"}, "error: unknown command 'lst'\nmcompress: hint: did you mean 'list'?"},
      {{"passes", "quantise-static"}, "error: unknown pass 'quantise-static'"},
      {{"run", "m.onnx", "-r", "lossless", "--report", "r.html"}, "r.html"},
      {{"run", "m.onnx", "-r", "lossless", "--report", "none/r.md"}, "does not exist"},
  };
  for (const UsageCase& c : cases) {
    const testing::CliResult result = run(c.arguments);
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(c.message));
    EXPECT_THAT(result.out, IsEmpty());
  }
}

TEST_F(Cli, RecipesAreListedShownAndChecked) {
  const testing::CliResult list = run({"recipe", "list"});
  EXPECT_EQ(list.code, 0);
  for (const char* name : {"lossless", "int8", "deep-compression"})
    EXPECT_THAT(list.out, HasSubstr(name));
  const testing::CliResult show = run({"recipe", "show", "lossless"});
  EXPECT_THAT(show.out, StartsWith("# All that costs no accuracy"));
  testing::write_bytes(path("mine.yaml"), show.out);
  const testing::CliResult check = run({"recipe", "check", "mine.yaml"});
  EXPECT_EQ(check.code, 0) << check.err;
  EXPECT_EQ(check.out, "mine.yaml: a valid recipe\n");
  const testing::CliResult effective = run({"recipe", "show", "mine.yaml", "--effective"});
  EXPECT_EQ(effective.code, 0) << effective.err;
  EXPECT_THAT(effective.out, HasSubstr("target: cpu\n"));
  const testing::CliResult unknown = run({"recipe", "show", "lossles"});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean 'lossless'?"));
}

TEST_F(Cli, EveryMistakeOfARecipeIsALine) {
  testing::write_bytes(path("bad.yaml"), R"(versoin: 1
seed: x
target: cup
metric: top2
data:
  calibration: {npz: missing.npz}
  evaluation: {npz: missing.npz, limt: 3}
steps:
  - fold-batchnorm
  - prune-magnitude: {sparsity: 2}
  - encode-weights:
    gate: {size: small}
    skp: last
)");
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"recipe", "check", "bad.yaml"},
        {"run", "m.onnx", "-r", "bad.yaml"}}) {
    const testing::CliResult result = run(arguments);
    EXPECT_EQ(result.code, 3);
    EXPECT_THAT(result.out, IsEmpty());
    for (const char* place :
         {"bad.yaml:1:1: ", "bad.yaml:2:7: ", "bad.yaml:3:9: ", "bad.yaml:4:9: ", "bad.yaml:6:22: ",
          "bad.yaml:7:21: ", "bad.yaml:7:34: ", "bad.yaml:9:5: ", "bad.yaml:10:33: ",
          "bad.yaml:12:18: ", "bad.yaml:13:5: "}) {
      EXPECT_THAT(result.err, HasSubstr(place));
    }
  }
}

TEST_F(Cli, WarningsOfARecipeDoNotFailIt) {
  testing::write_bytes(path("odd.yaml"), "steps: [prune-magnitude, factorize-weights]\n");
  const testing::CliResult check = run({"recipe", "check", "odd.yaml"});
  EXPECT_EQ(check.code, 0);
  EXPECT_EQ(check.out, "odd.yaml: a valid recipe with 1 warning\n");
  EXPECT_THAT(check.err, HasSubstr("odd.yaml:1:26: warning: factorize-weights"));
}

TEST_F(Cli, ColorsOnlyWhenAsked) {
  EXPECT_THAT(run({"passes"}).out, ::testing::Not(HasSubstr("\x1b[")));
  EXPECT_THAT(run({"passes", "--color", "always"}).out, HasSubstr("\x1b["));
}

TEST_F(Cli, AFullDiskUnderStandardOutputIsAnError) {
  const testing::CliResult result = run({"passes"}, {.out_file = "/dev/full"});
  EXPECT_EQ(result.code, 6);
  EXPECT_THAT(result.err, HasSubstr("standard output: cannot be written"));
}

}  // namespace
}  // namespace mcompress
