// SPDX-License-Identifier: Apache-2.0
#include "train/quantizer_parameters.h"

#include <cmath>

#include "analysis/layer_matrix.h"
#include "numerics/pair_rule.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr double kMostChange = 7;  // of the logarithm of a scale: a thousandfold
constexpr double kMostBinary = 2;  // scales that the float weight of a -1 or 1 may be away from 0
constexpr double kSparse = 0.3;    // share of zeros that is no accident
constexpr double kMostBias = 1 << 30;  // the other half of 32 bits is for the products

/// levels * scale, where the levels are those of `weight`: straight through where `inside` is 1. Of
/// `signs` nothing is outside, and the levels do not depend on the scale.
class FakeQuantize : public Function<FakeQuantize> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& weight,
                            const at::Tensor& scale, const at::Tensor& levels,
                            const at::Tensor& inside, bool signs) {
    context->save_for_backward({weight, scale, levels, inside});
    context->saved_data["signs"] = signs;
    return at::mul(levels, scale);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &weight = saved[0], &scale = saved[1], &levels = saved[2], &inside = saved[3];
    at::Tensor slope = levels;
    if (!context->saved_data["signs"].toBool()) slope = levels - inside * at::div(weight, scale);
    return {gradients[0] * inside, (gradients[0] * slope).sum_to_size(scale.sizes()), at::Tensor(),
            at::Tensor(), at::Tensor()};
  }
};

void write_codes(Model& model, const std::string& name, DataType type, const at::Tensor& codes) {
  Graph& graph = model.graph();
  const Tensor integers = from_torch(codes.to(torch_type(type)).contiguous());
  graph.set_constant(graph.find(name), integers.type() == type ? integers : integers.cast(type));
}

void write_scales(Model& model, const std::string& name, const at::Tensor& scales) {
  Graph& graph = model.graph();
  const ValueRef value = graph.find(name);
  graph.set_constant(value, from_torch(scales.contiguous()).reshaped(value.constant_shape()));
}

at::Tensor bias_codes(const at::Tensor& bias, const at::Tensor& step) {
  return at::round(at::div(bias, step)).clamp_(-kMostBias, kMostBias);
}

}  // namespace

void Scales::project() {
  if (!learned_) return;
  const at::NoGradGuard no_gradients;
  leaf_.clamp_(-kMostChange, kMostChange);
  if (most_) leaf_.clamp_max_(std::log(*most_ / start_.item<double>()));
}

at::Tensor StoredIntegers::tensor(int input) const {
  return to_torch(*node.input(input).constant());
}

bool has_one_reader(const ValueRef& value) {
  return value.uses().size() == 1 && !value.is_graph_output();
}

std::optional<StoredIntegers> stored_integers(const NodeRef& node) {
  if (!node.is("DequantizeLinear")) return std::nullopt;
  StoredIntegers stored;
  stored.node = node;
  stored.codes = node.input(0);
  stored.scales = node.input(1);
  const ValueRef zero = node.input(2);
  if (!stored.codes.is_constant() || !has_one_reader(stored.codes)) return std::nullopt;
  if (!stored.scales.is_constant() || stored.scales.constant_type() != DataType::kFloat) {
    return std::nullopt;
  }
  if (zero && !zero.is_constant()) return std::nullopt;
  stored.type = stored.codes.constant_type();
  if (is_floating(stored.type) || stored.type == DataType::kUint16) return std::nullopt;
  const Shape shape = stored.codes.constant_shape();
  const auto rank = static_cast<int64_t>(shape.size());
  stored.axis = node.attribute("axis", int64_t{1});
  if (stored.axis < 0) stored.axis += rank;
  stored.block = node.attribute("block_size", int64_t{0});
  const int64_t count = element_count(stored.scales.constant_shape());
  const bool fits = count == 1 || stored.block > 0 ||
                    (stored.axis < rank && shape[static_cast<size_t>(stored.axis)] == count);
  return fits ? std::optional(stored) : std::nullopt;
}

WeightQuantizer::WeightQuantizer(const StoredIntegers& stored, const std::optional<Layer>& layer,
                                 const TrainingTask& task)
    : Parameter(stored.output()),
      codes_(stored.codes.name()),
      scale_name_(stored.scales.name()),
      type_(stored.type),
      axis_(stored.axis),
      block_(stored.block),
      range_(code_range(stored.type)) {
  const QuantizerTraining& how = task.quantizers;
  if (const int64_t* const limit = find_named(how.limits, codes_)) {
    binary_ = *limit == 0;
    range_ = {static_cast<double>(-*limit), static_cast<double>(*limit)};
  }
  if (layer && type_ == DataType::kInt8 &&
      std::find(how.pairs.begin(), how.pairs.end(), codes_) != how.pairs.end()) {
    pairs_ = analysis::reduction_layout(*layer);
  }
  scales_ = std::make_shared<Scales>(
      stored.tensor(1), how.learn_scales && has_one_reader(stored.scales), task.optimizer.kind);
  const at::Tensor codes = stored.tensor(0).to(at::kFloat);
  if (stored.node.input(2)) {
    zero_ = spread(stored.tensor(2).to(at::kFloat), codes, axis_, block_);
    if (at::count_nonzero(zero_).item<int64_t>() == 0) zero_ = at::Tensor();
  }
  leaves_.push_back(start_of(codes, find_named(how.start, codes_)));
  if (task.keep_structure) keep_zeros(find_named(how.start, codes_));
  if (scales_->learned()) leaves_.push_back(scales_->leaf());
  project();
}

at::Tensor WeightQuantizer::value(std::span<const at::Tensor> leaves) const {
  const at::Tensor& weight = leaves[0];
  at::Tensor scales = scales_->start();
  if (leaves.size() > 1) {
    const double largest = std::max({1.0, -range_.low, range_.high});
    scales = scales_->from(leaves[1], lsq_factor(weight.numel(), scales.numel(), largest));
  }
  const at::Tensor scale = spread(scales, weight, axis_, block_);
  at::Tensor inside = at::ones_like(weight.detach());
  const at::Tensor levels = levels_of(weight.detach(), scale.detach(), &inside);
  return FakeQuantize::apply(weight, scale, levels, inside, binary_);
}

/// Zeros that pruning made, not rounding (rules.md 15).
void WeightQuantizer::keep_zeros(const Tensor* floats) {
  if (binary_ || zero_.defined() || floats == nullptr) return;
  const at::Tensor kept = to_torch(*floats).to(at::kFloat).ne(0).to(at::kFloat);
  if (kept.sizes() != leaves_[0].sizes()) return;
  if (kept.mean().item<double>() <= 1 - kSparse) kept_ = kept;
}

void WeightQuantizer::project() {
  scales_->project();
  if (kept_.defined()) {
    const at::NoGradGuard no_gradients;
    leaves_[0].mul_(kept_);
  }
  if (!binary_) return;
  // Signs that no gradient holds back would run away and never turn again.
  const at::NoGradGuard no_gradients;
  const at::Tensor most = spread(scales_->now(), leaves_[0], axis_, block_) * kMostBinary;
  leaves_[0].copy_(at::minimum(at::maximum(leaves_[0], -most), most));
}

void WeightQuantizer::store(Model& model) const {
  const at::NoGradGuard no_gradients;
  const at::Tensor scales = scales_->now();
  const at::Tensor weight = leaves_[0].detach();
  at::Tensor codes = levels_of(weight, spread(scales, weight, axis_, block_), nullptr);
  if (zero_.defined()) codes = codes + zero_;
  write_codes(model, codes_, type_, codes);
  if (scales_->learned()) write_scales(model, scale_name_, scales);
}

/// The floats before rounding, as far as they round to what is stored, so that training begins
/// where the model is, and goes on where it would have gone.
at::Tensor WeightQuantizer::start_of(const at::Tensor& codes, const Tensor* floats) const {
  const at::NoGradGuard no_gradients;
  const at::Tensor levels = zero_.defined() ? codes - zero_ : codes;
  const at::Tensor scale = spread(scales_->start(), codes, axis_, block_);
  if (floats == nullptr || floats->shape() != Shape(codes.sizes().vec())) return levels * scale;
  const at::Tensor wanted = to_torch(*floats).to(at::kFloat);
  if (binary_) return wanted;
  constexpr double kCell = 0.499;
  const at::Tensor low =
      at::where(codes <= range_.low, at::full_like(codes, -INFINITY), (levels - kCell) * scale);
  const at::Tensor high =
      at::where(codes >= range_.high, at::full_like(codes, INFINITY), (levels + kCell) * scale);
  return at::minimum(at::maximum(wanted, low), high);
}

/// Codes less the zero point, and which weights are inside of the range.
at::Tensor WeightQuantizer::levels_of(const at::Tensor& weight, const at::Tensor& scale,
                                      at::Tensor* inside) const {
  const at::NoGradGuard no_gradients;
  if (binary_) return at::where(weight >= 0, 1.0, -1.0).to(at::kFloat);
  at::Tensor codes = at::round(at::div(weight, scale));
  if (zero_.defined()) codes.add_(zero_);
  if (inside != nullptr) {
    *inside = at::logical_and(codes >= range_.low, codes <= range_.high).to(at::kFloat);
  }
  codes.clamp_(range_.low, range_.high);
  if (pairs_) codes = in_pairs(codes);
  return zero_.defined() ? codes.sub_(zero_) : codes;
}

at::Tensor WeightQuantizer::in_pairs(const at::Tensor& codes) const {
  const at::Tensor integers = codes.to(at::kChar).contiguous();
  const std::span<int8_t> span(integers.data_ptr<int8_t>(), static_cast<size_t>(integers.numel()));
  return numerics::enforce_pair_rule(span, *pairs_) == 0 ? codes : integers.to(at::kFloat);
}

void ActivationScale::store(Model& model) const { write_scales(model, name(), scales_->now()); }

BiasQuantizer::BiasQuantizer(const StoredIntegers& stored, std::shared_ptr<Scales> input,
                             std::shared_ptr<Scales> weight, const Tensor* floats, bool trained)
    : Parameter(stored.output()),
      codes_(stored.codes.name()),
      scale_name_(stored.scales.name()),
      file_scales_(stored.tensor(1)),
      input_(std::move(input)),
      weight_(std::move(weight)) {
  bias_ = stored.tensor(0).to(at::kFloat) * spread(file_scales_, stored.tensor(0), 0, 0);
  if (floats != nullptr && floats->count() == bias_.numel()) {
    bias_ = to_torch(*floats).to(at::kFloat).reshape(bias_.sizes());
  }
  if (trained) leaves_.push_back(bias_);
}

at::Tensor BiasQuantizer::value(std::span<const at::Tensor> leaves) const {
  const at::Tensor bias = leaves.empty() ? bias_ : leaves[0];
  const at::Tensor step = spread(step_now(), bias, 0, 0);
  return FakeQuantize::apply(bias, step, bias_codes(bias.detach(), step),
                             at::ones_like(bias.detach()), false);
}

void BiasQuantizer::store(Model& model) const {
  const at::NoGradGuard no_gradients;
  const at::Tensor step = step_now();
  const at::Tensor& bias = leaves_.empty() ? bias_ : leaves_[0];
  write_codes(model, codes_, DataType::kInt32, bias_codes(bias.detach(), spread(step, bias, 0, 0)));
  if (follows()) write_scales(model, scale_name_, step.expand_as(file_scales_));
}

bool BiasQuantizer::follows() const {
  return input_ && weight_ && (input_->learned() || weight_->learned());
}

at::Tensor BiasQuantizer::step_now() const {
  return follows() ? weight_->now() * input_->now().reshape({}) : file_scales_;
}

}  // namespace mcompress::train
