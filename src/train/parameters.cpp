// SPDX-License-Identifier: Apache-2.0
#include "train/parameters.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <set>

#include "mcompress/layer.h"
#include "train/quantizers.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

/// For files without a record of what was done to them (rules.md 15).
constexpr double kLeastZeros = 0.3;
constexpr size_t kMostValues = 256;
constexpr size_t kWeightsPerValue = 8;
/// What is added to attention scores where nothing may be attended to.
constexpr double kMaskValue = -1e4;

/// Each element is a number of its own, but for those that a mask keeps at zero.
class DenseParameter final : public Parameter {
 public:
  DenseParameter(std::string name, const at::Tensor& value, bool keep_zeros)
      : Parameter(std::move(name)), leaves_({value.clone().contiguous()}) {
    if (keep_zeros) mask_ = value.ne(0).to(value.scalar_type());
    project();
  }
  std::vector<at::Tensor>& leaves() override { return leaves_; }
  at::Tensor value(std::span<const at::Tensor> leaves) const override {
    return mask_.defined() ? leaves[0] * mask_ : leaves[0];
  }
  void project() override {
    // Not by multiplication, which would leave -0.
    if (mask_.defined() && !keep_masked_) leaves_[0].masked_fill_(mask_.eq(0), 0);
  }
  void store(Model& model) const override { store_constant(model, name(), masked()); }
  bool decays() const override { return leaves_[0].dim() > 1; }
  size_t count() const override {
    return static_cast<size_t>(mask_.defined() ? mask_.sum(at::kLong).item<int64_t>()
                                               : leaves_[0].numel());
  }
  std::vector<at::Tensor> snapshot() const override {
    std::vector<at::Tensor> result = {leaves_[0].clone()};
    if (mask_.defined()) result.push_back(mask_.clone());
    return result;
  }
  void restore(const std::vector<at::Tensor>& snapshot) override {
    leaves_[0].copy_(snapshot.at(0));
    mask_ = snapshot.size() > 1 ? snapshot[1].clone() : at::Tensor();
  }
  bool set_mask(const at::Tensor& mask, bool keep_masked) override {
    mask_ = mask.to(leaves_[0].scalar_type());
    keep_masked_ = keep_masked;
    project();
    return true;
  }
  at::Tensor mask() const override { return mask_; }

 private:
  at::Tensor masked() const {
    return mask_.defined() ? leaves_[0].masked_fill(mask_.eq(0), 0) : leaves_[0];
  }

  std::vector<at::Tensor> leaves_;
  at::Tensor mask_;           ///< 1 or 0, of the leaf's type
  bool keep_masked_ = false;  ///< masked elements keep their numbers, for a later mask
};

/// One leaf for all elements that have the same value. The optimizer sees the sum of their
/// gradients.
class SharedParameter final : public Parameter {
 public:
  SharedParameter(std::string name, const at::Tensor& value)
      : Parameter(std::move(name)), shape_(value.sizes().vec()) {
    const at::Tensor nonzero = value.masked_select(value.ne(0));
    const at::Tensor distinct = std::get<0>(at::_unique(nonzero, /*sorted=*/true));
    leaves_ = {distinct.contiguous().clone()};
    // 0 is the zero, i + 1 is leaf i.
    const at::Tensor flat = value.reshape({-1}).contiguous();
    at::Tensor place = at::searchsorted(distinct, flat);
    place.clamp_max_(std::max<int64_t>(distinct.numel() - 1, 0)).add_(1);
    members_ = place.masked_fill(flat.eq(0), 0);
  }
  std::vector<at::Tensor>& leaves() override { return leaves_; }
  at::Tensor value(std::span<const at::Tensor> leaves) const override {
    const at::Tensor table = at::cat({at::zeros({1}, leaves[0].options()), leaves[0]});
    return table.index_select(0, members_).view(shape_);
  }
  void store(Model& model) const override { store_constant(model, name(), value(leaves_)); }
  bool decays() const override { return false; }
  std::vector<at::Tensor> snapshot() const override {
    return {leaves_[0].clone(), members_.clone()};
  }
  void restore(const std::vector<at::Tensor>& snapshot) override {
    leaves_[0].copy_(snapshot.at(0));
    members_ = snapshot.at(1).clone();
  }
  bool set_mask(const at::Tensor& mask, bool /*keep_masked*/) override {
    members_ = members_.masked_fill(mask.reshape({-1}).eq(0), 0);
    return true;
  }
  at::Tensor mask() const override {
    return members_.ne(0).to(leaves_[0].scalar_type()).view(shape_);
  }

 private:
  std::vector<int64_t> shape_;
  std::vector<at::Tensor> leaves_;
  at::Tensor members_;
};

bool is_weight_value(const at::Tensor& value) {
  return value.numel() > 0 && at::isfinite(value).all().item<bool>() &&
         value.min().item<double>() > kMaskValue;
}

struct Structure {
  bool zeros = false, values = false, tied = false;
};

Structure recorded_structure(const Model& model, const std::string& name) {
  Structure result;
  const auto [first, last] = model.state().constraints.equal_range(name);
  for (auto it = first; it != last; ++it) {
    result.zeros |= it->second.kind == ConstraintKind::kMask;
    result.values |= it->second.kind == ConstraintKind::kCodebook;
    result.tied |= it->second.kind == ConstraintKind::kTied;
  }
  return result;
}

/// What the weight of a layer shows of a file that nothing is recorded of.
Structure shown_structure(const at::Tensor& weight) {
  Structure result;
  const auto count = static_cast<size_t>(weight.numel());
  const at::Tensor nonzero = weight.masked_select(weight.ne(0));
  const auto zeros = static_cast<double>(count) - static_cast<double>(nonzero.numel());
  result.zeros = zeros >= kLeastZeros * static_cast<double>(count);
  // Few weights tell that there are too many values without sorting all of them.
  const int64_t probe = std::min<int64_t>(nonzero.numel(), 65536);
  if (std::get<0>(at::_unique(nonzero.slice(0, 0, probe))).numel() <=
      static_cast<int64_t>(kMostValues)) {
    const auto distinct = static_cast<size_t>(std::get<0>(at::_unique(nonzero)).numel());
    result.values = distinct <= kMostValues && count >= kWeightsPerValue * distinct;
  }
  return result;
}

std::set<std::string> layer_weights(const Model& model) {
  Model copy = model.clone();
  std::set<std::string> result;
  for (const Layer& layer : find_layers(copy)) result.insert(layer.weight.name());
  return result;
}

}  // namespace

size_t Parameter::count() const {
  size_t result = 0;
  for (const at::Tensor& leaf : const_cast<Parameter*>(this)->leaves()) {
    result += static_cast<size_t>(leaf.numel());
  }
  return result;
}

std::vector<at::Tensor> Parameter::snapshot() const {
  std::vector<at::Tensor> result;
  for (const at::Tensor& leaf : const_cast<Parameter*>(this)->leaves())
    result.push_back(leaf.clone());
  return result;
}

void Parameter::restore(const std::vector<at::Tensor>& snapshot) {
  for (size_t i = 0; i < leaves().size(); ++i) leaves()[i].copy_(snapshot.at(i));
}

size_t ParameterSet::count() const {
  size_t result = 0;
  for (const auto& parameter : parameters) result += parameter->count();
  return result;
}

std::vector<std::string> ParameterSet::names() const {
  std::vector<std::string> result;
  for (const auto& parameter : parameters) result.push_back(parameter->name());
  for (const TiedCopy& copy : copies) result.push_back(copy.name);
  return result;
}

void ParameterSet::store(Model& model) const {
  for (const auto& parameter : parameters) parameter->store(model);
  for (const TiedCopy& copy : copies) {
    auto& source = *parameters[copy.source];
    const at::Tensor value = source.value(source.leaves());
    store_constant(model, copy.name, copy.transposed ? value.t() : value);
  }
}

void store_constant(Model& model, const std::string& name, const at::Tensor& value) {
  Graph& graph = model.graph();
  const ValueRef place = graph.find(name);
  const Tensor stored = from_torch(value).cast(place.constant_type());
  if (place.constant() != stored) graph.set_constant(place, stored);
}

std::unique_ptr<Parameter> make_dense_parameter(std::string name, const at::Tensor& value,
                                                bool keep_zeros) {
  return std::make_unique<DenseParameter>(std::move(name), value, keep_zeros);
}

std::unique_ptr<Parameter> make_shared_parameter(std::string name, const at::Tensor& value) {
  return std::make_unique<SharedParameter>(std::move(name), value);
}

ParameterSet make_parameters(const Model& model, const std::vector<std::string>& names,
                             const TrainingTask& task) {
  ParameterSet result;
  const std::set<std::string> weights =
      task.keep_structure ? layer_weights(model) : std::set<std::string>();
  std::vector<std::pair<at::Tensor, size_t>> tied;  // values that others may be copies of
  for (const std::string& name : std::set<std::string>(names.begin(), names.end())) {
    const ValueRef place = model.graph().find(name);
    if (!place || !place.is_constant() || !is_floating(place.constant_type())) continue;
    at::Tensor value = to_torch(*place.constant());
    if (value.scalar_type() != at::kDouble) value = value.to(at::kFloat);
    if (!is_weight_value(value)) continue;
    Structure structure;
    if (task.keep_structure) {
      structure = recorded_structure(model, name);
      if (!structure.zeros && !structure.values && weights.count(name) > 0) {
        const bool is_tied = structure.tied;
        structure = shown_structure(value);
        structure.tied = is_tied;
      }
    }
    if (structure.tied) {
      const auto source = std::find_if(tied.begin(), tied.end(), [&](const auto& known) {
        return at::equal(known.first, value) ||
               (value.dim() == 2 && known.first.dim() == 2 && at::equal(known.first.t(), value));
      });
      if (source != tied.end()) {
        result.copies.push_back({name, source->second, !at::equal(source->first, value)});
        continue;
      }
      tied.emplace_back(value, result.parameters.size());
    }
    result.parameters.push_back(structure.values
                                    ? make_shared_parameter(name, value)
                                    : make_dense_parameter(name, value, structure.zeros));
  }
  if (task.quantizers.enabled) {
    for (auto& parameter : make_quantizers(model, task)) {
      result.parameters.push_back(std::move(parameter));
    }
  }
  return result;
}

}  // namespace mcompress::train
