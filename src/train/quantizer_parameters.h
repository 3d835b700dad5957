// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/layer.h"
#include "numerics/reduction_layout.h"
#include "train/fake_quantize.h"
#include "train/parameters.h"

// The kinds of Parameter that make_quantizers makes.
namespace mcompress::train {

/// Scales s = s0 exp(u), with u as the leaf: they stay positive, and a step of Adam, which does not
/// see how large a gradient is, changes them by a share of themselves. Plain descent is given what
/// LSQ gives it on s itself: the gradient by u over s0^2.
class Scales {
 public:
  Scales(at::Tensor start, bool learned, OptimizerKind optimizer)
      : start_(std::move(start)), learned_(learned) {
    if (learned_) leaf_ = at::zeros_like(start_);
    if (optimizer == OptimizerKind::kSgd) descent_ = at::square(start_).reciprocal();
  }
  bool learned() const { return learned_; }
  const at::Tensor& leaf() const { return leaf_; }
  const at::Tensor& start() const { return start_; }
  /// Of a copy of the leaf, times `factor` in the gradient.
  at::Tensor from(const at::Tensor& leaf, const at::Tensor& factor = {}) const {
    at::Tensor change = leaf;
    if (descent_.defined()) change = ScaledGradient::apply(change, descent_);
    if (factor.defined()) change = ScaledGradient::apply(change, factor);
    return start_ * at::exp(change);
  }
  at::Tensor now() const {
    const at::NoGradGuard no_gradients;
    return learned_ ? start_ * at::exp(leaf_.detach()) : start_;
  }
  /// For a single scale: project() keeps it from getting larger.
  void limit(double most) { most_ = most; }
  void project();

 private:
  at::Tensor start_, leaf_, descent_;
  std::optional<double> most_;
  bool learned_;
};

/// What a DequantizeLinear over a constant says.
struct StoredIntegers {
  NodeRef node;
  ValueRef codes, scales;
  DataType type = DataType::kInt8;
  int64_t axis = 0, block = 0;

  std::string output() const { return node.output_name(0); }
  /// Input of the node, as the file has it.
  at::Tensor tensor(int input) const;
};

/// Nothing where `node` is something else, or its integers have other readers.
std::optional<StoredIntegers> stored_integers(const NodeRef& node);
bool has_one_reader(const ValueRef& value);

/// Null without an entry.
template <class T>
const T* find_named(const std::vector<std::pair<std::string, T>>& list, const std::string& name) {
  const auto it = std::find_if(list.begin(), list.end(),
                               [&](const auto& entry) { return entry.first == name; });
  return it == list.end() ? nullptr : &it->second;
}

/// The output of a DequantizeLinear over constant integers: a float weight and its scales.
class WeightQuantizer final : public Parameter {
 public:
  /// `layer`: whose weight it is, where it is one.
  WeightQuantizer(const StoredIntegers& stored, const std::optional<Layer>& layer,
                  const TrainingTask& task);
  std::vector<at::Tensor>& leaves() override { return leaves_; }
  bool decays() const override { return true; }
  at::Tensor value(std::span<const at::Tensor> leaves) const override;
  void project() override;
  void store(Model& model) const override;
  const std::shared_ptr<Scales>& scales() const { return scales_; }

 private:
  at::Tensor start_of(const at::Tensor& codes, const Tensor* floats) const;
  at::Tensor levels_of(const at::Tensor& weight, const at::Tensor& scale, at::Tensor* inside) const;
  at::Tensor in_pairs(const at::Tensor& codes) const;
  void keep_zeros(const Tensor* floats);

  std::string codes_, scale_name_;
  DataType type_;
  int64_t axis_, block_;
  CodeRange range_;
  bool binary_ = false;
  std::optional<numerics::ReductionLayout> pairs_;
  std::shared_ptr<Scales> scales_;
  at::Tensor zero_;  ///< spread; undefined where it is 0
  at::Tensor kept_;  ///< 0 where a weight stays 0; undefined without
  std::vector<at::Tensor> leaves_;
};

/// The scale of activations, by the name of its constant. The factor of LSQ is applied in the
/// operators, which know the number of values.
class ActivationScale final : public Parameter {
 public:
  ActivationScale(std::string name, std::shared_ptr<Scales> scales)
      : Parameter(std::move(name)), scales_(std::move(scales)), leaves_{scales_->leaf()} {}
  std::vector<at::Tensor>& leaves() override { return leaves_; }
  bool decays() const override { return false; }
  at::Tensor value(std::span<const at::Tensor> leaves) const override {
    return scales_->from(leaves[0]);
  }
  void project() override { scales_->project(); }
  void store(Model& model) const override;

 private:
  std::shared_ptr<Scales> scales_;
  std::vector<at::Tensor> leaves_;
};

/// A bias in int32 with scale s_x s_w: both may move, and the integers follow.
class BiasQuantizer final : public Parameter {
 public:
  /// `input`, `weight`: of s_x and s_w; null where the file's own scale stays. `floats`: to start
  /// from, or null. Without `trained` the bias only follows.
  BiasQuantizer(const StoredIntegers& stored, std::shared_ptr<Scales> input,
                std::shared_ptr<Scales> weight, const Tensor* floats, bool trained);
  std::vector<at::Tensor>& leaves() override { return leaves_; }
  bool decays() const override { return false; }
  at::Tensor value(std::span<const at::Tensor> leaves) const override;
  void store(Model& model) const override;

 private:
  bool follows() const;
  at::Tensor step_now() const;

  std::string codes_, scale_name_;
  at::Tensor file_scales_, bias_;
  std::shared_ptr<Scales> input_, weight_;
  std::vector<at::Tensor> leaves_;
};

}  // namespace mcompress::train
