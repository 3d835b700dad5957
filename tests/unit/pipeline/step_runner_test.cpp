// SPDX-License-Identifier: Apache-2.0
#include "pipeline/step_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/ir/ir_test_support.h"

namespace mcompress {
namespace {

using ::testing::ElementsAre;

/// Adds `by` to the one constant, and says of itself what `fidelity` says.
class AddPass final : public Pass {
 public:
  AddPass(std::string name, Fidelity fidelity)
      : name_(std::move(name)),
        info_{.name = name_, .summary = "adds", .fidelity = fidelity} {}
  const PassInfo& info() const override { return info_; }
  void describe(OptionSet& o) override { o.add("by", by_, "how much"); }
  bool run(Model& model, PassContext&) override {
    if (by_ == 0) return lie_;
    const ValueRef w = model.graph().find("w");
    const float now = w.constant()->to_float()[0] + static_cast<float>(by_);
    model.graph().set_constant(w, Tensor::scalar(now));
    if (by_ == 99) throw Unsupported("ninety-nine is too much");
    return by_ != 77;  // 77: lies
  }

 private:
  std::string name_;
  PassInfo info_;
  double by_ = 1;
  bool lie_ = false;
};

/// Trains for an epoch: adds 10.
class TrainPass final : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{.name = "train", .summary = "trains", .fidelity = Fidelity::kTraining};
    return info;
  }
  void describe(OptionSet&) override {}
  bool run(Model& model, PassContext& context) override {
    const ValueRef w = model.graph().find("w");
    model.graph().set_constant(w, Tensor::scalar(w.constant()->to_float()[0] + 10));
    context.trained(TrainingEpoch{}, true);
    return true;
  }
};

/// Is interrupted in the middle of its work.
class InterruptedPass final : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{.name = "interrupt", .summary = "stops", .fidelity = Fidelity::kLossy};
    return info;
  }
  void describe(OptionSet&) override {}
  bool run(Model& model, PassContext&) override {
    model.graph().set_constant(model.graph().find("w"), Tensor::scalar(1000.0F));
    throw Error(ErrorCode::kInterrupted, "interrupted");
  }
};

/// A limit on something that nobody measures.
constexpr const char* kUnmeasured = "-1";

/// The value of the constant is the metric: limits are on it.
class ValueJudge final : public StepJudge {
 public:
  void measure(Model& model, const StepQuestion& question, StepReport& step) override {
    value_ = model.graph().find("w").constant()->to_float()[0];
    if (!question.metric && question.limits.empty()) return;
    ++measured_;
    step.metric = MetricFigure{};
    step.metric->value = value_;
  }
  std::vector<GateVerdict> judge(const std::vector<LimitSpec>& limits, bool) override {
    std::vector<GateVerdict> verdicts;
    for (const auto& limit : limits) {
      GateVerdict verdict;
      verdict.limit = limit.text;
      verdict.measured = value_;
      verdict.holds = value_ <= std::stod(limit.text);
      if (limit.text == kUnmeasured) verdict.action = kLeftOut;
      verdicts.push_back(verdict);
    }
    return verdicts;
  }
  int measured() const { return measured_; }  ///< passes over the data

 private:
  double value_ = 0;
  int measured_ = 0;
};

StepSpec add(const std::string& by, const std::string& pass = "add") {
  StepSpec step;
  step.pass = pass;
  step.options.kind = ConfigValue::Kind::kMap;
  ConfigValue value;
  value.kind = ConfigValue::Kind::kScalar;
  value.scalar = by;
  step.options.map.push_back({"by", {}, value});
  return step;
}

StepSpec gated(StepSpec step, const std::string& limit, OnFail on_fail) {
  step.gate = GateSpec{{{"metric", limit, {}}}, on_fail, false};
  return step;
}

struct Result {
  bool finished = false;
  float value = 0;
  int measured = 0;
  std::vector<StepReport> reports;

  /// "-": no figure.
  std::vector<std::string> metrics() const {
    std::vector<std::string> texts;
    for (const StepReport& report : reports) {
      texts.push_back(report.metric ? std::to_string(std::lround(report.metric->value)) : "-");
    }
    return texts;
  }
};

Result run(const std::vector<StepSpec>& steps) {
  Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float x) => (float y) <float w = {0}> { y = Add(x, w) })");
  PassRegistry passes;
  for (const auto& [name, fidelity] : {std::pair("add", Fidelity::kLossy),
                                       std::pair("round", Fidelity::kRounding),
                                       std::pair("same", Fidelity::kExact)}) {
    passes.add(name, [name = std::string(name), fidelity = fidelity] {
      return std::make_unique<AddPass>(name, fidelity);
    });
  }
  passes.add("train", [] { return std::make_unique<TrainPass>(); });
  passes.add("interrupt", [] { return std::make_unique<InterruptedPass>(); });
  PassContext context({});
  PassManager manager(passes, context);
  ValueJudge judge;
  StepRunner runner(manager, context, judge);
  runner.starts_at(MetricFigure{});
  Result result;
  result.finished = runner.run(model, steps, result.reports);
  result.value = model.graph().find("w").constant()->to_float()[0];
  result.measured = judge.measured();
  return result;
}

TEST(StepRunner, ExactStepsCarryTheMetricOn) {
  const Result result = run({add("1", "same"), add("2"), add("0", "same"), add("1", "same")});
  EXPECT_THAT(result.metrics(), ElementsAre("0", "3", "-", "3"));
  EXPECT_EQ(result.measured, 1);
}

TEST(StepRunner, TheLastOfTheStepsThatOnlyRoundIsJudged) {
  const Result result =
      run({add("1", "round"), add("1", "round"), add("0", "round"), add("1"), add("1", "round")});
  EXPECT_THAT(result.metrics(), ElementsAre("-", "-", "2", "3", "4"));
  EXPECT_EQ(result.measured, 3);
}

TEST(StepRunner, ARollBackBringsTheMetricBack) {
  const Result result =
      run({add("1"), gated(add("5"), "3", OnFail::kRollBack), add("1", "same")});
  EXPECT_THAT(result.metrics(), ElementsAre("1", "6", "1"));
  StepSpec rounds;
  rounds.repeat = 2;
  rounds.steps = {add("2")};
  rounds.gate = GateSpec{{{"metric", "3", {}}}, OnFail::kRollBack, false};
  const Result repeated = run({rounds, add("1", "same")});
  EXPECT_EQ(repeated.metrics().back(), "2");
  EXPECT_EQ(repeated.value, 3);
}

TEST(StepRunner, AnInterruptBehindATrainingLeavesWhatWasLearned) {
  StepSpec train, interrupt;
  train.pass = "train";
  interrupt.pass = "interrupt";
  const Result result = run({add("1"), train, interrupt, add("5")});
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.value, 11);
  EXPECT_EQ(result.reports.size(), 2u);
  EXPECT_THROW(run({add("1"), interrupt}), Error);
  // What a gate took back is nothing that was learned.
  EXPECT_THROW(run({gated(train, "3", OnFail::kRollBack), interrupt}), Error);
}

TEST(StepRunner, RunsStepsInOrder) {
  const Result result = run({add("1"), add("2")});
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.value, 3);
  ASSERT_EQ(result.reports.size(), 2u);
  EXPECT_EQ(result.reports[1].label, "2: add");
  EXPECT_EQ(result.reports[1].options, "by: 2");
}

TEST(StepRunner, AFailedGateStopsAndKeepsTheBestSoFar) {
  const Result result = run({add("1"), gated(add("5"), "3", OnFail::kStop), add("1")});
  EXPECT_FALSE(result.finished);
  EXPECT_EQ(result.value, 1);
  ASSERT_EQ(result.reports.size(), 2u);
  EXPECT_TRUE(result.reports[1].rolled_back);
  EXPECT_EQ(result.reports[1].gates[0].action, "stopped");
}

TEST(StepRunner, AStepThatIsRolledBackIsLeftOut) {
  const Result result = run({gated(add("5"), "3", OnFail::kRollBack), add("1")});
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.value, 1);
  EXPECT_EQ(result.reports[0].gates[0].action, "rolled back");
}

TEST(StepRunner, AStepThatNothingJudgesIsLeftOut) {
  const Result result = run({gated(add("5"), kUnmeasured, OnFail::kRollBack), add("1")});
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.value, 1);
  EXPECT_EQ(result.reports[0].gates[0].action, "left out");
  const Result stopped = run({gated(add("5"), kUnmeasured, OnFail::kStop)});
  EXPECT_EQ(stopped.reports[0].gates[0].action, "stopped");
  const Result warned = run({gated(add("5"), kUnmeasured, OnFail::kWarn)});
  EXPECT_EQ(warned.reports[0].gates[0].action, "warned");
}

TEST(StepRunner, AWarningGoesOn) {
  const Result result = run({gated(add("5"), "3", OnFail::kWarn), add("1")});
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.value, 6);
  EXPECT_EQ(result.reports[0].gates[0].action, "warned");
}

TEST(StepRunner, RepeatEndsWithTheLastGoodRound) {
  StepSpec loop;
  loop.repeat = 5;
  loop.steps = {gated(add("2"), "5", OnFail::kRollBack)};
  const Result result = run({loop, add("1")});
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.value, 5);  // two rounds of 2, the third rolled back, then 1
}

TEST(StepRunner, UntilEndsARepeat) {
  StepSpec loop;
  loop.repeat = 10;
  loop.steps = {add("1")};
  loop.until = {{"metric", "3", {}}};
  const Result result = run({loop});
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.value, 3);
}

TEST(StepRunner, CurvesChangeOverTheRounds) {
  StepSpec loop;
  loop.repeat = 3;
  StepSpec step = add("0");
  ConfigValue curve;
  curve.kind = ConfigValue::Kind::kMap;
  for (const auto& [key, text] :
       {std::pair{"from", "1"}, std::pair{"to", "3"}, std::pair{"curve", "linear"}}) {
    ConfigValue value;
    value.kind = ConfigValue::Kind::kScalar;
    value.scalar = text;
    curve.map.push_back({key, {}, value});
  }
  step.options.map[0].value = curve;
  loop.steps = {step};
  EXPECT_EQ(run({loop}).value, 1 + 2 + 3);
}

TEST(StepRunner, ALieIsABug) {
  try {
    run({add("77")});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBug);
  }
}

TEST(StepRunner, AStepThatCannotBeDoneIsLeftOutWithAWarning) {
  const Result result = run({add("99"), add("1")});
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.value, 1);
  EXPECT_THAT(result.reports[0].warnings, ElementsAre(::testing::HasSubstr("ninety-nine")));
}

}  // namespace
}  // namespace mcompress
