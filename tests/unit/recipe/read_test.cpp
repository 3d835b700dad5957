// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "fake_passes.h"
#include "mcompress/error.h"
#include "mcompress/recipe.h"

namespace mcompress {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RecipeReader : public ::testing::Test {
 protected:
  RecipeReader()
      : folder_(fs::path(::testing::TempDir()) / fs::path("recipe" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
    std::ofstream(folder_ / "calib.npz") << "x";
    std::ofstream(folder_ / "images.gz") << "x";
    std::ofstream(folder_ / "labels.gz") << "x";
    std::ofstream(folder_ / "table.csv") << "x";
  }
  ~RecipeReader() override { fs::remove_all(folder_); }

  Recipe parse(std::string_view text, const std::vector<std::string>& overrides = {}) {
    return parse_recipe(text, "r.yaml", folder_, passes_, overrides);
  }
  std::vector<std::string> problems(std::string_view text,
                                    const std::vector<std::string>& overrides = {}) {
    std::vector<std::string> lines;
    for (const Diagnostic& d : check_recipe(text, "r.yaml", folder_, passes_, overrides)) {
      lines.push_back(d.str());
    }
    return lines;
  }
  std::string option(const StepSpec& step, std::string_view name) {
    const ConfigValue* value = step.options.find(name);
    return value == nullptr ? "(none)" : value->scalar;
  }

  fs::path folder_;
  PassRegistry passes_ = testing::fake_passes();
};

TEST_F(RecipeReader, ReadsTheShortestRecipe) {
  const Recipe recipe = parse("steps: [fold-batch-norm]");
  ASSERT_EQ(recipe.steps.size(), 1u);
  EXPECT_EQ(recipe.steps[0].pass, "fold-batch-norm");
  EXPECT_EQ(recipe.name, "r");
  EXPECT_EQ(recipe.target, TargetKind::kCpu);
  EXPECT_TRUE(recipe.encode);
  EXPECT_EQ(recipe.effort, "normal");
}

TEST_F(RecipeReader, ReadsEverything) {
  const Recipe recipe = parse(R"(
version: 1
name: everything
summary: All keys
seed: 7
target: cpu-vnni
data:
  calibration: {npz: calib.npz, limit: 300}
  evaluation: {idx: {images: images.gz, labels: labels.gz}, scale: 1/255, mean: [0.5, 0.25]}
  training: {random: {count: 4, dims: {batch: 2, time: 8}}}
  validation: evaluation
metric: top1
steps:
  - fold-batch-norm
  - fold-constants:
  - repeat: 5
    steps:
      - prune-magnitude: {sparsity: {from: 0.5, to: 0.92, curve: cubic}}
  - until: {metric-drop: "<= 1 pt"}
    max: 3
    steps: [share-weights]
    gate: {size: 50 %}
  - quantize-static: {granularity: channel, table: table.csv}
    skip: ["/head/*", "op:Softmax", last]
    only: op:Conv
    gate: {metric-drop: "<= 0.5 pt", latency: 5 ms, on-fail: roll-back, strict: yes}
constraints: {metric-drop: <= 1 pt, size: "<= 25 %", metric: 0.9}
encode: off
effort: quick
)");
  EXPECT_EQ(recipe.name, "everything");
  EXPECT_EQ(recipe.seed, 7u);
  EXPECT_EQ(recipe.target, TargetKind::kCpuVnni);
  EXPECT_EQ(recipe.metric, "top1");
  EXPECT_FALSE(recipe.encode);
  EXPECT_EQ(recipe.effort, "quick");
  EXPECT_TRUE(recipe.validate_on_evaluation);

  const DataSource& calibration = recipe.data.at("calibration");
  EXPECT_EQ(calibration.kind, "npz");
  EXPECT_EQ(calibration.path, folder_ / "calib.npz");
  EXPECT_EQ(calibration.options.at("limit"), "300");
  EXPECT_EQ(calibration.origin, "r.yaml:8:3");
  const DataSource& evaluation = recipe.data.at("evaluation");
  EXPECT_EQ(evaluation.files.at("labels"), folder_ / "labels.gz");
  EXPECT_EQ(evaluation.options.at("scale"), "1/255");
  EXPECT_EQ(evaluation.options.at("mean"), "[0.5, 0.25]");
  EXPECT_EQ(recipe.data.at("training").options.at("dims"), "batch=2, time=8");

  ASSERT_EQ(recipe.steps.size(), 5u);
  EXPECT_EQ(recipe.steps[2].repeat, 5);
  EXPECT_EQ(recipe.steps[2].steps.at(0).pass, "prune-magnitude");
  EXPECT_EQ(recipe.steps[3].repeat, 3);
  EXPECT_EQ(recipe.steps[3].until.at(0).quantity, "metric-drop");
  EXPECT_EQ(recipe.steps[3].gate->limits.at(0).text, "50 %");
  const StepSpec& quantize = recipe.steps[4];
  EXPECT_EQ(option(quantize, "table"), (folder_ / "table.csv").string());
  EXPECT_THAT(quantize.skip, ElementsAre("/head/*", "op:Softmax", "last"));
  EXPECT_THAT(quantize.only, ElementsAre("op:Conv"));
  ASSERT_TRUE(quantize.gate);
  EXPECT_EQ(quantize.gate->on_fail, OnFail::kRollBack);
  EXPECT_TRUE(quantize.gate->strict);
  EXPECT_EQ(quantize.gate->limits.size(), 2u);
  EXPECT_EQ(recipe.constraints.size(), 3u);
}

TEST_F(RecipeReader, TenMistakesAreTenLines) {
  EXPECT_THAT(
      problems(R"(version: 1
targt: cpu
metric: top2
data:
  calibration: {npz: missing.npz}
  calibraton: {npz: calib.npz}
steps:
  - quantise-static
  - quantize-static: {bits: 9, granularity: chanel}
    gate: {metric-drop: "<= 5 potatoes", on-fail: rollback}
  - prune-magnitude: {sparsty: 0.5}
    skip: []
    skip: [x]
)"),
      ElementsAre(
          "r.yaml:2:1: unknown key 'targt'; did you mean 'target'?",
          HasSubstr("r.yaml:3:9: recipe: 'metric' is top2, none of its"),
          "r.yaml:5:22: calibration: no file or folder 'missing.npz'; paths are relative to the "
          "recipe's folder",
          "r.yaml:6:3: data: unknown role 'calibraton'; did you mean 'calibration'?",
          "r.yaml:8:5: unknown pass 'quantise-static'; did you mean 'quantize-static'?",
          "r.yaml:9:29: quantize-static: 'bits' is 9, outside 2..8",
          "r.yaml:9:45: quantize-static: 'granularity' is chanel, expected one of tensor, "
          "channel; did you mean 'channel'?",
          "r.yaml:10:25: quantize-static: gate: '<= 5 potatoes' is not a limit on metric-drop; "
          "for example <= 0.5 pt or <= 2 %",
          "r.yaml:10:51: quantize-static: gate: 'on-fail' is rollback, expected one of stop, "
          "roll-back, warn; did you mean 'roll-back'?",
          "r.yaml:11:5: prune-magnitude: changes weights that quantize-static has quantized; "
          "move it before quantize-static",
          "r.yaml:11:23: prune-magnitude: unknown option 'sparsty'; did you mean 'sparsity'?",
          "r.yaml:13:5: duplicate key 'skip'; it is in line 12 already"));
}

TEST_F(RecipeReader, AllProblemsAreInOneError) {
  try {
    parse("steps: [nothing]\nsed: 1\n");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kRecipe);
    EXPECT_EQ(error.message(),
              "r.yaml:1:9: unknown pass 'nothing'; list them with: mcompress passes\n"
              "r.yaml:2:1: unknown key 'sed'; did you mean 'seed'?");
  }
}

TEST_F(RecipeReader, SaysWhatIsNoRecipe) {
  EXPECT_THAT(problems(""), ElementsAre(HasSubstr("r.yaml: the recipe is empty")));
  EXPECT_THAT(problems("# nothing\n"), ElementsAre(HasSubstr("the recipe is empty")));
  EXPECT_THAT(problems("hello"),
              ElementsAre(HasSubstr("r.yaml:1:1: the recipe is a single value")));
  EXPECT_THAT(problems("[a]"), ElementsAre(HasSubstr("the recipe is a list")));
  EXPECT_THAT(problems("{}"), ElementsAre(HasSubstr("'steps' is missing")));
  EXPECT_THAT(problems("steps: {}"), ElementsAre(HasSubstr("'steps' is a map, expected a list")));
  EXPECT_THAT(problems("steps: []"), ElementsAre(HasSubstr("'steps' is an empty list")));
  EXPECT_THAT(problems(std::string("steps: \0x", 9)),
              ElementsAre(HasSubstr("byte 0x00 in line 1")));
  EXPECT_THAT(problems("steps: [fold-\xff]"),
              ElementsAre(HasSubstr("byte 0xff in line 1 is not UTF-8")));
  EXPECT_THAT(problems(std::string(2'000'000, 'a')),
              ElementsAre(HasSubstr("too many for a recipe")));
  EXPECT_THAT(problems("steps: [a\n"), ElementsAre(HasSubstr("YAML: ")));
  EXPECT_THAT(problems("steps:\n  - fold-batch-norm\n---\nsteps: []\n"),
              ElementsAre(HasSubstr("more than one document")));
  EXPECT_THAT(problems(std::string(100'000, '[')),
              ElementsAre(HasSubstr("nested more than 64 levels")));
  EXPECT_THAT(problems("steps:\n\t- fold-batch-norm\n"), ElementsAre(HasSubstr("not with tabs")));
}

TEST_F(RecipeReader, AliasesThatExplodeAreRefused) {
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char name = 'b'; name < 'k'; ++name) {
    bomb += std::string(1, name) + ": &" + name + " [";
    for (int i = 0; i < 10; ++i)
      bomb += std::string(i == 0 ? "" : ", ") + "*" + static_cast<char>(name - 1);
    bomb += "]\n";
  }
  const std::vector<std::string> lines = problems(bomb);
  EXPECT_THAT(lines, ::testing::Contains(HasSubstr("more than 100000 values")));
  EXPECT_THAT(problems("steps: &a [*a]"),
              ::testing::Contains(HasSubstr("alias refers to what it is part of")));
}

TEST_F(RecipeReader, RandomBytesAreAProblemAndNoCrash) {
  std::mt19937 random(7);
  const std::string alphabet = " \n\t:-[]{}&*!|>'\"%@`#,?abc019<.~=";
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (size_t i = random() % 60; i > 0; --i) text += alphabet[random() % alphabet.size()];
    EXPECT_FALSE(problems(text).empty()) << text;
  }
}

TEST_F(RecipeReader, AnchorsAndMergeKeysWork) {
  const Recipe recipe = parse(R"(
steps:
  - quantize-static: &base {bits: 4, symmetric: false}
  - quantize-weights: {<<: *base, bits: 3}
)");
  EXPECT_EQ(option(recipe.steps[1], "bits"), "3");
  EXPECT_EQ(option(recipe.steps[1], "symmetric"), "false");
}

TEST_F(RecipeReader, StepsAreStrict) {
  EXPECT_THAT(
      problems("steps: [{fold-batch-norm: {}, quantize-static: {}}]"),
      ElementsAre(
          "r.yaml:1:31: 'quantize-static' is a second pass in the step of 'fold-batch-norm'; "
          "start each step with '- '"));
  EXPECT_THAT(
      problems("steps: [{quantize-static: {}, bits: 4}]"),
      ElementsAre(
          "r.yaml:1:31: quantize-static: unknown key 'bits' beside the pass; options go inside: "
          "quantize-static: {bits: ...}"));
  EXPECT_THAT(problems("steps: [{quantize-static: {}, skp: x}]"),
              ElementsAre(HasSubstr("unknown key 'skp' beside the pass; did you mean 'skip'?")));
  EXPECT_THAT(problems("steps: [{skip: x}]"), ElementsAre(HasSubstr("a step without a pass")));
  EXPECT_THAT(problems("steps: [[a]]"), ElementsAre(HasSubstr("a step is a list")));
  EXPECT_THAT(problems("steps: [{fold-batch-norm: {}, skip: last}]"),
              ElementsAre(HasSubstr("fold-batch-norm: 'skip' is for passes that act on layers")));
  EXPECT_THAT(problems("steps: [{fold-batch-norm: {eps: 1}}]"),
              ElementsAre(HasSubstr("unknown option 'eps'; it has no options")));
  EXPECT_THAT(problems("steps: [{quantize-static: {bits: 2}}]"),
              ElementsAre("r.yaml:1:10: quantize-static: 2 bits cannot be symmetric"));
  EXPECT_THAT(problems("steps: [{quantize-static: {table: none.csv}}]"),
              ElementsAre(HasSubstr("quantize-static: 'table': no file or folder 'none.csv'")));
  EXPECT_THAT(problems("steps: [{quantize-static: {}, skip: [[a]]}]"),
              ElementsAre(HasSubstr("a pattern of 'skip' is a list")));
  EXPECT_THAT(problems("steps: [{quantize-static: {}, skip: [op: Conv, 'op:']}]"),
              ElementsAre(HasSubstr("no blank after 'op:'"), HasSubstr("is empty")));
}

TEST_F(RecipeReader, RepeatIsStrict) {
  EXPECT_THAT(
      problems("steps: [{repeat: 0, steps: [fold-constants]}]"),
      ElementsAre(HasSubstr("repeat: 'repeat' is 0, expected a whole number from 1 to 1000")));
  EXPECT_THAT(problems("steps: [{repeat: 2}]"),
              ElementsAre(HasSubstr("repeat: 'steps' is missing")));
  EXPECT_THAT(problems("steps: [{steps: [fold-constants]}]"),
              ElementsAre(HasSubstr("the number of rounds is missing")));
  EXPECT_THAT(problems("steps: [{repeat: 2, max: 3, steps: [fold-constants]}]"),
              ElementsAre(HasSubstr("'max' is without 'until'"),
                          HasSubstr("both a number of rounds and 'max'")));
  EXPECT_THAT(problems("steps: [{repeat: 2, stps: [], steps: [fold-constants]}]"),
              ElementsAre(HasSubstr("repeat: unknown key 'stps'; did you mean 'steps'?")));
}

TEST_F(RecipeReader, CurvesAreForNumbersInsideRepeat) {
  EXPECT_THAT(
      problems("steps: [{prune-magnitude: {sparsity: {from: 0, to: 1}}}]"),
      ElementsAre(
          "r.yaml:1:38: prune-magnitude: 'sparsity' is a curve outside of a 'repeat'; give one "
          "number, or put the step into a repeat"));
  const auto inside = [&](const std::string& options) {
    return problems("steps: [{repeat: 4, steps: [{prune-magnitude: {" + options + "}}]}]");
  };
  EXPECT_THAT(inside("sparsity: {from: 0, to: 0.9, curve: exponential}, bits: {from: 8, to: 4}"),
              IsEmpty());
  EXPECT_THAT(inside("sparsity: {from: 0, to: 1.5}"),
              ElementsAre(HasSubstr("'sparsity' is 1.5, outside 0..1")));
  EXPECT_THAT(inside("sparsity: {from: x, to: 1}"),
              ElementsAre(HasSubstr("'sparsity' is x, expected a number")));
  EXPECT_THAT(inside("sparsity: {from: 0.5}"), ElementsAre(HasSubstr("the curve has no 'to'")));
  EXPECT_THAT(
      inside("sparsity: {from: 0, to: 1, curve: cubc}"),
      ElementsAre(HasSubstr("'curve' is cubc, expected one of linear, cubic, exponential")));
  EXPECT_THAT(inside("granularity: {from: 0, to: 1}"),
              ElementsAre(HasSubstr("'granularity' is a curve, which only a number can be")));
  EXPECT_THAT(inside("levels: {from: [1, 2], to: 9}"), IsEmpty());
  EXPECT_THAT(inside("levels: {from: 1, to: -1}"), ElementsAre(HasSubstr("'levels' is -1")));
  EXPECT_THAT(inside("levels: {from: [1, 2], to: [3, 4, 5]}"),
              ElementsAre(HasSubstr("the curve goes from 2 numbers to 3")));
  EXPECT_THAT(inside("sparsity: {from: [0, 0.1], to: 0.5}"), ElementsAre(HasSubstr("'sparsity'")));
  EXPECT_THAT(inside("bits: {from: 8, to: 2}"),
              ElementsAre(HasSubstr("in the last round: 2 bits cannot be symmetric")));
}

TEST_F(RecipeReader, DataSourcesAreStrict) {
  const auto source = [&](const std::string& text) {
    return problems("data: {calibration: " + text + "}\nsteps: [fold-constants]");
  };
  EXPECT_THAT(source("calib.npz"), IsEmpty());
  EXPECT_THAT(source("{path: calib.npz, limit: 3}"), IsEmpty());
  EXPECT_THAT(source("{random: 16}"), IsEmpty());
  EXPECT_THAT(source("{random: , seed: 3}"), IsEmpty());
  EXPECT_THAT(source("{limit: 3}"),
              ElementsAre(HasSubstr("calibration: no path; one of path, npz")));
  EXPECT_THAT(source("[a]"), ElementsAre(HasSubstr("calibration: expected a path")));
  EXPECT_THAT(source("{npz: calib.npz, npy: calib.npz}"),
              ElementsAre(HasSubstr("'npy' is a second source beside 'npz'")));
  EXPECT_THAT(source("{npz: calib.npz, limt: 3}"),
              ElementsAre(HasSubstr("unknown option 'limt' of npz data; did you mean 'limit'?")));
  EXPECT_THAT(source("{npz: calib.npz, limit: }"), ElementsAre(HasSubstr("'limit' has no value")));
  EXPECT_THAT(source("{idx: {labels: labels.gz}}"),
              ElementsAre(HasSubstr("idx: 'images' is missing")));
  EXPECT_THAT(source("{idx: {images: images.gz, lables: labels.gz}}"),
              ElementsAre(HasSubstr("idx: unknown file 'lables'; did you mean 'labels'?")));
}

TEST_F(RecipeReader, OverridesComeLast) {
  const std::string text = R"(
seed: 1
data: {calibration: calib.npz}
steps:
  - fold-constants
  - quantize-static: {bits: 4}
  - repeat: 3
    steps: [quantize-weights]
)";
  const Recipe recipe =
      parse(text, {"quantize-static.bits=5", "2.symmetric=false", "3.1.bits=3", "3.repeat=9",
                   "quantize-static.skip=[last, \"op:Conv\"]", "2.gate.size=<= 50 %", "seed=9",
                   "constraints.latency=5 ms", "data.calibration.limit=7",
                   "--data evaluation=" + (folder_ / "calib.npz").string(), "--target gpu"});
  EXPECT_EQ(option(recipe.steps[1], "bits"), "5");
  EXPECT_EQ(option(recipe.steps[1], "symmetric"), "false");
  EXPECT_EQ(option(recipe.steps[2].steps[0], "bits"), "3");
  EXPECT_EQ(recipe.steps[2].repeat, 9);
  EXPECT_THAT(recipe.steps[1].skip, ElementsAre("last", "op:Conv"));
  EXPECT_EQ(recipe.steps[1].gate->limits.at(0).text, "<= 50 %");
  EXPECT_EQ(recipe.seed, 9u);
  EXPECT_EQ(recipe.constraints.at(0).quantity, "latency");
  EXPECT_EQ(recipe.data.at("calibration").path, folder_ / "calib.npz");
  EXPECT_EQ(recipe.data.at("calibration").options.at("limit"), "7");
  EXPECT_EQ(recipe.data.at("evaluation").origin, "--data evaluation");
  EXPECT_EQ(recipe.target, TargetKind::kGpu);
}

TEST_F(RecipeReader, OptionsOfDataFromTheCommandLineMayComeFirst) {
  const Recipe recipe =
      parse("steps: [fold-constants]",
            {"data.calibration.limit=7", "--data calibration=" + (folder_ / "calib.npz").string()});
  EXPECT_EQ(recipe.data.at("calibration").options.at("limit"), "7");
}

TEST_F(RecipeReader, WrongOverridesAreNamed) {
  const std::string text = "steps: [quantize-static, fold-constants, fold-constants]";
  const auto with = [&](const std::string& override) { return problems(text, {override}); };
  EXPECT_THAT(
      with("quantize-static.bits=9"),
      ElementsAre("--set quantize-static.bits=9: quantize-static: 'bits' is 9, outside 2..8"));
  EXPECT_THAT(
      with("quantise-static.bits=9"),
      ElementsAre(
          "--set quantise-static.bits=9: the recipe has no step or key 'quantise-static'; did you "
          "mean 'quantize-static'?"));
  EXPECT_THAT(with("4.bits=9"),
              ElementsAre("--set 4.bits=9: there is no step 4; the steps are 1 to 3"));
  EXPECT_THAT(with("fold-constants.bits=9"),
              ElementsAre(HasSubstr("'fold-constants' is the name of 2 steps")));
  EXPECT_THAT(with("bits"), ElementsAre(HasSubstr("--set bits: expected STEP.OPTION=VALUE")));
  EXPECT_THAT(with("1=4"), ElementsAre(HasSubstr("names a step and no option")));
  EXPECT_THAT(with("1.bits=[4"), ::testing::Contains(HasSubstr("--set 1.bits=[4")));
  EXPECT_THAT(with("--data calibration=none.npz"),
              ElementsAre("--data calibration: calibration: no file or folder 'none.npz'"));
  EXPECT_THAT(with("--data calib=none.npz"),
              ElementsAre("--data calib: data: unknown role 'calib'; did you mean 'calibration'?"));
  EXPECT_THAT(with("--metric top9"), ElementsAre(HasSubstr("--metric: recipe: 'metric' is top9")));
}

TEST_F(RecipeReader, WarnsAboutAnUnsoundOrder) {
  EXPECT_THAT(
      problems("steps: [fold-batch-norm, factorize-weights, prune-magnitude, share-weights, "
               "quantize-static, fold-constants, encode-weights]"),
      IsEmpty());
  EXPECT_THAT(
      problems("steps: [prune-magnitude, factorize-weights]"),
      ElementsAre(
          "r.yaml:1:26: warning: factorize-weights (low rank) after prune-magnitude (sparsity) is "
          "an unsound order; move it before prune-magnitude"));
  EXPECT_THAT(problems("steps: [encode-weights, share-weights]"),
              ElementsAre(HasSubstr("warning: share-weights")));
  EXPECT_THAT(problems("steps: [encode-weights, decode-weights, share-weights]"), IsEmpty());
  EXPECT_THAT(problems("steps: [shorten-names, correct-bias]"),
              ElementsAre(HasSubstr("correct-bias (quantization) after shorten-names (naming)")));
  EXPECT_NO_THROW(parse("steps: [prune-magnitude, factorize-weights]"));
  EXPECT_THAT(problems("steps: [{repeat: 2, steps: [prune-magnitude, share-weights]}]"),
              ElementsAre(HasSubstr("warning: prune-magnitude (sparsity) after share-weights")));
}

TEST_F(RecipeReader, FineTuningBelongsAfterWhatItHeals) {
  EXPECT_THAT(problems("steps: [factorize-weights, fine-tune, prune-magnitude, fine-tune, "
                       "share-weights, fine-tune, encode-weights]"),
              IsEmpty());
  EXPECT_THAT(problems("steps: [{repeat: 2, steps: [prune-magnitude, fine-tune]}]"), IsEmpty());
  EXPECT_THAT(problems("steps: [encode-weights, fine-tune]"),
              ElementsAre(HasSubstr("warning: fine-tune")));
  EXPECT_THAT(problems("steps: [quantize-static, fine-tune]"),
              ElementsAre(HasSubstr("changes weights that quantize-static has quantized")));
}

TEST_F(RecipeReader, ChangingQuantizedOrSharedWeightsIsAnError) {
  EXPECT_THAT(
      problems("steps: [quantize-static, share-weights]"),
      ElementsAre(
          "r.yaml:1:26: share-weights: changes weights that quantize-static has quantized; move it "
          "before quantize-static"));
  EXPECT_THAT(
      problems("steps: [share-weights, fold-batch-norm]"),
      ElementsAre(
          "r.yaml:1:24: fold-batch-norm: rescales weights that share-weights has shared; move it "
          "before share-weights"));
  EXPECT_THAT(
      problems("steps: [{quantize-static: {}, only: op:Conv}, {share-weights: {}, skip: op:Conv}]"),
      ElementsAre(HasSubstr("warning: share-weights: changes weights")));
  EXPECT_THROW(parse("steps: [quantize-static, prune-magnitude]"), Error);
}

TEST_F(RecipeReader, StepsTakeTheEffortOfTheRecipe) {
  const Recipe recipe =
      parse("effort: quick\nsteps: [quantize-static, {quantize-weights: {effort: thorough}}]");
  EXPECT_EQ(option(recipe.steps[0], "effort"), "quick");
  EXPECT_EQ(option(recipe.steps[1], "effort"), "thorough");
}

TEST_F(RecipeReader, TheCommandLineIsNotTheRecipesFault) {
  const auto code = [&](const std::string& text, const std::vector<std::string>& overrides) {
    try {
      parse(text, overrides);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kBug;
  };
  EXPECT_EQ(code("steps: [fold-constants]", {"--data calibration=none.npz"}), ErrorCode::kData);
  EXPECT_EQ(code("steps: [fold-constants]", {"1.bits=3"}), ErrorCode::kUsage);
  EXPECT_EQ(code("steps: [fold-constant]", {"--data calibration=none.npz"}), ErrorCode::kRecipe);
}

TEST_F(RecipeReader, FilesAreFoundAndNamed) {
  std::ofstream(folder_ / "mine.yaml")
      << "data: {calibration: calib.npz}\nsteps: [fold-constants]\n";
  const Recipe recipe = read_recipe(folder_ / "mine.yaml", passes_);
  EXPECT_EQ(recipe.name, "mine");
  EXPECT_EQ(recipe.data.at("calibration").path, folder_ / "calib.npz");
  EXPECT_THROW(read_recipe(folder_ / "none.yaml", passes_), Error);
  EXPECT_THROW(read_recipe(folder_, passes_), Error);
  try {
    find_recipe("lossles", passes_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "'lossles': no such file and no such built-in recipe");
    EXPECT_EQ(error.hint(), "did you mean 'lossless'?");
  }
}

}  // namespace
}  // namespace mcompress
