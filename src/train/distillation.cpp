// SPDX-License-Identifier: Apache-2.0
#include "train/distillation.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mcompress/error.h"
#include "support/random_bits.h"

namespace mcompress::train {
namespace {

constexpr double kLeastProbability = 1e-30;
constexpr double kSumSlack = 1e-3;

/// Average pooling of both to the smaller size of each axis from 2 on.
void pool_to_smaller(at::Tensor& a, at::Tensor& b) {
  if (a.dim() < 4 || a.dim() > 5) return;
  std::vector<int64_t> size;
  for (int64_t axis = 2; axis < a.dim(); ++axis)
    size.push_back(std::min(a.size(axis), b.size(axis)));
  for (at::Tensor* value : {&a, &b}) {
    if (value->sizes().slice(2) == at::IntArrayRef(size)) continue;
    *value = a.dim() == 4 ? at::adaptive_avg_pool2d(*value, size)
                          : at::adaptive_avg_pool3d(*value, size);
  }
}

[[noreturn]] void cannot_compare(const FeaturePair& pair, const at::Tensor& student,
                                 const at::Tensor& teacher) {
  throw Error(ErrorCode::kModel, fmt::format("features '{}' of shape {} and '{}' of the teacher of "
                                             "shape {}: only their channels, and the "
                                             "height and width of images, may differ",
                                             pair.student, to_string(student.sizes().vec()),
                                             pair.teacher, to_string(teacher.sizes().vec())));
}

/// Axis whose lengths a regressor has to reconcile, -1 for none; throws where one does not suffice.
int64_t regressed_axis(const FeaturePair& pair, const at::Tensor& student,
                       const at::Tensor& teacher, int64_t samples) {
  const int64_t rank = student.dim();
  if (rank < 2 || rank != teacher.dim() || student.size(0) != samples || teacher.size(0) != samples)
    cannot_compare(pair, student, teacher);
  std::vector<int64_t> different;
  for (int64_t axis = 1; axis < rank; ++axis) {
    if (student.size(axis) != teacher.size(axis)) different.push_back(axis);
  }
  if (rank >= 4 && rank <= 5) return student.size(1) == teacher.size(1) ? -1 : 1;
  if (different.empty()) return -1;
  if (different.size() > 1 || rank > 5) cannot_compare(pair, student, teacher);
  return different.front();
}

/// Uniform within 1 / sqrt(inputs), from random numbers of `key`.
at::Tensor first_weight(int64_t outputs, int64_t inputs, uint64_t key) {
  at::Tensor weight = at::empty({outputs, inputs}, at::kFloat);
  const double limit = 1 / std::sqrt(static_cast<double>(inputs));
  auto* values = weight.data_ptr<float>();
  for (int64_t i = 0; i < weight.numel(); ++i) {
    const double unit = support::random_unit(key, static_cast<uint64_t>(i));
    values[i] = static_cast<float>((2 * unit - 1) * limit);
  }
  return weight;
}

}  // namespace

bool are_probabilities(const at::Tensor& output) {
  const bool within = output.ge(0).logical_and(output.le(1 + kSumSlack)).all().item<bool>();
  return within && output.sum(-1).sub(1).abs().le(kSumSlack).all().item<bool>();
}

at::Tensor log_of(const at::Tensor& probabilities) {
  return probabilities.clamp_min(kLeastProbability).log();
}

at::Tensor scores_of(const at::Tensor& output) {
  return are_probabilities(output) ? log_of(output) : output;
}

at::Tensor odds_of(const at::Tensor& probabilities) {
  const at::Tensor p = probabilities.to(at::kDouble);
  return (p.clamp_min(kLeastProbability).log() - (1 - p).clamp_min(1e-9).log())
      .to(probabilities.scalar_type());
}

FeatureTerms::FeatureTerms(const std::vector<FeaturePair>& pairs,
                           const std::vector<at::Tensor>& student,
                           std::span<const at::Tensor> teacher, int64_t samples, uint64_t seed) {
  if (student.size() != pairs.size() || teacher.size() != pairs.size()) {
    throw Error(ErrorCode::kBug,
                fmt::format("features: {} of the student, {} of the teacher, {} pairs",
                            student.size(), teacher.size(), pairs.size()));
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    Term term{regressed_axis(pairs[i], student[i], teacher[i], samples), leaves_.size()};
    if (term.channels >= 0) {
      const int64_t outputs = teacher[i].size(term.channels),
                    inputs = student[i].size(term.channels);
      leaves_.push_back(first_weight(outputs, inputs, support::random_bits(seed, i)));
      leaves_.push_back(at::zeros({outputs}, at::kFloat));
    }
    terms_.push_back(term);
  }
}

at::Tensor FeatureTerms::operator()(const std::vector<at::Tensor>& student,
                                    const std::vector<at::Tensor>& teacher,
                                    std::span<const at::Tensor> leaves) const {
  at::Tensor sum;
  for (size_t i = 0; i < terms_.size(); ++i) {
    at::Tensor own = student[i], other = teacher[i].to(student[i].scalar_type());
    pool_to_smaller(own, other);
    if (terms_[i].channels >= 0) {
      const at::Tensor weight = leaves[terms_[i].leaf].to(own.scalar_type());
      const at::Tensor bias = leaves[terms_[i].leaf + 1].to(own.scalar_type());
      own = (own.movedim(terms_[i].channels, -1).matmul(weight.t()) + bias)
                .movedim(-1, terms_[i].channels);
    }
    const at::Tensor difference = (own - other).flatten(1);
    const at::Tensor term = (difference * difference).mean(1).sum();
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

}  // namespace mcompress::train
