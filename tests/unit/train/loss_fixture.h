// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/error.h"
#include "train/loss.h"

namespace mcompress::train {

/// Labels and nothing else.
class LabelledData final : public Dataset {
 public:
  explicit LabelledData(std::optional<Tensor> labels, size_t size = 0)
      : labels_(std::move(labels)),
        size_(labels_ ? static_cast<size_t>(labels_->shape().at(0)) : size) {}
  size_t size() const override { return size_; }
  Feeds feeds(size_t, size_t) const override { return {}; }
  bool batchable() const override { return true; }
  bool has_labels() const override { return labels_.has_value(); }
  std::string description() const override { return "train.npz"; }
  std::string fingerprint() const override { return "train.npz"; }
  std::optional<Tensor> labels(size_t first, size_t count) const override {
    if (!labels_) return std::nullopt;
    Shape shape = labels_->shape();
    const size_t row = labels_->byte_size() / size_;
    shape[0] = static_cast<int64_t>(count);
    return Tensor(labels_->type(), shape, labels_->bytes().subspan(first * row, count * row));
  }

 private:
  std::optional<Tensor> labels_;
  size_t size_;
};

inline Tensor classes(Shape shape, const std::vector<int64_t>& values) {
  return Tensor::from<int64_t>(std::move(shape), values);
}
inline Tensor numbers(Shape shape, const std::vector<float>& values) {
  return Tensor::from<float>(std::move(shape), values);
}
inline at::Tensor of(const at::Tensor& like, const std::vector<double>& values) {
  return at::tensor(values, at::kDouble).reshape(like.sizes());
}
/// Numbers in -2..2 that repeat nowhere.
inline at::Tensor wavy(at::IntArrayRef shape, double start = 0.3) {
  int64_t count = 1;
  for (const int64_t d : shape) count *= d;
  return (at::arange(count, at::kDouble) * 1.7 + start).sin().mul(2).reshape(shape);
}
inline at::Tensor long_tensor(const std::vector<int64_t>& values, at::IntArrayRef shape) {
  return at::tensor(values, at::kLong).reshape(shape);
}

inline LossHead head_of(LossHead::Ending ending = LossHead::Ending::kNone, int64_t axis = -1) {
  LossHead head;
  head.output = "y";
  head.value = "z";
  head.ending = ending;
  head.axis = axis;
  head.has_axis = ending == LossHead::Ending::kSoftmax || ending == LossHead::Ending::kLogSoftmax;
  return head;
}

/// A loss for values like `output`.
struct LossCase {
  LossOptions options = {};
  DistillOptions distill = {};
  LossHead head = head_of();
  std::optional<Tensor> labels = {};
  at::Tensor output;
  std::vector<at::Tensor> features = {};
  std::vector<std::vector<at::Tensor>> teachers = {};
  int64_t samples = 0;  ///< of output; 0: its first axis

  std::unique_ptr<Loss> make() const {
    DistillOptions taught = distill;
    while (taught.teachers.size() < teachers.size()) taught.teachers.emplace_back();
    const LossProbe probe{samples == 0 ? output.size(0) : samples, output, features, teachers};
    return make_loss(options, taught, head, LabelledData(labels, 4), probe, 7);
  }
  std::string error() const {
    try {
      make();
    } catch (const Error& error) {
      return std::to_string(static_cast<int>(error.code())) + " " + error.message();
    }
    return "";
  }
};

/// The gradient of `loss` at `value` is that of central differences.
inline void expect_gradient(const at::Tensor& value,
                            const std::function<at::Tensor(const at::Tensor&)>& loss) {
  const at::Tensor leaf = value.detach().clone().requires_grad_(true);
  const at::Tensor gradient = torch::autograd::grad({loss(leaf)}, {leaf})[0].reshape(-1);
  constexpr double kStep = 1e-5;
  for (int64_t i = 0; i < value.numel(); ++i) {
    const auto at_offset = [&](double offset) {
      at::Tensor moved = value.detach().clone();
      moved.view(-1)[i] += offset;
      return loss(moved).item<double>();
    };
    const double expected = (at_offset(kStep) - at_offset(-kStep)) / (2 * kStep);
    EXPECT_NEAR(gradient[i].item<double>(), expected, 1e-6 + 1e-5 * std::abs(expected))
        << "element " << i;
  }
}

}  // namespace mcompress::train
