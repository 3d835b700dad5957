// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <span>
#include <vector>

#include "mcompress/trainer.h"
#include "train/batches.h"
#include "train/loss.h"

namespace mcompress::train {

/// What the teachers say of samples: asked for each batch, or, where samples stay as they are and
/// the answers fit into memory, once for all of them.
class TeacherAnswers {
 public:
  /// All arguments outlive this. `chunk`: samples that are asked for at a time.
  TeacherAnswers(const std::vector<Teacher>& teachers, const Loss& loss, const Samples& samples,
                 size_t chunk)
      : teachers_(teachers), loss_(loss), samples_(samples), chunk_(chunk) {}

  /// From now on batches are samples as they are.
  void keep() { keeps_ = true; }
  /// Sets Batch::soft and Batch::features of these samples, as they are in `batch`.
  void fill(Batch& batch, std::span<const size_t> indices);

 private:
  void ask(Batch& batch) const;
  void ask_for_all();

  const std::vector<Teacher>& teachers_;
  const Loss& loss_;
  const Samples& samples_;
  size_t chunk_;
  bool keeps_ = false;
  at::Tensor soft_;  ///< of all samples; undefined where nothing is kept
  std::vector<at::Tensor> features_;
};

}  // namespace mcompress::train
