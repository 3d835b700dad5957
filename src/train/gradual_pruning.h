// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcompress/trainer.h"
#include "train/parameters.h"

namespace mcompress::train {

/// Share of zeros after `step` of `end` steps: `from` at 0, exactly `to` from `end` on. With x =
/// step / end:
///   cubic         to + (from - to) (1 - x)^3 (1710.01878) linear        from + (to - from) x
///   exponential   1 - (1 - from) ((1 - to) / (1 - from))^x: what is left falls by the same factor
///   in each step
double sparsity_at(GradualPruning::Curve curve, double from, double to, size_t step, size_t end);

/// Steps between two masks where none are asked for, when masks grow over `end` steps.
int64_t mask_interval(size_t end);

/// Masks that grow while training goes on. Scores: |w|, or with kMovement S = -sum of rate * g * w
/// over the steps (2005.07683), where what is masked keeps its number and may come back by itself.
/// Zeros that were there at the start stay. The numbers of zeros are exact: sparsity times count,
/// rounded to nearest.
class GradualPruner {
 public:
  /// `parameters` outlive this. `steps` of the whole training. Throws kModel for a weight that is
  /// not among the parameters or that cannot have masks.
  GradualPruner(const GradualPruning& options, ParameterSet& parameters, size_t steps);

  /// After `done` steps: sets new masks where they are due. 0 before the first step.
  void update(size_t done);
  /// Gradients of the loss by the values of all parameters, and the rate of this step. Before the
  /// optimizer moves anything.
  void observe(std::span<const at::Tensor> gradients, double rate);
  /// The end of the schedule is reached: masks stay.
  bool finished(size_t done) const { return done >= end_; }
  /// Masks that are chosen until then.
  size_t masks() const { return (end_ + interval() - 1) / interval(); }
  /// Share of zeros now, and in the end.
  double reached() const;
  double wanted() const;
  /// Writes down that later steps keep the zeros.
  void record(Model& model) const;

  /// Scores and last gradients, for checkpoints.
  std::vector<at::Tensor> snapshot() const;
  /// `done`: steps that were done when the snapshot was taken; parameters are those of then
  /// already.
  void restore(const std::vector<at::Tensor>& snapshot, size_t done);

 private:
  struct Weight {
    size_t index = 0;  ///< among the parameters
    double to = 0;
    at::Tensor fixed;     ///< true where it was zero at the start
    at::Tensor movement;  ///< sum of -rate * g * w
    at::Tensor gradient;  ///< of the last step
  };
  size_t interval() const { return static_cast<size_t>(options_.every); }
  std::vector<float> scores(const Weight& weight) const;
  std::vector<at::Tensor> choose(size_t done) const;
  bool keeps_masked(size_t done) const;
  void regrow(const Weight& weight, at::Tensor& mask, int64_t count) const;

  GradualPruning options_;
  ParameterSet& parameters_;
  std::vector<Weight> weights_;
  size_t end_ = 0;
};

}  // namespace mcompress::train
