// SPDX-License-Identifier: Apache-2.0
#include "train/loop.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "mcompress/error.h"
#include "train/batches.h"
#include "train/checkpoint.h"
#include "train/gradient.h"
#include "train/gradual_pruning.h"
#include "train/optimizer.h"
#include "train/student.h"
#include "train/task_check.h"

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
  bool wins_tie(const TrainingEpoch& epoch) const;
  TrainingEpoch figures() const;
  void estimate_statistics();
  void begin_round();
  void make_self_values();
  double judge() const;
  void report(const TrainingEpoch* done = nullptr);
  void warn_of_jumps();
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
  bool in_epoch_ = false;              ///< of which the result knows nothing yet
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
  const Length length = length_of(task);
  steps_per_epoch_ = length.per_epoch;
  steps_ = length.steps;
  if (task.prune)
    pruner_ = std::make_unique<GradualPruner>(*task.prune, student_.parameters(), steps_);
}

void Loop::start() {
  state_.best = student_.snapshot();
  if (task_.judge) {
    state_.result.start_score = task_.judge(model_);
    if (!pruner_) {
      state_.result.best_score = state_.result.start_score;
      state_.best_loss = gradients_.validation_loss();
    }
  }
  if (pruner_) pruner_->update(0);
}

/// A network does not get over many zeros at once.
void Loop::warn_of_jumps() {
  constexpr size_t kEnough = 10;
  if (!pruner_ || task_.prune->until <= 0 || pruner_->masks() >= kEnough) return;
  const auto steps = std::llround(task_.prune->until * static_cast<double>(steps_));
  const bool seldom = task_.prune->every > 1 && steps >= static_cast<long long>(kEnough);
  const std::string masks =
      pruner_->masks() == 1 ? "one jump" : fmt::format("{} jumps", pruner_->masks());
  state_.result.warnings.push_back(
      seldom
          ? fmt::format("zeros come in {}: prune-every is {}, and prune-until leaves {} steps; a "
                        "smaller prune-every makes more of them",
                        masks, task_.prune->every, steps)
          : fmt::format("zeros come in {}: prune-until leaves {} {}; more epochs, or smaller "
                        "batches, make more of them",
                        masks, steps, steps == 1 ? "step" : "steps"));
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
  state_.result.resumed = fmt::format("after epoch {}, step {} of {}", state_.result.epochs.size(),
                                      state_.step, steps_);
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
    require_place(task_.checkpoint);
    identity_ = identify(model_, task_);
    before = load_checkpoint(task_.checkpoint, identity_);
  }
  if (before) {
    resume(std::move(*before));
  } else {
    start();
  }
  warn_of_jumps();
  try {
    train();
    write_best();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInterrupted || state_.step == 0) throw;
    keep_interrupted();
  }
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
  in_epoch_ = true;
  const auto order = shuffled(samples_.size(), task_.seed, epoch());
  for (size_t first = 0; first + task_.batch <= order.size() && state_.step < steps_;
       first += task_.batch) {
    if (!run_step(std::span(order).subspan(first, task_.batch))) {
      stopped_ = true;
      state_.result.warnings.push_back(fmt::format(
          "stopped at step {} of {}: the loss is not finite; {}", state_.step + 1, steps_,
          state_.result.best_epoch > 0 ? "the best model so far is kept"
                                       : "the model stays as it was"));
      return;
    }
    report();
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

void Loop::report(const TrainingEpoch* done) {
  if (!task_.progress) return;
  const auto ran = static_cast<double>(state_.step - first_step_);
  const auto left = static_cast<double>(steps_ - state_.step);
  task_.progress({.epoch = static_cast<int>((state_.step - 1) / steps_per_epoch_) + 1,
                  .epochs = static_cast<int>((steps_ + steps_per_epoch_ - 1) / steps_per_epoch_),
                  .step = state_.step,
                  .steps = steps_,
                  .loss = figures().loss,
                  .validation_loss = done != nullptr ? done->validation_loss : std::nullopt,
                  .metric = done != nullptr ? done->score : std::nullopt,
                  .seconds_left = seconds_since(run_start_) / std::max(ran, 1.0) * left});
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

/// Few held-out samples give equal scores; their loss tells more. Without it the later epoch wins,
/// whose rate was lower.
bool Loop::wins_tie(const TrainingEpoch& epoch) const {
  if (epoch.score != state_.result.best_score) return false;
  if (epoch.validation_loss && state_.best_loss) return *epoch.validation_loss < *state_.best_loss;
  return state_.result.best_epoch > 0;
}

void Loop::end_epoch() {
  estimate_statistics();
  TrainingEpoch epoch = figures();
  epoch.validation_loss = gradients_.validation_loss();
  judge_epoch(epoch);
  epoch.seconds = seconds_since(epoch_start_);
  state_.result.epochs.push_back(epoch);
  in_epoch_ = false;
  save();
  report(&epoch);
}

/// Of this epoch so far.
TrainingEpoch Loop::figures() const {
  return {.loss = loss_sum_ / static_cast<double>(std::max<size_t>(loss_count_, 1)),
          .validation_loss = std::nullopt,
          .score = std::nullopt,
          .learning_rate = rate_,
          .seconds = seconds_since(epoch_start_)};
}

void Loop::judge_epoch(TrainingEpoch& epoch) {
  if (task_.judge) epoch.score = judge();
  if (is_pruning()) return;
  auto& result = state_.result;
  const bool better = !epoch.score || !result.best_score || *epoch.score > *result.best_score;
  state_.stale = better ? 0 : state_.stale + 1;
  if (!better && !wins_tie(epoch)) return;
  result.best_score = epoch.score;
  state_.best_loss = epoch.validation_loss;
  result.best_epoch = static_cast<int>(result.epochs.size()) + 1;
  state_.best = student_.snapshot();
}

/// The model gets the best so far. What runs now counts where it is better, or where there is
/// nothing to compare with.
void Loop::keep_interrupted() {
  auto& result = state_.result;
  result.interrupted = true;
  const bool part = in_epoch_ && loss_count_ > 0;
  TrainingEpoch now = figures();
  bool running = result.best_epoch == 0 && (!task_.judge || pruner_);
  if (!running && part && task_.judge && !is_pruning()) {
    try {
      now.score = judge();
      running = now.score > result.best_score;
    } catch (const std::exception&) {
      running = false;  // the interrupt ends the runtime, too
    }
  }
  if (part) result.epochs.push_back(now);
  if (running) {
    state_.best = student_.snapshot();
    result.best_epoch = static_cast<int>(result.epochs.size());
  }
  if (is_pruning()) {
    result.warnings.push_back(
        fmt::format("interrupted while zeros still grew: {:.3g} % of the "
                    "weights are zero, {:.3g} % were asked for",
                    100 * pruner_->reached(), 100 * pruner_->wanted()));
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
