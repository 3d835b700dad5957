// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/dataset.h"
#include "mcompress/trainer.h"

namespace mcompress::train {

/// Where a loss looks into a model: before the Softmax, LogSoftmax, Sigmoid or ArgMax that the
/// output ends in, because its logarithm is exact and has a gradient everywhere there.
struct LossHead {
  enum class Ending { kNone, kSoftmax, kLogSoftmax, kSigmoid };
  std::string output;  ///< of the model
  std::string value;   ///< what a run of the student has to compute for Loss
  Ending ending = Ending::kNone;
  bool applied = false;  ///< `value` is behind the ending, because a reshape follows it
  int64_t axis = -1;     ///< of classes, of Softmax or ArgMax
  bool flat = false;     ///< Softmax of opset < 13: over all axes from `axis` on
  bool has_axis = false;
};
/// `output`: "" is the first. Throws kModel for one that the model does not have.
LossHead find_head(const Model& model, const std::string& output);

/// One batch, or one shard of it, as tensors.
struct Batch {
  std::vector<std::pair<std::string, at::Tensor>> inputs;  ///< samples first
  at::Tensor labels;                 ///< undefined without labels; as Dataset::labels says
  at::Tensor mixed_labels;           ///< of the sample that was mixed in; undefined without mixup
  double mixed_share = 1;            ///< weight of `labels`
  at::Tensor soft;                   ///< of Loss::soft_target; undefined without teachers
  std::vector<at::Tensor> features;  ///< of the first teacher, in the order of FeaturePair
};
/// Samples [first, first + count): views.
Batch shard(const Batch& batch, int64_t first, int64_t count);

/// What one run over a few samples gave, to learn shapes from.
struct LossProbe {
  int64_t samples = 1;                            ///< rows along the sample axis
  at::Tensor output;                              ///< LossHead::value of the student
  std::vector<at::Tensor> features;               ///< of the student
  std::vector<std::vector<at::Tensor>> teachers;  ///< of each: output, then features
};

/// The loss of a shard. Thread-safe but for leaves().
class Loss {
 public:
  virtual ~Loss() = default;
  virtual LossKind kind() const = 0;
  /// Labels of the data take part; otherwise teachers alone.
  virtual bool uses_labels() const = 0;
  /// Its formula can be computed on `data`: what it needs of labels is there.
  virtual bool accepts(const Dataset& data) const = 0;
  /// Numbers that belong to the loss alone: regressors of features whose shapes differ; not part of
  /// the model.
  virtual std::vector<at::Tensor>& leaves() = 0;
  /// Batch::soft from the outputs of all teachers on the (augmented) batch, as their models give
  /// them. Throws kModel for another shape than the student's.
  virtual at::Tensor soft_target(const std::vector<at::Tensor>& outputs) const = 0;
  /// The same from LossHead::value of a model with the student's own graph (self-distillation).
  virtual at::Tensor self_target(const at::Tensor& value) const = 0;
  /// Sum over the shard's samples (so that shards add up), to be divided by the batch's size.
  /// `output`: LossHead::value. `features`: of the student. `leaves`: this shard's copies.
  virtual at::Tensor operator()(const at::Tensor& output, const std::vector<at::Tensor>& features,
                                const Batch& shard, std::span<const at::Tensor> leaves) const = 0;
};

/// Chooses the kind and checks all labels against the output. Throws kData naming data, sample and
/// value for labels that are missing, of a wrong type, shape or range; kModel for a teacher or a
/// feature that does not fit; kRecipe for options that do not go together.
std::unique_ptr<Loss> make_loss(const LossOptions& options, const DistillOptions& distill,
                                const LossHead& head, const Dataset& data, const LossProbe& probe,
                                uint64_t seed);

/// Samples do not stay as they are.
bool changes_samples(const AugmentOptions& options);
/// Throws kRecipe where the inputs of a batch are no images and shall be moved as such, or are
/// moved out of sight; for noise and mixup where none are floats.
void check_augmentation(const Batch& batch, const AugmentOptions& options);
/// Shift, flip, crop, noise of each sample and mixup of the batch, from random numbers of (seed,
/// step): the same for any number of threads. The first input of rank 4 is changed, or where there
/// is none by noise and mixup the first of floats; before soft targets are made.
void augment(Batch& batch, const AugmentOptions& options, uint64_t seed, uint64_t step);

}  // namespace mcompress::train
