// SPDX-License-Identifier: Apache-2.0
// Training as a whole on models whose best weights are known.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <utility>

#include "mcompress/error.h"
#include "mcompress/trainer.h"
#include "support/temporary_files.h"
#include "tests/support/model_text.h"
#include "train/make_trainer.h"

namespace mcompress::train {
namespace {

using test::parse_model;

/// Samples x with what f makes of them; stacked, or one by one.
class MadeData final : public Dataset {
 public:
  using Function = std::function<std::vector<float>(const std::vector<float>&)>;
  MadeData(size_t count, int64_t width, const Function& f, bool batchable = true)
      : count_(count), width_(width), batchable_(batchable) {
    for (size_t i = 0; i < count; ++i) {
      std::vector<float> x;
      for (int64_t k = 0; k < width; ++k) {
        x.push_back(
            static_cast<float>((i * 7919 + static_cast<size_t>(k) * 104729) % 199) / 100.0F - 1);
      }
      const auto y = f(x);
      depth_ = static_cast<int64_t>(y.size());
      x_.insert(x_.end(), x.begin(), x.end());
      y_.insert(y_.end(), y.begin(), y.end());
    }
  }
  size_t size() const override { return count_; }
  Feeds feeds(size_t first, size_t count) const override {
    return {{"x", part(x_, width_, first, count)}};
  }
  bool batchable() const override { return batchable_; }
  std::optional<Tensor> labels(size_t first, size_t count) const override {
    return part(y_, depth_, first, count);
  }
  bool has_labels() const override { return true; }
  std::string description() const override { return "made data"; }
  std::string fingerprint() const override { return "made"; }

 private:
  static Tensor part(const std::vector<float>& all, int64_t width, size_t first, size_t count) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first) * width;
    const std::vector<float> values(begin, begin + static_cast<std::ptrdiff_t>(count) * width);
    return Tensor::from(Shape{static_cast<int64_t>(count), width}, values);
  }
  size_t count_;
  int64_t width_, depth_ = 1;
  bool batchable_;
  std::vector<float> x_, y_;
};

std::vector<float> line(const std::vector<float>& x) { return {2 * x[0] - 3 * x[1] + 0.5F, x[0]}; }

Model linear(const std::string& weight = "0.1, 0.2, 0.3, 0.4") {
  return parse_model("test (float[n,2] x) => (float[n,2] y) <float[2,2] w = {" + weight +
                     "}, float[2] b = {0, 0}> { m = MatMul(x, w)  y = Add(m, b) }");
}

/// 2 inputs, 16 hidden units, 1 output.
Model network() {
  std::string w1, w2;
  for (int i = 0; i < 32; ++i) w1 += (i ? ", " : "") + std::to_string(std::sin(i * 12.9) * 0.7);
  for (int i = 0; i < 32; ++i) w2 += (i ? ", " : "") + std::to_string(std::cos(i * 7.3) * 0.4);
  return parse_model("test (float[n,2] x) => (float[n,2] y) <float[2,16] w1 = {" + w1 +
                     "}, float[16,2] w2 = {" + w2 +
                     "}> { h = MatMul(x, w1)  a = Relu(h)  d = Dropout(a)  y = MatMul(d, w2) }");
}

TrainingTask task_for(const std::shared_ptr<const Dataset>& data, double epochs) {
  TrainingTask task;
  task.data = data;
  task.epochs = epochs;
  task.batch = 32;
  task.loss.kind = LossKind::kMeanSquare;
  task.optimizer.learning_rate = 0.05;
  task.seed = 7;
  return task;
}

std::shared_ptr<const Dataset> lines(size_t count = 256, bool batchable = true) {
  return std::make_shared<MadeData>(count, 2, line, batchable);
}

std::vector<float> values(const Model& model, const std::string& name) {
  return model.graph().find(name).constant()->to_float();
}

TrainingResult train(Model& model, const TrainingTask& task) {
  return make_trainer()->train(model, task);
}

template <class Function>
Error error_of(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return {ErrorCode::kBug, ""};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Training, FindsTheLine) {
  for (const auto kind : {OptimizerKind::kSgd, OptimizerKind::kAdam, OptimizerKind::kAdamW}) {
    Model model = linear();
    auto task = task_for(lines(), 40);
    task.optimizer.kind = kind;
    const auto result = train(model, task);
    EXPECT_NEAR(values(model, "w")[0], 2, 0.02);
    EXPECT_NEAR(values(model, "w")[2], -3, 0.03);
    EXPECT_NEAR(values(model, "b")[0], 0.5, 0.02);
    EXPECT_EQ(result.epochs.size(), 40U);
    EXPECT_EQ(result.best_epoch, 40);
    EXPECT_EQ(result.parameters, 6U);
    EXPECT_TRUE(result.changed);
    EXPECT_LT(result.epochs.back().loss, result.epochs.front().loss);
  }
}

TEST(Training, SamplesThatCannotBeStackedGiveTheSame) {
  Model model = linear();
  auto task = task_for(lines(128, false), 15);
  task.optimizer.kind = OptimizerKind::kSgd;
  task.optimizer.learning_rate = 0.2;
  train(model, task);
  EXPECT_NEAR(values(model, "w")[0], 2, 0.1);
}

TEST(Training, SameBytesForAnyNumberOfThreads) {
  std::vector<std::string> seen;
  for (const int threads : {1, 2, 4}) {
    Model model = network();
    auto task = task_for(lines(), 3);
    task.threads = threads;
    train(model, task);
    seen.push_back(model.fingerprint().hex());
  }
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(seen[0], seen[2]);
  Model model = network();
  auto task = task_for(lines(), 3);
  task.seed = 8;
  train(model, task);
  EXPECT_NE(model.fingerprint().hex(), seen[0]);
}

TEST(Training, OnlyWhatIsNamed) {
  Model model = linear();
  auto task = task_for(lines(), 2);
  task.parameters = {"b"};
  EXPECT_EQ(train(model, task).parameters, 2U);
  EXPECT_EQ(values(model, "w"), (std::vector<float>{0.1F, 0.2F, 0.3F, 0.4F}));
  EXPECT_NE(values(model, "b")[0], 0);
  task.parameters = {"c"};
  EXPECT_TRUE(
      contains(error_of([&] { train(model, task); }).message(), "constant 'c' cannot be trained"));
}

TEST(Training, KeepsZerosAndCodebooks) {
  Model model = linear("0, 0.2, 0.3, 0.4");
  model.state().constraints.emplace("w", TensorConstraint{ConstraintKind::kMask, "prune"});
  train(model, task_for(lines(), 20));
  EXPECT_EQ(values(model, "w")[0], 0);
  EXPECT_FALSE(std::signbit(values(model, "w")[0]));
  EXPECT_NEAR(values(model, "w")[2], -3, 0.5);

  Model shared = linear("0.2, 0.2, 0.4, 0.4");
  shared.state().constraints.emplace("w", TensorConstraint{ConstraintKind::kCodebook, "share"});
  EXPECT_EQ(train(shared, task_for(lines(), 20)).parameters, 4U);
  EXPECT_EQ(values(shared, "w")[0], values(shared, "w")[1]);
  EXPECT_NE(values(shared, "w")[0], 0.2F);
}

TEST(Training, ATiedWeightIsOneParameter) {
  Model model = parse_model(
      "test (float[n,2] x) => (float[n,2] y) <float[2,2] w = {1, 0.1, 0.2, 1}> "
      "{ h = MatMul(x, w)  t = Transpose(w)  y = MatMul(h, t) }");
  const auto data = std::make_shared<MadeData>(256, 2, [](const std::vector<float>& x) {
    return std::vector<float>{4 * x[0], x[1]};
  });
  const auto result = train(model, task_for(data, 60));
  EXPECT_EQ(result.parameters, 4U);
  EXPECT_LT(result.epochs.back().loss, 1e-3);
}

TEST(Training, BestOfAllEpochsByTheJudge) {
  Model model = linear();
  auto task = task_for(lines(), 6);
  std::vector<double> seen;
  std::vector<float> fifth;
  // The third and the fifth epoch win, of which the later is kept.
  const std::vector<double> scores = {0.1, 0.2, 0.1, 0.5, 0.4, 0.5, 0.3};
  task.judge = [&](const Model& candidate) {
    if (seen.size() == 5) fifth = values(candidate, "w");
    seen.push_back(scores[seen.size()]);
    return seen.back();
  };
  const auto result = train(model, task);
  EXPECT_EQ(seen.size(), 7U);
  EXPECT_EQ(result.best_epoch, 5);
  EXPECT_EQ(*result.best_score, 0.5);
  EXPECT_EQ(*result.start_score, 0.1);
  EXPECT_EQ(values(model, "w"), fifth);
}

TEST(Training, TheStartIsACandidateAndPatienceEnds) {
  Model model = linear();
  const std::string before = model.fingerprint().hex();
  auto task = task_for(lines(), 50);
  task.patience = 3;
  double score = 1;
  task.judge = [&](const Model&) { return score -= 0.1; };
  const auto result = train(model, task);
  EXPECT_EQ(result.best_epoch, 0);
  EXPECT_EQ(result.epochs.size(), 3U);
  EXPECT_FALSE(result.changed);
  EXPECT_EQ(model.fingerprint().hex(), before);
}

TEST(Training, PrunesToTheExactShareAndRecordsIt) {
  for (const auto scope : {GradualPruning::Scope::kLocal, GradualPruning::Scope::kGlobal}) {
    Model model = network();
    auto task = task_for(lines(), 6);
    task.prune = GradualPruning();
    task.prune->weights = {"w1", "w2"};
    task.prune->to = 0.5;
    task.prune->every = 5;
    task.prune->scope = scope;
    double score = 10;  // each epoch is worse, and the start is best, but not sparse
    task.judge = [&](const Model&) { return score -= 1; };
    const auto result = train(model, task);
    EXPECT_EQ(result.best_epoch, 4);  // the first behind 0.6 of all steps
    int64_t zeros = 0;
    for (const char* name : {"w1", "w2"}) {
      for (const float w : values(model, name)) zeros += w == 0;
      EXPECT_EQ(model.state().constraints.count(name), 1U);
    }
    EXPECT_EQ(zeros, 32);
  }
}

TEST(Training, ResumedTrainingGivesTheSameBytes) {
  for (const bool pruned : {false, true}) {
    auto task = task_for(lines(), 6);
    if (pruned) {
      task.prune = GradualPruning();
      task.prune->weights = {"w1"};
      task.prune->score = PruneScore::kMovement;
      task.prune->every = 3;
    } else {
      task.distill.self = true;
      task.distill.self_every = 2;
    }
    Model whole = network();
    const auto wanted = train(whole, task);

    const support::TemporaryFile file(".ckpt");
    task.checkpoint = file.path();
    Model model = network();
    task.progress = [](const TrainingProgress& now) {
      if (now.step == 27) throw Error(ErrorCode::kInterrupted, "interrupted");
    };
    EXPECT_TRUE(train(model, task).interrupted);
    EXPECT_TRUE(std::filesystem::exists(file.path()));
    task.progress = nullptr;
    Model again = network();
    const auto result = train(again, task);
    EXPECT_EQ(result.resumed, "after epoch 3, step 24 of 48");
    EXPECT_EQ(again.fingerprint().hex(), whole.fingerprint().hex());
    ASSERT_EQ(result.epochs.size(), wanted.epochs.size());
    EXPECT_EQ(result.epochs.back().loss, wanted.epochs.back().loss);
    // A finished one is there already.
    Model third = network();
    EXPECT_EQ(train(third, task).epochs.size(), 6U);
    EXPECT_EQ(third.fingerprint().hex(), whole.fingerprint().hex());

    Model other = linear();
    if (!pruned) {
      const Error error = error_of([&] { train(other, task); });
      EXPECT_EQ(error.code(), ErrorCode::kData);
      EXPECT_TRUE(contains(error.message(), "another model"));
    }
    task.seed = 8;
    EXPECT_TRUE(
        contains(error_of([&] { train(again = network(), task); }).message(), "another seed"));
    task.seed = 7;
    task.optimizer.learning_rate *= 2;
    EXPECT_TRUE(
        contains(error_of([&] { train(again = network(), task); }).message(), "other options"));
    std::ofstream(file.path(), std::ios::app) << "x";
    EXPECT_TRUE(contains(error_of([&] { train(again = network(), task); }).message(), "damaged"));
  }
}

TEST(Training, CheckpointsAreRefusedBeforeTheWork) {
  auto task = task_for(lines(), 1);
  const support::TemporaryFile file(".ckpt");
  task.checkpoint = file.path() / "missing" / "x.ckpt";
  size_t steps = 0;
  task.progress = [&](const TrainingProgress&) { ++steps; };
  Model model = linear();
  error_of([&] { train(model, task); });
  EXPECT_EQ(steps, 0U);
  task.checkpoint = testing::TempDir();
  const Error folder = error_of([&] { train(model, task); });
  EXPECT_EQ(folder.code(), ErrorCode::kRecipe);
  EXPECT_TRUE(contains(folder.message(), "checkpoint: ") &&
              contains(folder.message(), "is a folder"));
  EXPECT_FALSE(contains(folder.hint(), "-o"));

  // Another teacher is another training.
  task.checkpoint = file.path();
  float factor = 1;
  task.distill.teachers.push_back({.run = [&](const Feeds& batch) {
    auto y = batch[0].tensor.to_float();
    for (float& v : y) v *= factor;
    return std::vector<Tensor>{Tensor::from(batch[0].tensor.shape(), y)};
  }});
  train(model = linear(), task);
  factor = 2;
  EXPECT_TRUE(
      contains(error_of([&] { train(model = linear(), task); }).message(), "other options"));
}

TEST(Training, CheckpointsKnowWhoJudgesAndWhatIsFed) {
  const support::TemporaryFile file(".ckpt");
  auto task = task_for(lines(), 1);
  task.checkpoint = file.path();
  double score = 0.5, factor = 1;
  task.judge = [&](const Model&) { return score; };
  task.prefix = [&](const Feeds& batch) {
    auto x = batch[0].tensor.to_float();
    for (float& v : x) v *= static_cast<float>(factor);
    return Feeds{{batch[0].name, Tensor::from(batch[0].tensor.shape(), x)}};
  };
  Model model = linear();
  const auto again = [&] { train(model = linear(), task); };
  again();
  EXPECT_NO_THROW(again());
  score = 0.25;
  EXPECT_TRUE(contains(error_of(again).message(), "to judge by"));
  const auto judge = std::exchange(task.judge, nullptr);
  EXPECT_TRUE(contains(error_of(again).message(), "to judge by"));
  task.judge = judge;
  score = 0.5;
  factor = 2;
  EXPECT_TRUE(contains(error_of(again).message(), "other options"));
}

TEST(Training, TheBestSoFarTeaches) {
  // In the second round the loss is that of another target.
  Model model = linear();
  auto task = task_for(lines(), 2);
  task.judge = [](const Model&) { return 0.0; };  // the start stays the best
  task.distill.self = true;
  task.distill.weight = 1;
  task.rate.schedule = RateSchedule::kConstant;
  const auto alone = [&] {
    Model copy = linear();
    auto plain = task;
    plain.distill.self = false;
    return train(copy, plain).epochs.back().loss;
  }();
  const auto taught = train(model, task);
  EXPECT_EQ(taught.best_epoch, 0);
  EXPECT_NE(taught.epochs.back().loss, alone);
}

TEST(Training, InterruptKeepsWhatThereIs) {
  auto task = task_for(lines(), 6);
  task.progress = [](const TrainingProgress& now) {
    if (now.step == 20) throw Error(ErrorCode::kInterrupted, "interrupted");
  };
  Model model = linear();
  const auto result = train(model, task);
  EXPECT_TRUE(result.interrupted);
  ASSERT_EQ(result.epochs.size(), 3U) << "two, and the part of one";
  EXPECT_EQ(result.best_epoch, 2);
  EXPECT_GT(result.epochs[2].loss, 0);
  EXPECT_NE(values(model, "w")[0], 0.1F);
  // With a judge that finds all of it worse than the start, the start.
  double score = 1;
  task.judge = [&](const Model&) { return score -= 0.1; };
  Model judged = linear();
  const auto worse = train(judged, task);
  EXPECT_TRUE(worse.interrupted);
  EXPECT_EQ(worse.best_epoch, 0);
  EXPECT_EQ(values(judged, "w")[0], 0.1F);
  // Before the first step there is nothing to keep.
  task.judge = [](const Model&) -> double { throw Error(ErrorCode::kInterrupted, "interrupted"); };
  EXPECT_EQ(error_of([&] { train(judged, task); }).code(), ErrorCode::kInterrupted);
}

TEST(Training, OtherFailuresLeaveTheModel) {
  auto task = task_for(lines(), 6);
  task.progress = [](const TrainingProgress& now) {
    if (now.step == 20) throw Error(ErrorCode::kRuntime, "no space left");
  };
  Model model = linear();
  EXPECT_EQ(error_of([&] { train(model, task); }).message(), "no space left");
  EXPECT_EQ(values(model, "w")[0], 0.1F);
}

TEST(Training, LossThatIsNotFiniteEndsIt) {
  Model model = linear();
  auto task = task_for(lines(), 30);
  task.optimizer.kind = OptimizerKind::kSgd;
  task.optimizer.learning_rate = 1e4;
  const auto result = train(model, task);
  ASSERT_EQ(result.warnings.size(), 1U);
  EXPECT_TRUE(contains(result.warnings[0], "stopped at step"));
  EXPECT_TRUE(contains(result.warnings[0], "the loss is not finite"));
  for (const float w : values(model, "w")) EXPECT_TRUE(std::isfinite(w));
}

TEST(Training, ProgressCountsAndKnowsTheMetric) {
  Model model = linear();
  auto task = task_for(lines(), 2);
  task.judge = [](const Model&) { return 0.25; };
  size_t steps = 0, metrics = 0;
  task.progress = [&](const TrainingProgress& now) {
    if (now.metric) {
      ++metrics;
      return;
    }
    EXPECT_EQ(now.step, ++steps);
    EXPECT_EQ(now.steps, 16U);
    EXPECT_EQ(now.epoch, now.step <= 8 ? 1 : 2);
    EXPECT_GT(now.loss, 0);
  };
  train(model, task);
  EXPECT_EQ(steps, 16U);
  EXPECT_EQ(metrics, 2U);
}

TEST(Training, StepsInPlaceOfEpochs) {
  Model model = linear();
  auto task = task_for(lines(), 1);
  task.steps = 10;
  const auto result = train(model, task);
  EXPECT_EQ(result.epochs.size(), 2U);  // eight steps, and two
}

TEST(Training, LearnsFromATeacherWithoutLabels) {
  Model model = linear();
  auto task = task_for(lines(), 40);
  task.distill.weight = 1;
  size_t calls = 0;
  task.distill.teachers.push_back({.run = [&](const Feeds& batch) {
    ++calls;
    const auto x = batch[0].tensor.as<float>();
    std::vector<float> y;
    for (size_t i = 0; i < x.size(); i += 2) y.insert(y.end(), {x[i] + x[i + 1], 0});
    return std::vector<Tensor>{Tensor::from(batch[0].tensor.shape(), y)};
  }});
  train(model, task);
  EXPECT_LE(calls, 9U) << "samples stay as they are: asked once for each, and once for shapes";
  EXPECT_NEAR(values(model, "w")[0], 1, 0.05);
  EXPECT_NEAR(values(model, "w")[2], 1, 0.05);
  task.augment.noise = 0.01;
  train(model, task);
  EXPECT_GE(calls, 320U) << "each is another sample in each epoch";
}

TEST(Training, AnswersThatAreKeptAreThoseOfTheSamples) {
  // A teacher that answers with what it is fed, and weights that have learned it.
  Model model = linear("1, 0, 0, 1");
  auto task = task_for(lines(), 3);
  task.distill.weight = 1;
  task.distill.teachers.push_back(
      {.run = [](const Feeds& batch) { return std::vector<Tensor>{batch[0].tensor}; }});
  for (const auto& epoch : train(model, task).epochs) EXPECT_EQ(epoch.loss, 0);
}

TEST(Training, LossOnHeldOutSamplesIsToldAndDecidesNothing) {
  const auto held_out = std::make_shared<MadeData>(50, 2, line);
  auto task = task_for(lines(), 3);
  Model alone = linear();
  const auto wanted = train(alone, task);
  EXPECT_FALSE(wanted.epochs[0].validation_loss);
  task.validation = held_out;
  std::optional<double> seen;
  task.progress = [&](const TrainingProgress& now) {
    if (now.validation_loss) seen = now.validation_loss;
    EXPECT_EQ(now.epochs, 3);
  };
  Model model = linear();
  const auto result = train(model, task);
  EXPECT_EQ(model.fingerprint(), alone.fingerprint());
  ASSERT_EQ(result.epochs.size(), 3U);
  // Computed here from the weights that the last epoch left.
  const auto w = values(model, "w"), b = values(model, "b");
  const auto x = held_out->feeds(0, 50)[0].tensor.to_float();
  const auto y = held_out->labels(0, 50)->to_float();
  double sum = 0;
  for (size_t i = 0; i < 100; i += 2) {
    for (size_t k = 0; k < 2; ++k) {
      sum += std::pow(x[i] * w[k] + x[i + 1] * w[2 + k] + b[k] - y[i + k], 2) / 2;
    }
  }
  EXPECT_NEAR(*result.epochs[2].validation_loss, sum / 50, 1e-4);
  EXPECT_EQ(seen, result.epochs[2].validation_loss);
}

TEST(Training, WhereScoresAreEqualTheHeldOutLossDecides) {
  auto task = task_for(lines(), 6);
  task.judge = [](const Model&) { return 0.5; };
  Model model = linear();
  EXPECT_EQ(train(model, task).best_epoch, 0) << "nothing tells that an epoch is better";
  task.validation = std::make_shared<MadeData>(50, 2, line);
  const auto result = train(model, task);
  size_t least = 0;
  for (size_t i = 1; i < result.epochs.size(); ++i) {
    if (*result.epochs[i].validation_loss < *result.epochs[least].validation_loss) least = i;
  }
  EXPECT_EQ(result.best_epoch, static_cast<int>(least) + 1);
  EXPECT_NE(values(model, "w")[0], 0.1F);
  // Nothing is won from the best weights.
  task.optimizer.learning_rate = 1;
  Model best = linear("2, 1, -3, 0");
  best.graph().set_constant(best.graph().find("b"), Tensor::from({2}, std::vector<float>{0.5, 0}));
  EXPECT_EQ(train(best, task).best_epoch, 0);
}

TEST(Training, ZerosThatComeInJumpsAreTold) {
  auto task = task_for(lines(), 4);
  task.prune = GradualPruning{.weights = {"w"}, .to = 0.5, .every = 20};
  Model model = linear();
  const auto result = train(model, task);
  ASSERT_EQ(result.warnings.size(), 1U);
  EXPECT_TRUE(contains(result.warnings[0],
                       "zeros come in one jump: prune-every is 20, and "
                       "prune-until leaves 19 steps"));
  task.prune->every = 0;
  EXPECT_TRUE(train(model = linear(), task).warnings.empty());
}

TEST(Training, AnInterruptBeforeTheLastZerosIsTold) {
  auto task = task_for(lines(), 10);
  task.prune =
      GradualPruning{.weights = {"w1", "w2"}, .to = 0.75, .curve = GradualPruning::Curve::kLinear};
  task.progress = [](const TrainingProgress& now) {
    if (now.step == 24) throw Error(ErrorCode::kInterrupted, "interrupted");
  };
  const auto data = std::make_shared<MadeData>(256, 2, [](const std::vector<float>& x) {
    return std::vector<float>{x[0], x[1]};
  });
  task.data = data;
  Model model = network();
  const auto result = train(model, task);
  ASSERT_EQ(result.warnings.size(), 1U);
  EXPECT_TRUE(contains(result.warnings[0], "37.5 % of the weights are zero, 75 % were asked for"))
      << result.warnings[0];
}

TEST(Training, PrefixRunsOutside) {
  Model model = parse_model(
      "test (float[n,2] x) => (float[n,2] y) <float[2,2] w = {0.1, 0.2, 0.3, 0.4}> "
      "{ c = Custom(x)  y = MatMul(c, w) }");
  auto task = task_for(lines(), 5);
  EXPECT_TRUE(contains(error_of([&] { train(model, task); }).message(), "Custom"));
  task.prefix = [](const Feeds& batch) { return Feeds{{"c", batch[0].tensor}}; };
  train(model, task);
  EXPECT_GT(values(model, "w")[0], 0.2F);
}

Model normalized() {
  return parse_model(
      "test (float[n,2] x) => (float[n,2] y) <float[2] s = {1, 1}, float[2] b = {0, 0}, float[2] m "
      "= {5, 5}, "
      "float[2] v = {9, 9}> { y = BatchNormalization(x, s, b, m, v) }");
}

TEST(Training, StatisticsAreFrozenOrThoseOfTheData) {
  const auto data = std::make_shared<MadeData>(256, 2, [](const std::vector<float>& x) {
    return std::vector<float>{x[0], x[1]};
  });
  auto task = task_for(data, 2);
  Model frozen = normalized();
  train(frozen, task);
  EXPECT_EQ(values(frozen, "m"), (std::vector<float>{5, 5}));
  task.update_batch_norm = true;
  Model updated = normalized();
  train(updated, task);
  double mean = 0, square = 0;
  const Feeds all = data->feeds(0, 256);
  const auto x = all[0].tensor.as<float>();
  for (size_t i = 0; i < x.size(); i += 2) {
    mean += x[i] / 256.0;
    square += x[i] * x[i] / 256.0;
  }
  EXPECT_NEAR(values(updated, "m")[0], mean, 1e-4);
  EXPECT_NEAR(values(updated, "v")[0], square - mean * mean, 0.05);
}

TEST(Training, RefusesWhatCannotBe) {
  Model model = linear();
  auto task = task_for(lines(20), 1);
  const Error few = error_of([&] { train(model, task); });
  EXPECT_EQ(few.code(), ErrorCode::kData);
  EXPECT_TRUE(contains(few.message(), "20 samples are less than one batch of 32"));
  EXPECT_EQ(few.hint(), "batch: 20");
  task.data = lines(1);
  EXPECT_TRUE(contains(error_of([&] { train(model, task); }).message(), "1 sample is less"));

  Model nothing = parse_model("test (float[n,2] x) => (float[n,2] y) { y = Relu(x) }");
  const Error none = error_of([&] { train(nothing, task_for(lines(), 1)); });
  EXPECT_EQ(none.code(), ErrorCode::kModel);
  EXPECT_TRUE(contains(none.message(), "nothing to train"));

  Model stopped = parse_model(
      "test (float[n,2] x) => (float[n,2] y) <float[2,2] w = {0.1, 0.2, 0.3, 0.4}> "
      "{ m = MatMul(x, w)  y = Custom(m) }");
  const Error obstacle = error_of([&] { train(stopped, task_for(lines(), 1)); });
  EXPECT_EQ(obstacle.code(), ErrorCode::kModel);
  EXPECT_TRUE(contains(obstacle.message(), "Custom"));
}

TEST(Training, TooMuchMemoryIsAnErrorOfOurs) {
  // 2^46 floats are more than addresses reach.
  Model model = parse_model(
      "test (float[n,2] x) => (float[n,2] y) <float[2,2] w = {0.1, 0.2, 0.3, 0.4}, int64[2] s = "
      "{70368744177664, 1}> "
      "{ one = ReduceSum(x)  many = Expand(one, s)  r = Relu(many)  q = ReduceSum(r)  m = "
      "MatMul(x, w)  "
      "y = Add(m, q) }");
  auto task = task_for(lines(), 1);
  const Error error = error_of([&] { train(model, task); });
  EXPECT_EQ(error.code(), ErrorCode::kRuntime) << error.message();
  EXPECT_TRUE(contains(error.message(), "memory"));
  EXPECT_TRUE(contains(error.hint(), "smaller batch"));
}

}  // namespace
}  // namespace mcompress::train
