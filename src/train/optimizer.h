// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <span>
#include <vector>

#include "mcompress/trainer.h"

namespace mcompress::train {

/// Learning rate of step `step` (from 0) of `steps`. Over the warm-up's w = warmup * steps steps it
/// is rate * (step + 1) / w. Then, with p = (step - w) / (steps - w):
///   cosine    rate * (last + (1 - last) (1 + cos(pi p)) / 2)
///   linear    rate * (1 - (1 - last) p)
///   step      rate * factor^k, k: how often step_every fits into step / steps
double learning_rate(const RateOptions& options, double rate, size_t step, size_t steps);

/// Moves leaves against their gradients, in place. Element by element, so that the result is the
/// same for any number of threads.
///   SGD    g += decay w;  m = momentum m + g;  w -= rate m
///   Adam   g += decay w;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
///          w -= rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8) (1412.6980)
///   AdamW  w -= rate decay w, then as Adam without decay (1711.05101)
class Optimizer {
 public:
  /// Leaves: contiguous floats or doubles. `decays`: of each leaf.
  Optimizer(const OptimizerOptions& options, std::vector<at::Tensor> leaves,
            std::vector<bool> decays);

  /// Undefined gradients count as 0. With clip_norm, gradients are scaled down so that their common
  /// norm is no more. Returns that norm as it was; when it is not finite nothing is moved.
  double step(std::span<const at::Tensor> gradients, double rate);

  /// Moments, for checkpoints: the tensors themselves. `steps` counts for Adam's correction.
  std::vector<at::Tensor>& moments() { return moments_; }
  size_t steps = 0;

 private:
  OptimizerOptions options_;
  std::vector<at::Tensor> leaves_;
  std::vector<bool> decays_;
  std::vector<at::Tensor> moments_;  ///< one for each leaf; with Adam the second moments follow
};

}  // namespace mcompress::train
