// SPDX-License-Identifier: Apache-2.0
#include "mcompress/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcompress/error.h"

namespace mcompress {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

enum class Scope { kLocal, kGlobal };

struct Options {
  bool symmetric = true;
  int bits = 8;
  int64_t seed = 5;
  double sparsity = 0.5;
  std::string suffix = "q";
  std::string table;
  std::vector<std::string> ops = {"Conv", "Gemm"};
  std::vector<double> mean = {0.5};
  std::optional<double> rank;
  std::optional<double> budget;
  Scope scope = Scope::kGlobal;
  OptionSet set;

  Options() {
    set.add("symmetric", symmetric, "Zero point is zero");
    set.add("bits", bits, "Width").range(2, 8);
    set.add("seed", seed, "Seed").at_least(0);
    set.add("sparsity", sparsity, "Share of zeros").range(0, 1);
    set.add("suffix", suffix, "Suffix");
    set.add_file("table", table, "Table");
    set.add("ops", ops, "Operators");
    set.add("mean", mean, "Mean").greater_than(0);
    set.add("rank", rank, "Rank", {"auto"}).at_least(1);
    set.add("budget", budget, "Budget");
    set.add("scope", scope, {{"local", Scope::kLocal}, {"global", Scope::kGlobal}}, "Scope");
  }
};

ConfigValue scalar(std::string text, bool quoted = false) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kScalar;
  value.scalar = std::move(text);
  value.quoted = quoted;
  value.where = {"r.yaml", 3, 7};
  return value;
}

ConfigValue list(std::vector<ConfigValue> items) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kList;
  value.list = std::move(items);
  value.where = {"r.yaml", 3, 7};
  return value;
}

ConfigValue map(std::vector<std::pair<std::string, ConfigValue>> entries) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kMap;
  for (auto& [key, entry] : entries) value.map.push_back({key, {"r.yaml", 3, 1}, std::move(entry)});
  return value;
}

std::vector<std::string> bind(Options& options, const ConfigValue& values) {
  std::vector<Diagnostic> problems;
  options.set.bind(values, "prune", problems);
  std::vector<std::string> lines;
  for (const Diagnostic& problem : problems) lines.push_back(problem.str());
  return lines;
}

std::vector<std::string> bind_one(const std::string& name, ConfigValue value) {
  Options options;
  return bind(options, map({{name, std::move(value)}}));
}

TEST(OptionSet, SetsEveryType) {
  Options options;
  EXPECT_THAT(bind(options, map({{"symmetric", scalar("off")},
                                 {"bits", scalar("4")},
                                 {"seed", scalar("9007199254740993")},
                                 {"sparsity", scalar("1e-1")},
                                 {"suffix", scalar("12")},
                                 {"table", scalar("/t.csv")},
                                 {"ops", list({scalar("MatMul")})},
                                 {"mean", list({scalar("0.25"), scalar("1")})},
                                 {"rank", scalar("16")},
                                 {"budget", scalar("2.5")},
                                 {"scope", scalar("local")}})),
              IsEmpty());
  EXPECT_FALSE(options.symmetric);
  EXPECT_EQ(options.bits, 4);
  EXPECT_EQ(options.seed, 9007199254740993);
  EXPECT_EQ(options.sparsity, 0.1);
  EXPECT_EQ(options.suffix, "12");
  EXPECT_EQ(options.table, "/t.csv");
  EXPECT_THAT(options.ops, ElementsAre("MatMul"));
  EXPECT_THAT(options.mean, ElementsAre(0.25, 1));
  EXPECT_EQ(options.rank, 16);
  EXPECT_EQ(options.budget, 2.5);
  EXPECT_EQ(options.scope, Scope::kLocal);
}

TEST(OptionSet, NoValuesLeaveTheDefaults) {
  Options options;
  EXPECT_THAT(bind(options, ConfigValue()), IsEmpty());
  EXPECT_EQ(options.bits, 8);
}

TEST(OptionSet, AWordOrNothingLeavesAnOptionalAbsent) {
  Options options;
  options.rank = 3;
  options.budget = 3;
  EXPECT_THAT(bind(options, map({{"rank", scalar("auto")}, {"budget", ConfigValue()}})), IsEmpty());
  EXPECT_FALSE(options.rank);
  EXPECT_FALSE(options.budget);
}

TEST(OptionSet, ALoneValueIsAListOfOne) {
  Options options;
  EXPECT_THAT(bind(options, map({{"ops", scalar("Gemm")}, {"mean", scalar("2")}})), IsEmpty());
  EXPECT_THAT(options.ops, ElementsAre("Gemm"));
  EXPECT_THAT(options.mean, ElementsAre(2));
}

TEST(OptionSet, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(bind_one("bits", scalar("9")),
              ElementsAre("r.yaml:3:7: prune: 'bits' is 9, outside 2..8"));
  EXPECT_THAT(bind_one("bits", scalar("4.5")),
              ElementsAre("r.yaml:3:7: prune: 'bits' is 4.5, expected a whole number"));
  EXPECT_THAT(bind_one("bits", scalar("4", true)),
              ElementsAre("r.yaml:3:7: prune: 'bits' is the text \"4\", expected a whole number"));
  EXPECT_THAT(bind_one("seed", scalar("-1")),
              ElementsAre("r.yaml:3:7: prune: 'seed' is -1, expected at least 0"));
  EXPECT_THAT(bind_one("sparsity", scalar("1.5")),
              ElementsAre("r.yaml:3:7: prune: 'sparsity' is 1.5, outside 0..1"));
  EXPECT_THAT(bind_one("sparsity", scalar("nan")),
              ElementsAre("r.yaml:3:7: prune: 'sparsity' is nan, expected a number"));
  EXPECT_THAT(bind_one("sparsity", map({})),
              ElementsAre("prune: 'sparsity' is a map, expected a number"));
  EXPECT_THAT(bind_one("symmetric", scalar("maybe")),
              ElementsAre("r.yaml:3:7: prune: 'symmetric' is maybe, expected true or false"));
  EXPECT_THAT(bind_one("suffix", list({})),
              ElementsAre("r.yaml:3:7: prune: 'suffix' is a list, expected text"));
  EXPECT_THAT(bind_one("mean", list({scalar("0")})),
              ElementsAre("r.yaml:3:7: prune: 'mean' is 0, expected more than 0"));
  EXPECT_THAT(bind_one("mean", list({scalar("x")})),
              ElementsAre("r.yaml:3:7: prune: 'mean' is x, expected a list of numbers"));
  EXPECT_THAT(bind_one("rank", scalar("best")),
              ElementsAre("r.yaml:3:7: prune: 'rank' is best, expected a number or auto"));
  EXPECT_THAT(bind_one("rank", scalar("0")),
              ElementsAre("r.yaml:3:7: prune: 'rank' is 0, expected at least 1"));
  EXPECT_THAT(bind_one("bits", ConfigValue()),
              ElementsAre("prune: 'bits' is empty, expected a whole number"));
}

TEST(OptionSet, NamesTheNearestChoice) {
  EXPECT_THAT(bind_one("scope", scalar("globl")),
              ElementsAre("r.yaml:3:7: prune: 'scope' is globl, expected one of local, global; "
                          "did you mean 'global'?"));
  EXPECT_THAT(bind_one("bist", scalar("4")),
              ElementsAre("r.yaml:3:1: prune: unknown option 'bist'; did you mean 'bits'?"));
}

TEST(OptionSet, ReportsAllProblemsAtOnceAndSetsTheRest) {
  Options options;
  EXPECT_EQ(
      bind(options,
           map({{"bits", scalar("9")}, {"nonsense", scalar("1")}, {"sparsity", scalar("0.9")}}))
          .size(),
      2u);
  EXPECT_EQ(options.sparsity, 0.9);
}

TEST(OptionSet, OptionsMustBeAMap) {
  Options options;
  EXPECT_THAT(
      bind(options, scalar("9")),
      ElementsAre(
          "r.yaml:3:7: prune: options are 9, expected a map; write prune: {option: value}"));
}

TEST(OptionSet, EffectiveReadsBackTheSame) {
  Options first;
  ASSERT_THAT(bind(first, map({{"bits", scalar("3")},
                               {"sparsity", scalar("0.1")},
                               {"scope", scalar("local")},
                               {"mean", list({scalar("1e-9")})}})),
              IsEmpty());
  Options second;
  ASSERT_THAT(bind(second, first.set.effective()), IsEmpty());
  EXPECT_EQ(second.bits, 3);
  EXPECT_EQ(second.sparsity, 0.1);
  EXPECT_EQ(second.scope, Scope::kLocal);
  EXPECT_THAT(second.mean, ElementsAre(1e-9));
  EXPECT_EQ(second.set.effective().find("rank")->scalar, "auto");
  EXPECT_EQ(second.set.effective().find("budget"), nullptr);
}

TEST(OptionSet, InfosTellDefaultsAndLimits) {
  Options options;
  const std::vector<OptionInfo>& infos = options.set.infos();
  ASSERT_EQ(infos.size(), 11u);
  EXPECT_EQ(infos[0].default_text, "true");
  EXPECT_EQ(infos[1].default_text, "8");
  EXPECT_EQ(infos[1].minimum, 2);
  EXPECT_EQ(infos[1].maximum, 8);
  EXPECT_EQ(infos[6].default_text, "[Conv, Gemm]");
  EXPECT_EQ(infos[8].default_text, "auto");
  EXPECT_EQ(infos[9].default_text, "");
  EXPECT_EQ(infos[10].default_text, "global");
  EXPECT_THAT(infos[10].choices, ElementsAre("local", "global"));
}

TEST(OptionSet, DeclaringTwiceIsABug) {
  Options options;
  bool member = false;
  EXPECT_THROW(options.set.add("bits", member, "again"), Error);
}

}  // namespace
}  // namespace mcompress
