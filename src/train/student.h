// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/trainer.h"
#include "train/checkpoint.h"
#include "train/loss.h"
#include "train/parameters.h"
#include "train/program.h"

namespace mcompress::train {

/// The model in training: its graph as a program, its parameters, and the running statistics of its
/// batch normalizations.
class Student {
 public:
  /// Throws kModel for obstacles, for parameters that cannot be trained, and where there are none.
  Student(const Model& model, const TrainingTask& task);

  const LossHead& head() const { return head_; }
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }
  /// Statistics' constants and their values; empty unless they are updated.
  std::map<std::string, at::Tensor>& statistics() { return statistics_; }
  const std::map<std::string, at::Tensor>& statistics() const { return statistics_; }

  /// What a run without gradients is given for parameters and statistics: their present values.
  Values present_values() const;
  /// LossHead::value, then the features of the student, for the inputs of `batch`. `values`:
  /// parameters and statistics by name.
  Tensors run(const Batch& batch, Values values, Execution& execution) const;
  /// Adds the tied copies of parameters, whose gradients go to their sources.
  void add_copies(Values& values) const;

  Snapshot snapshot() const;
  void restore(const Snapshot& snapshot);
  /// Writes parameters and statistics into a model with the same constants.
  void store(Model& model) const;

 private:
  LossHead head_;
  TrainingCheck check_;
  ParameterSet parameters_;
  std::map<std::string, at::Tensor> statistics_;
  std::unique_ptr<Program> program_;
};

}  // namespace mcompress::train
