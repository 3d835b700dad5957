// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "mcompress/interrupt.h"
#include "mcompress/metric.h"
#include "support/interrupt.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/pass_test.h"
#include "tests/support/training_data.h"

namespace mcompress::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Two layers, two classes.
Model small_model() {
  return parse_model(R"(
    g (float[N,2] x) => (float[N,2] y)
    <float[2,3] a = {1, -1, 0.5, 0.25, 1, -0.5}, float[3] b = {0.1, 0, -0.1},
     float[3,2] w = {0.5, 0, 0, 0.5, 0.25, -0.25}> {
      m = MatMul(x, a)
      s = Add(m, b)
      h = Relu(s)
      y = MatMul(h, w)
    })");
}

/// Of a training whose last epoch is kept.
TrainingResult trained(std::vector<TrainingEpoch> epochs) {
  TrainingResult result;
  result.best_epoch = static_cast<int>(epochs.size());
  result.epochs = std::move(epochs);
  return result;
}

class FineTune : public testing::Test {
 protected:
  void set_data(bool labels) { services_.training_data = two_classes(40, labels); }
  PassContext context() {
    if (!services_.runtime) services_.runtime = runtime();
    services_.input_model = &input_;
    services_.open_trainer = [this] { return trainer_; };
    return PassContext(services_);
  }
  Outcome run(const Options& options = {}) {
    PassContext used = context();
    return run(options, used);
  }
  Outcome run(const Options& options, PassContext& used) {
    return run_pass("fine-tune", model_, options, &used);
  }
  Error error_of(const Options& options) {
    try {
      run(options);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return {ErrorCode::kBug, ""};
  }
  std::string save(const std::string& name, std::string_view text) {
    const auto path = std::filesystem::path(testing::TempDir()) / name;
    parse_model(text).save(path, {.overwrite = true});
    return path.string();
  }

  std::shared_ptr<FakeTrainer> trainer_ =
      std::make_shared<FakeTrainer>(std::vector<std::string>{"a", "b", "w"});
  Model input_ = small_model();
  Model model_ = small_model();
  PassContext::Services services_;
  const TrainingTask& task_ = trainer_->task_;
};

TEST_F(FineTune, OptionsAreTheTask) {
  set_data(true);
  services_.seed = 7;
  services_.threads = 2;
  const Outcome outcome = run({{"epochs", "3"},
                               {"batch", "10"},
                               {"optimizer", "sgd"},
                               {"learning-rate", "0.5"},
                               {"schedule", "step"},
                               {"shift", "2"},
                               {"augment-share", "0.5"},
                               {"label-smoothing", "0.1"},
                               {"loss", "cross-entropy"},
                               {"batch-norm", "update"},
                               {"patience", "2"}});
  EXPECT_FALSE(outcome.changed);
  EXPECT_THAT(task_.parameters, IsEmpty()) << "all that can be trained";
  EXPECT_EQ(task_.epochs, 3);
  EXPECT_EQ(task_.batch, 10U);
  EXPECT_EQ(task_.optimizer.kind, OptimizerKind::kSgd);
  EXPECT_EQ(task_.optimizer.learning_rate, 0.5);
  EXPECT_EQ(task_.rate.schedule, RateSchedule::kStep);
  EXPECT_EQ(task_.augment.shift, 2);
  EXPECT_EQ(task_.augment.share, 0.5);
  EXPECT_EQ(task_.loss.label_smoothing, 0.1);
  EXPECT_TRUE(task_.update_batch_norm);
  EXPECT_EQ(task_.patience, 2);
  EXPECT_EQ(task_.seed, 7U);
  EXPECT_EQ(task_.threads, 2);
  EXPECT_FALSE(task_.prune);
  EXPECT_FALSE(task_.judge) << "nothing to judge by";
}

TEST_F(FineTune, TrainsWhatSelectionAndFreezeLeave) {
  set_data(true);
  run({{"freeze", "b"}});
  EXPECT_THAT(task_.parameters, ElementsAre("a", "w"));
  PassContext used = context();
  StepSpec step;
  for (const bool only : {true, false}) {
    // `only` leaves constants of no layer alone, `skip` trains them.
    auto fresh = context();
    fresh.set_selection(only ? LayerSelection({"last"}, {}) : LayerSelection({}, {"last"}));
    auto pass = builtin_passes().create("fine-tune");
    pass->run(model_, fresh);
    if (only) {
      EXPECT_THAT(task_.parameters, ElementsAre("w"));
    } else {
      EXPECT_THAT(task_.parameters, ElementsAre("a", "b"));
    }
  }
  EXPECT_THAT(error_of({{"freeze", "*"}}).message(), HasSubstr("nothing is left to train"));
}

TEST_F(FineTune, PrunesTheLayersWhileItTrains) {
  set_data(true);
  run({{"prune-sparsity", "0.9"}, {"prune-curve", "linear"}, {"prune-regrow", "0.25"}});
  ASSERT_TRUE(task_.prune);
  EXPECT_THAT(task_.prune->weights, ElementsAre("a", "w"));
  EXPECT_EQ(task_.prune->to, 0.9);
  EXPECT_EQ(task_.prune->curve, GradualPruning::Curve::kLinear);
  EXPECT_EQ(task_.prune->regrow, 0.25);
  EXPECT_THAT(task_.prune->per_weight, IsEmpty());
  EXPECT_EQ(model_.state().constraints.count("a"), 1U) << "later steps keep the zeros";
}

TEST_F(FineTune, TellsSparsitiesThatAreNotOneForEachLayer) {
  set_data(true);
  trainer_->check_.parameters = {"a", "w"};
  const Error error = error_of({{"prune-sparsity", "0.9"}, {"freeze", "a"}, {"features", "s=s"}});
  EXPECT_EQ(error.code(), ErrorCode::kRecipe);
}

TEST_F(FineTune, TheInputModelTeaches) {
  set_data(false);
  model_.graph().set_constant(model_.graph().find("w"), Tensor(DataType::kFloat, Shape{3, 2}));
  run({{"teacher", "input"}, {"features", "h=s"}, {"temperature", "2"}});
  ASSERT_EQ(task_.distill.teachers.size(), 1U);
  EXPECT_EQ(task_.distill.temperature, 2);
  EXPECT_EQ(task_.distill.features.at(0).student, "h");
  const Feeds batch = task_.data->feeds(0, 5);
  const auto answer = task_.distill.teachers[0].run(batch);
  ASSERT_EQ(answer.size(), 2U) << "output and feature";
  const auto expected = runtime()->open(input_)->run(batch);
  EXPECT_EQ(answer[0], expected[0]);
  EXPECT_EQ(answer[1].shape(), (Shape{5, 3}));
}

TEST_F(FineTune, ATeacherReadsAndAnswersTheSame) {
  set_data(true);
  const std::string other_name = save("other_name.onnx", R"(
    g (float[N,2] input) => (float[N,2] score) <float[2,2] w = {1,2,3,4}> {
      score = MatMul(input, w) })");
  run({{"teacher", other_name}});
  EXPECT_EQ(task_.distill.teachers.at(0).run(task_.data->feeds(0, 3))[0].shape(), (Shape{3, 2}));

  const std::string more_classes = save("more_classes.onnx", R"(
    g (float[N,2] x) => (float[N,3] y) <float[2,3] w = {1,2,3,4,5,6}> { y = MatMul(x, w) })");
  EXPECT_THAT(error_of({{"teacher", more_classes}}).message(),
              HasSubstr("answers one sample with [1, 3], the model that is trained with [1, 2]"));
  const std::string wider = save("wider.onnx", R"(
    g (float[N,3] x) => (float[N,2] y) <float[3,2] w = {1,2,3,4,5,6}> { y = MatMul(x, w) })");
  EXPECT_THAT(error_of({{"teacher", wider}}).message(), HasSubstr("the data has float[1, 2]"));
  EXPECT_THAT(error_of({{"teacher", other_name}, {"features", "h=nowhere"}}).message(),
              HasSubstr("has no value 'nowhere'"));
  EXPECT_THAT(error_of({{"teacher", "input"}, {"features", "nowhere=h"}}).message(),
              HasSubstr("the model has no value 'nowhere'"));
  EXPECT_EQ(error_of({{"teacher", "missing.onnx"}}).code(), ErrorCode::kModel);
}

TEST_F(FineTune, TheEvaluatorJudges) {
  set_data(true);
  services_.runtime = runtime();
  services_.evaluator =
      make_evaluator(runtime(), two_classes(40, true), input_, {.metric = "top1"});
  trainer_->on_train_ = [](Model& model, const TrainingTask& task) {
    TrainingResult result;
    const double score = task.judge(model);
    result.epochs = {{0.5, 0.6, score, 0.001, 1}, {0.4, 0.7, score / 2, 0.0005, 1}};
    result.best_epoch = 1;
    result.parameters = 15;
    return result;
  };
  PassContext used = context();
  const Outcome outcome = run({}, used);
  ASSERT_EQ(used.epochs().size(), 2U);
  ASSERT_TRUE(task_.validation);
  EXPECT_EQ(task_.validation->size(), 40U) << "what the evaluator judges by";
  EXPECT_EQ(used.epochs()[0].figures.score, services_.evaluator->baseline().value.value);
  EXPECT_TRUE(used.epochs()[0].best);
  EXPECT_FALSE(used.epochs()[1].best);
  EXPECT_EQ(outcome.counters.at("epochs"), 2);
  EXPECT_EQ(outcome.counters.at("trained numbers"), 15);
}

TEST_F(FineTune, WhereLessIsBetterTheJudgeTurnsItAround) {
  set_data(true);
  services_.runtime = runtime();
  services_.evaluator = make_evaluator(runtime(), two_classes(40, true), input_, {.metric = "mse"});
  double score = 1;
  trainer_->on_train_ = [&](Model& model, const TrainingTask& task) {
    model.graph().set_constant(model.graph().find("w"), Tensor(DataType::kFloat, Shape{3, 2}));
    score = task.judge(model);
    TrainingResult result;
    result.epochs = {{0.5, 0.6, score, 0.001, 1}};
    return result;
  };
  PassContext used = context();
  run({}, used);
  EXPECT_LT(score, 0);
  EXPECT_EQ(used.epochs()[0].figures.score, -score) << "the report has it in its own unit";
}

TEST_F(FineTune, WhatPruningHasCostIsTold) {
  set_data(true);
  services_.evaluator =
      make_evaluator(runtime(), two_classes(40, true), input_, {.metric = "top1"});
  double best = 0.85;
  trainer_->on_train_ = [&](Model&, const TrainingTask&) {
    TrainingResult result = trained({{0.5, 0.6, best, 0.001, 1}});
    result.start_score = 0.9;
    result.best_score = best;
    return result;
  };
  EXPECT_THAT(run({{"prune-sparsity", "0.9"}}).warnings, IsEmpty());
  best = 0.25;
  EXPECT_THAT(run({{"prune-sparsity", "0.9"}}).warnings,
              ElementsAre(AllOf(HasSubstr("top1 fell from 90.0 % to 25.0 %"),
                                HasSubstr("a lower learning-rate"))));
}

TEST_F(FineTune, ALossThatRoseIsToldWhereNothingJudges) {
  set_data(true);
  trainer_->on_train_ = [&](Model&, const TrainingTask&) {
    return trained({{0.5, {}, {}, 0.001, 1}, {1.5, {}, {}, 0.001, 1}});
  };
  EXPECT_THAT(run().warnings,
              testing::Contains(HasSubstr("the loss rose from 0.5 in the first epoch to 1.5")));
}

TEST_F(FineTune, EachStepAndRoundHasACheckpointOfItsOwn) {
  set_data(true);
  PassContext used = context();
  const std::string file = testing::TempDir() + "/saved.ckpt";
  for (const char* name : {"/saved.ckpt", "/saved-2.ckpt", "/saved-3.ckpt"}) {
    run({{"checkpoint", file}}, used);
    EXPECT_EQ(task_.checkpoint, testing::TempDir() + name);
  }
  run({}, used);
  EXPECT_TRUE(task_.checkpoint.empty());
}

TEST_F(FineTune, WhereItWentOnIsNoted) {
  set_data(true);
  trainer_->on_train_ = [](Model&, const TrainingTask&) {
    TrainingResult result = trained({});
    result.resumed = "after epoch 2, step 10 of 50";
    return result;
  };
  PassContext used = context();
  run({}, used);
  EXPECT_THAT(used.notes(),
              ElementsAre("training went on from its checkpoint, after epoch 2, step 10 of 50"));
}

TEST_F(FineTune, AnInterruptKeepsTheBestSoFar) {
  set_data(true);
  trainer_->on_train_ = [](Model& model, const TrainingTask& task) -> TrainingResult {
    TrainingProgress progress;
    progress.epoch = 1;
    task.progress(progress);
    model.graph().set_constant(model.graph().find("b"),
                               Tensor::from({3}, std::vector<float>{1, 2, 3}));
    EXPECT_TRUE(support::ends_by_itself());
    request_interrupt();
    EXPECT_THROW(task.progress(progress), Error) << "goes on after an interrupt";
    TrainingResult result = trained({{0.5, {}, {}, 0.001, 1}});
    result.interrupted = true;
    return result;
  };
  PassContext used = context();
  const Outcome outcome = run({}, used);
  EXPECT_EQ(used.epochs().size(), 1U) << "what there was is in the report";
  EXPECT_TRUE(outcome.changed);
  EXPECT_TRUE(used.finishes_early());
  EXPECT_FALSE(interrupt_requested()) << "the rest of the run needs the runtime";
  EXPECT_FALSE(support::ends_by_itself());
  EXPECT_THAT(outcome.warnings, testing::Contains(HasSubstr("the best so far is kept")));
}

TEST_F(FineTune, SaysWhatItMissesOrLeavesTheStepOut) {
  EXPECT_EQ(error_of({}).code(), ErrorCode::kData);
  EXPECT_THAT(run({{"missing-data", "skip"}}).warnings, ElementsAre(HasSubstr("no training data")));
  set_data(true);
  PassContext::Services services = services_;
  services.open_trainer = {};
  services.runtime = runtime();
  PassContext without_trainer(services);
  EXPECT_THROW(run({}, without_trainer), Error);
  EXPECT_THAT(run({{"missing-data", "skip"}}, without_trainer).warnings,
              ElementsAre(HasSubstr("left out: ")));
}

TEST_F(FineTune, NeedsLabelsOrATeacher) {
  set_data(false);
  EXPECT_EQ(error_of({}).code(), ErrorCode::kData);
  EXPECT_EQ(error_of({{"teacher", "self"}}).code(), ErrorCode::kData);
  EXPECT_NO_THROW(run({{"teacher", "input"}}));
  const Error nothing = error_of({{"teacher", "input"}, {"soft-weight", "0"}});
  EXPECT_EQ(nothing.code(), ErrorCode::kData);
  EXPECT_THAT(nothing.message(), HasSubstr("soft-weight: 0 leaves the teacher out"));
}

TEST_F(FineTune, NamesWhatCannotBeTrained) {
  set_data(true);
  trainer_->check_.obstacles = {"NonMaxSuppression_7: no gradient"};
  EXPECT_THAT(error_of({}).message(), HasSubstr("NonMaxSuppression_7: no gradient"));
  trainer_->check_ = {};
  EXPECT_THAT(error_of({}).message(), HasSubstr("nothing to train"));
}

TEST_F(FineTune, TheFrozenPrefixRunsInTheRuntime) {
  set_data(true);
  trainer_->check_.fed = {"h"};
  trainer_->check_.has_prefix = true;
  trainer_->check_.parameters = {"w"};
  run();
  ASSERT_TRUE(task_.prefix);
  const Feeds fed = task_.prefix(task_.data->feeds(0, 4));
  ASSERT_EQ(fed.size(), 1U);
  EXPECT_EQ(fed[0].name, "h");
  EXPECT_EQ(fed[0].tensor.shape(), (Shape{4, 3}));
}

TEST_F(FineTune, RefusesOptionsThatContradictEachOther) {
  const auto complaint = [](const Options& options) {
    Model model = small_model();
    try {
      run_pass("fine-tune", model, options);
    } catch (const Error& error) {
      return error.code() == ErrorCode::kRecipe ? error.message() : "";
    }
    return std::string();
  };
  EXPECT_THAT(complaint({{"teacher", "input"}, {"teachers", "a.onnx"}}), HasSubstr("both given"));
  EXPECT_THAT(complaint({{"teacher-weights", "1"}}), HasSubstr("1 entries, teachers 0"));
  EXPECT_THAT(complaint({{"features", "h"}, {"teacher", "input"}}), HasSubstr("STUDENT=TEACHER"));
  EXPECT_THAT(complaint({{"features", "h=h"}}), HasSubstr("need a teacher"));
  EXPECT_THAT(complaint({{"freeze", "op:Conv"}}), HasSubstr("names no constant"));
  EXPECT_THAT(complaint({{"soft-weight", "0.7"}}), HasSubstr("soft-weight 0.7 needs a teacher"));
  EXPECT_THAT(complaint({{"prune-from", "0.3"}}), HasSubstr("needs prune-sparsity"));
  EXPECT_THAT(complaint({{"prune-from", "0.8"}, {"prune-sparsity", "0.5"}}),
              HasSubstr("prune-from 0.8 is above prune-sparsity 0.5"));
  EXPECT_THAT(complaint({{"prune-sparsity", "1"}}), HasSubstr("leaves nothing of a layer"));
}

}  // namespace
}  // namespace mcompress::test
