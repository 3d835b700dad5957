// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <optional>

#include "mcompress/dataset.h"
#include "mcompress/trainer.h"

namespace mcompress::train {

/// One batch, or one shard of it, as tensors.
struct Batch {
  std::vector<std::pair<std::string, at::Tensor>> inputs;  ///< samples first
  at::Tensor labels;                 ///< undefined without labels; as Dataset::labels says
  at::Tensor mixed_labels;           ///< of the sample that was mixed in; undefined without mixup
  double mixed_share = 1;            ///< weight of `labels`
  at::Tensor soft;                   ///< weighted mean of the teachers' outputs; undefined without
  std::vector<at::Tensor> features;  ///< of the first teacher, in the order of FeaturePair
};
/// Samples [first, first + count).
Batch shard(const Batch& batch, int64_t first, int64_t count);

/// The loss of a shard. Made once: checks all labels against the output (shape [.., classes] or as
/// declared by one run), chooses the kind, and throws kData naming the data for labels that are missing,
/// of a wrong type or out of range.
class Loss {
 public:
  virtual ~Loss() = default;
  virtual LossKind kind() const = 0;
  /// Numbers that belong to the loss alone: regressors of features whose shapes differ; not part of the model.
  virtual std::vector<at::Tensor>& leaves() = 0;
  /// Sum over the shard's samples (so that shards add up), to be divided by the batch's size.
  /// `features`: of the student. `leaves`: this shard's copies.
  virtual at::Tensor operator()(const at::Tensor& output, const std::vector<at::Tensor>& features,
                                const Batch& shard, std::span<const at::Tensor> leaves) const = 0;
};

/// `output`, `features`: of the first sample, from one run of the student; `teacher_features` likewise.
std::unique_ptr<Loss> make_loss(const LossOptions& options, const DistillOptions& distill,
                                const Dataset& data, const at::Tensor& output,
                                const std::vector<at::Tensor>& features,
                                const std::vector<at::Tensor>& teacher_features, uint64_t seed);

/// Shift, flip, crop, noise of each sample and mixup of the batch, from random numbers of (seed, step): the
/// same for any number of threads. Only the first input of rank 4 is changed.
void augment(Batch& batch, const AugmentOptions& options, uint64_t seed, uint64_t step);

}  // namespace mcompress::train
