// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mcompress/trainer.h"

namespace mcompress::train {

/// All parameters at one time, and the statistics of batch normalizations.
struct Snapshot {
  std::vector<std::vector<at::Tensor>> parameters;  ///< Parameter::snapshot of each
  std::map<std::string, at::Tensor> statistics;
};

/// What a training needs to go on as if it had not been interrupted. Random numbers are counted, so
/// that step and seed stand for them.
struct TrainingState {
  size_t step = 0;        ///< steps done
  int stale = 0;          ///< epochs without a better score
  bool has_best = false;  ///< `best` may be written; else it is the start
  size_t optimizer_steps = 0;
  TrainingResult result;
  std::optional<double> best_loss;  ///< on held-out data, of what `result` calls the best
  Snapshot running, best, teacher;  ///< `teacher`: of this round of self-distillation
  std::vector<at::Tensor> moments, loss, pruner;
};

/// What a checkpoint belongs to.
struct TrainingIdentity {
  std::string model, data, options, seed;
};
/// Everything of a task but threads, judge and the checkpoint itself. Reads the data and asks the
/// teachers and the prefix for one sample. The judge is known by what it says of the start.
TrainingIdentity identify(const Model& model, const TrainingTask& task);

/// Replaces the file at once when it is whole. Throws kRuntime.
void save_checkpoint(const std::filesystem::path& path, const TrainingIdentity& identity,
                     const TrainingState& state);
/// Empty where there is no file. Throws kData for a file that is no checkpoint, is damaged, or
/// belongs to another model, data or options, saying which.
std::optional<TrainingState> load_checkpoint(const std::filesystem::path& path,
                                             const TrainingIdentity& identity);

}  // namespace mcompress::train
