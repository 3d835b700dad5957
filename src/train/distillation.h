// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <vector>

#include "mcompress/trainer.h"
#include "train/class_layout.h"
#include "train/loss.h"

namespace mcompress::train {

/// All rows along the last axis are within 0 to 1 and add up to 1.
bool are_probabilities(const at::Tensor& output);
/// Logarithm; of 0 a large negative number.
at::Tensor log_of(const at::Tensor& probabilities);
/// Logits, up to a constant for each place, of what a model puts out: its logarithm where it puts
/// out probabilities, else itself. [samples, places, classes].
at::Tensor scores_of(const at::Tensor& output);
/// Logits of probabilities of yes.
at::Tensor odds_of(const at::Tensor& probabilities);

/// Mean squared differences of features of student and teacher. Where the channels differ (axis 1;
/// of rank 3 the only axis that differs) a linear regressor, made of leaves, maps the student's to
/// the teacher's (1412.6550); where sizes differ, the larger is averaged down.
class FeatureTerms {
 public:
  FeatureTerms() = default;
  /// `student`, `teacher`: values of a run on `samples` samples. Throws kModel naming both values
  /// and their shapes where they cannot be compared.
  FeatureTerms(const std::vector<FeaturePair>& pairs, const std::vector<at::Tensor>& student,
               std::span<const at::Tensor> teacher, int64_t samples, uint64_t seed);

  std::vector<at::Tensor>& leaves() { return leaves_; }
  /// Sum over samples.
  at::Tensor operator()(const std::vector<at::Tensor>& student,
                        const std::vector<at::Tensor>& teacher,
                        std::span<const at::Tensor> leaves) const;

 private:
  struct Term {
    int64_t channels = -1;  ///< axis of the regressor; -1: none
    size_t leaf = 0;        ///< weight [teacher, student], then bias
  };
  std::vector<Term> terms_;
  std::vector<at::Tensor> leaves_;
};

}  // namespace mcompress::train
