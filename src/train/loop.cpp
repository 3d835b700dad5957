// SPDX-License-Identifier: Apache-2.0
#include "train/loop.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "mcompress/error.h"
#include "support/file.h"
#include "train/batches.h"
#include "train/checkpoint.h"
#include "train/gradient.h"
#include "train/gradual_pruning.h"
#include "train/optimizer.h"
#include "train/student.h"

namespace mcompress::train {
namespace {

/// Weight of a batch in the running statistics of batch normalization.
constexpr double kStatisticsMomentum = 0.1;
/// Samples by which they are estimated anew at the end of an epoch.
constexpr size_t kStatisticsSamples = 2048;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What can be told before anything is read or computed.
const TrainingTask& checked(const TrainingTask& task) {
  if (!task.data) throw Error(ErrorCode::kData, "there is no data to train on");
  if (task.batch < 1) throw Error(ErrorCode::kRecipe, "a batch needs at least one sample");
  const size_t count = task.data->size();
  if (count >= task.batch) return task;
  throw Error(ErrorCode::kData, fmt::format("{}: {} samples are less than one batch of {}",
                                            task.data->description(), count, task.batch))
      .hint(count == 0 ? "give samples to train on" : fmt::format("batch: {}", count));
}

class Loop {
 public:
  Loop(Model& model, const TrainingTask& task);
  TrainingResult run();

 private:
  void start();
  void require_same_judge(const TrainingState& state) const;
  void resume(TrainingState state);
  void train();
  void run_epoch();
  bool run_step(std::span<const size_t> indices);
  void end_epoch();
  void judge_epoch(TrainingEpoch& epoch);
  void estimate_statistics();
  void begin_round();
  void make_self_values();
  double judge() const;
  void report(std::optional<double> metric);
  void save() const;
  void keep_interrupted();
  void write_best();
  /// Masks still grow: neither the start nor an epoch may win by being less sparse.
  bool is_pruning() const { return pruner_ && !pruner_->finished(state_.step); }
  size_t epoch() const { return state_.step / steps_per_epoch_; }

  Model& model_;
  const TrainingTask& task_;
  Samples samples_;
  Student student_;
  GradientMaker gradients_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<GradualPruner> pruner_;
  size_t steps_per_epoch_ = 1, steps_ = 1;
  TrainingIdentity identity_;
  TrainingState state_;
  std::optional<Values> self_values_;  ///< of the model that teaches by itself
  bool stopped_ = false;               ///< before all steps were done
  double loss_sum_ = 0, rate_ = 0;     ///< of this epoch
  size_t loss_count_ = 0;
  Clock::time_point run_start_ = Clock::now(), epoch_start_ = run_start_;
  size_t first_step_ = 0;  ///< of this run: others were done before the checkpoint
};

Loop::Loop(Model& model, const TrainingTask& task)
    : model_(model),
      task_(checked(task)),
      samples_(task.data),
      student_(model, task),
      gradients_(task, samples_, student_) {
  std::vector<at::Tensor> leaves;
  std::vector<bool> decays;
  for (const auto& parameter : student_.parameters().parameters) {
    for (const at::Tensor& leaf : parameter->leaves()) {
      leaves.push_back(leaf);
      decays.push_back(parameter->decays());
    }
  }
  for (const at::Tensor& leaf : gradients_.loss().leaves()) {
    leaves.push_back(leaf);
    decays.push_back(false);
  }
  optimizer_ = std::make_unique<Optimizer>(task.optimizer, std::move(leaves), std::move(decays));
  steps_per_epoch_ = samples_.size() / task.batch;
  const double wanted = task.epochs * static_cast<double>(steps_per_epoch_);
  steps_ = task.steps.value_or(static_cast<size_t>(std::max<long long>(1, std::llround(wanted))));
  if (task.prune)
    pruner_ = std::make_unique<GradualPruner>(*task.prune, student_.parameters(), steps_);
}

void Loop::start() {
  state_.best = student_.snapshot();
  if (task_.judge) {
    state_.result.start_score = task_.judge(model_);
    if (!pruner_) state_.result.best_score = state_.result.start_score;
  }
  if (pruner_) pruner_->update(0);
}

/// Scores of two judges cannot be compared: the best so far would not be the best.
void Loop::require_same_judge(const TrainingState& state) const {
  const std::optional<double>& before = state.result.start_score;
  const bool same = task_.judge ? before && task_.judge(model_) == *before : !before;
  if (same) return;
  throw Error(ErrorCode::kData,
              fmt::format("{}: the checkpoint belongs to a training with other data or another "
                          "metric to judge by",
                          task_.checkpoint.string()))
      .hint("remove it to start anew, or name another file");
}

void Loop::resume(TrainingState state) {
  require_same_judge(state);
  state_ = std::move(state);
  student_.restore(state_.running);
  for (size_t i = 0; i < state_.moments.size(); ++i)
    optimizer_->moments()[i].copy_(state_.moments[i]);
  for (size_t i = 0; i < state_.loss.size(); ++i)
    gradients_.loss().leaves()[i].copy_(state_.loss[i]);
  optimizer_->steps = state_.optimizer_steps;
  if (pruner_) pruner_->restore(state_.pruner, state_.step);
  if (!state_.teacher.parameters.empty()) make_self_values();
  first_step_ = state_.step;
}

void Loop::save() const {
  if (task_.checkpoint.empty()) return;
  TrainingState state = state_;
  state.running = student_.snapshot();
  state.moments = optimizer_->moments();
  state.loss = gradients_.loss().leaves();
  state.optimizer_steps = optimizer_->steps;
  if (pruner_) state.pruner = pruner_->snapshot();
  save_checkpoint(task_.checkpoint, identity_, state);
}

TrainingResult Loop::run() {
  std::optional<TrainingState> before;
  if (!task_.checkpoint.empty()) {
    support::require_writable(task_.checkpoint, true);
    identity_ = identify(model_, task_);
    before = load_checkpoint(task_.checkpoint, identity_);
  }
  if (before) {
    resume(std::move(*before));
  } else {
    start();
  }
  try {
    train();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) keep_interrupted();
    throw;
  }
  write_best();
  state_.result.parameters = student_.parameters().count();
  return state_.result;
}

bool is_patient(const TrainingTask& task, int stale) {
  return task.patience <= 0 || stale < task.patience;
}

void Loop::train() {
  while (state_.step < steps_ && !stopped_ && is_patient(task_, state_.stale)) {
    begin_round();
    run_epoch();
    if (!stopped_) end_epoch();
  }
}

/// From the second round of self-distillation on, the best model so far teaches.
void Loop::begin_round() {
  if (!task_.distill.self) return;
  const size_t length = static_cast<size_t>(std::max(task_.distill.self_every, 1));
  if (epoch() == 0 || epoch() % length != 0) return;
  state_.teacher = state_.best;
  make_self_values();
}

void Loop::make_self_values() {
  const Snapshot running = student_.snapshot();
  student_.restore(state_.teacher);
  Values values = student_.present_values();
  student_.restore(running);
  self_values_ = std::move(values);
}

void Loop::run_epoch() {
  epoch_start_ = Clock::now();
  loss_sum_ = 0;
  loss_count_ = 0;
  const auto order = shuffled(samples_.size(), task_.seed, epoch());
  for (size_t first = 0; first + task_.batch <= order.size() && state_.step < steps_;
       first += task_.batch) {
    if (!run_step(std::span(order).subspan(first, task_.batch))) {
      stopped_ = true;
      state_.result.notes.push_back(fmt::format(
          "stopped at step {} of {}: the loss is not finite; {}", state_.step + 1, steps_,
          state_.result.best_epoch > 0 ? "the best model so far is kept"
                                       : "the model stays as it was"));
      return;
    }
    report(std::nullopt);
  }
}

/// False where numbers are no longer finite; nothing has moved then.
bool Loop::run_step(std::span<const size_t> indices) {
  rate_ = learning_rate(task_.rate, task_.optimizer.learning_rate, state_.step, steps_);
  const Gradient gradient =
      gradients_.compute(indices, state_.step, self_values_ ? &*self_values_ : nullptr);
  if (!std::isfinite(gradient.loss)) return false;
  if (pruner_) pruner_->observe(gradient.values, rate_);
  if (!std::isfinite(optimizer_->step(gradient.leaves, rate_))) return false;
  for (const auto& parameter : student_.parameters().parameters) parameter->project();
  for (const auto& [name, value] : gradient.statistics) {
    const auto running = student_.statistics().find(name);
    if (running == student_.statistics().end()) continue;
    running->second.mul_(1 - kStatisticsMomentum).add_(value, kStatisticsMomentum);
  }
  ++state_.step;
  if (pruner_) pruner_->update(state_.step);
  loss_sum_ += gradient.loss;
  ++loss_count_;
  return true;
}

void Loop::report(std::optional<double> metric) {
  if (!task_.progress) return;
  const auto done = static_cast<double>(state_.step - first_step_);
  const auto left = static_cast<double>(steps_ - state_.step);
  task_.progress({.epoch = static_cast<int>((state_.step - 1) / steps_per_epoch_) + 1,
                  .step = state_.step,
                  .steps = steps_,
                  .loss = loss_sum_ / static_cast<double>(std::max<size_t>(loss_count_, 1)),
                  .metric = metric,
                  .seconds_left = seconds_since(run_start_) / std::max(done, 1.0) * left});
}

/// Running means lag behind weights that move; those of the weights as they are now are better.
void Loop::estimate_statistics() {
  if (student_.statistics().empty()) return;
  std::map<std::string, at::Tensor> sums;
  double batches = 0;
  const auto order = shuffled(samples_.size(), task_.seed, 0);
  const size_t end = std::min(order.size(), std::max(kStatisticsSamples, task_.batch));
  for (size_t first = 0; first + task_.batch <= end; first += task_.batch, ++batches) {
    for (const auto& [name, value] :
         gradients_.statistics(std::span(order).subspan(first, task_.batch))) {
      const auto [at, fresh] = sums.try_emplace(name, value);
      if (!fresh) at->second.add_(value);
    }
  }
  for (const auto& [name, sum] : sums) {
    const auto running = student_.statistics().find(name);
    if (running != student_.statistics().end()) running->second.copy_(sum / batches);
  }
}

double Loop::judge() const {
  Model candidate = model_.clone();
  student_.store(candidate);
  return task_.judge(candidate);
}

void Loop::end_epoch() {
  estimate_statistics();
  TrainingEpoch epoch = {.loss = loss_sum_ / static_cast<double>(std::max<size_t>(loss_count_, 1)),
                         .score = std::nullopt,
                         .learning_rate = rate_,
                         .seconds = 0};
  judge_epoch(epoch);
  epoch.seconds = seconds_since(epoch_start_);
  const auto score = epoch.score;
  state_.result.epochs.push_back(epoch);
  save();
  report(score);
}

void Loop::judge_epoch(TrainingEpoch& epoch) {
  if (task_.judge) epoch.score = judge();
  if (is_pruning()) return;
  auto& result = state_.result;
  const bool better = !epoch.score || !result.best_score || *epoch.score > *result.best_score;
  // Few samples of validation give equal scores; the later epoch had the lower rate.
  const bool as_good = result.best_epoch > 0 && epoch.score == result.best_score;
  state_.stale = better ? 0 : state_.stale + 1;
  if (!better && !as_good) return;
  result.best_score = epoch.score;
  result.best_epoch = static_cast<int>(result.epochs.size()) + 1;
  state_.best = student_.snapshot();
}

/// The model gets the best so far. What runs now counts where it is better, or where there is
/// nothing to compare with.
void Loop::keep_interrupted() {
  auto& result = state_.result;
  bool running = result.best_epoch == 0 && (!task_.judge || pruner_);
  if (!running && task_.judge && loss_count_ > 0 && !is_pruning()) {
    try {
      running = judge() > result.best_score;
    } catch (const std::exception&) {
      running = false;  // the interrupt ends the runtime, too
    }
  }
  if (running && state_.step > 0) {
    state_.best = student_.snapshot();
    result.best_epoch = static_cast<int>(epoch()) + 1;
  }
  write_best();
}

void Loop::write_best() {
  if (state_.result.best_epoch == 0) return;
  student_.restore(state_.best);
  const uint64_t before = model_.edit_count();
  student_.store(model_);
  if (pruner_) pruner_->record(model_);
  state_.result.changed = model_.edit_count() != before;
}

}  // namespace

TrainingResult train_model(Model& model, const TrainingTask& task) {
  return Loop(model, task).run();
}

}  // namespace mcompress::train
