// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/dataset.h"
#include "mcompress/trainer.h"
#include "train/loss.h"

namespace mcompress::train {

/// The order in which epoch `epoch` takes `count` samples.
std::vector<size_t> shuffled(size_t count, uint64_t seed, uint64_t epoch);

/// Samples of a data set as tensors. All of them are held in memory where they are no more than 1
/// GiB, else each batch is read anew. Thread-safe.
class Samples {
 public:
  explicit Samples(std::shared_ptr<const Dataset> data);

  size_t size() const { return data_->size(); }
  /// Samples can be put one on the other; otherwise a batch is one sample.
  bool stacked() const { return stacked_; }
  /// These samples in this order; one alone where they are not stacked.
  Batch batch(std::span<const size_t> indices) const;

 private:
  void read_all();
  Batch read(size_t first, size_t count) const;

  std::shared_ptr<const Dataset> data_;
  bool stacked_ = false;
  Batch all_;  ///< empty where it is not held
};

/// Indices as a tensor.
at::Tensor to_rows(std::span<const size_t> indices);

/// How long a training is, in steps. What is left at the end of an epoch that makes no whole batch
/// is left out of it.
struct Length {
  size_t per_epoch = 1, steps = 1;
};
Length length_of(const TrainingTask& task);

/// Inputs as a model is fed them.
Feeds to_feeds(const Batch& batch);

}  // namespace mcompress::train
