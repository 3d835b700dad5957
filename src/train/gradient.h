// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcompress/trainer.h"
#include "train/batches.h"
#include "train/loss.h"
#include "train/student.h"
#include "train/teacher_answers.h"

namespace mcompress::train {

/// Mean loss of a batch and its gradients.
struct Gradient {
  double loss = 0;
  std::vector<at::Tensor> values;  ///< by the values of the parameters; undefined: 0
  std::vector<at::Tensor> leaves;  ///< by leaves of all parameters, then of the loss; undefined: 0
  /// Mean over the batch of what its batch normalizations saw.
  std::map<std::string, at::Tensor> statistics;
};

/// Computes gradients: makes a batch of samples (augmented, with what teachers say of it, through
/// the frozen prefix), cuts it into shards of a fixed number of samples, runs each on one thread,
/// and adds up in the order of shards: the same bytes for any number of threads.
class GradientMaker {
 public:
  /// All arguments outlive this. Opens the loss.
  GradientMaker(const TrainingTask& task, const Samples& samples, Student& student);

  Loss& loss() const { return *loss_; }
  /// `step` seeds the random numbers. `teacher`: what the model that teaches by itself is made of,
  /// or null.
  Gradient compute(std::span<const size_t> indices, size_t step, const Values* teacher) const;
  /// Means of what batch normalizations see of these samples, as they are, with the present
  /// parameters.
  std::map<std::string, at::Tensor> statistics(std::span<const size_t> indices) const;
  /// Mean loss over TrainingTask::validation with the present parameters; nullopt where there is no
  /// such data, or none that the loss can be computed on.
  std::optional<double> validation_loss() const;

 private:
  struct Shard {
    double loss = 0;
    std::vector<at::Tensor> gradients;  ///< by values of parameters, then by leaves of the loss
    std::map<std::string, at::Tensor> statistics;
    double rows = 0;
  };
  struct Made {
    std::vector<std::vector<at::Tensor>> leaves;  ///< of each parameter, asking for gradients
    std::vector<at::Tensor> values, plain;        ///< made of them; without a way back
  };
  /// Samples, and who answers for them.
  struct Source {
    Source(const TrainingTask& task, const Loss& loss, const Samples& all)
        : samples(all), answers(task.distill.teachers, loss, all, task.batch) {}
    const Samples& samples;
    TeacherAnswers answers;
  };
  enum class How { kAugmented, kTaught, kPlain };
  std::unique_ptr<Loss> open_loss() const;
  void open_validation();
  Batch make_batch(Source& source, std::span<const size_t> indices, How how, uint64_t number) const;
  std::vector<Batch> make_shards(Source& source, std::span<const size_t> indices, How how,
                                 size_t step) const;
  void run_prefix(Batch& batch) const;
  Shard run_shard(Batch& batch, const std::vector<at::Tensor>& values, double rows,
                  Execution& execution, const Values* teacher) const;
  Made make_values() const;
  static void add_up(std::span<Shard> shards, std::vector<at::Tensor>& sums);
  static std::vector<at::Tensor> to_leaves(const Made& made, const std::vector<at::Tensor>& sums);
  static std::map<std::string, at::Tensor> mean_statistics(const std::vector<Shard>& shards);

  const TrainingTask& task_;
  const Samples& samples_;
  Student& student_;
  std::unique_ptr<Loss> loss_;
  std::unique_ptr<Source> training_, validation_;  ///< `validation_`: null without data for it
  std::unique_ptr<Samples> validation_samples_;
};

}  // namespace mcompress::train
