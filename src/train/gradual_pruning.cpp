// SPDX-License-Identifier: Apache-2.0
#include "train/gradual_pruning.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "analysis/weight_editor.h"
#include "mcompress/error.h"
#include "numerics/sparsity.h"

namespace mcompress::train {
namespace {

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

}  // namespace

double sparsity_at(GradualPruning::Curve curve, double from, double to, size_t step, size_t end) {
  if (step >= end) return to;
  const double x = static_cast<double>(step) / static_cast<double>(end);
  switch (curve) {
    case GradualPruning::Curve::kCubic:
      return to + (from - to) * std::pow(1 - x, 3);
    case GradualPruning::Curve::kLinear:
      return from + (to - from) * x;
    case GradualPruning::Curve::kExponential: {
      // Towards nothing at all no factor leads; one in a million stands for it on the way.
      const double left = std::max(1 - to, 1e-6);
      return 1 - (1 - from) * std::pow(left / std::max(1 - from, 1e-6), x);
    }
  }
  return to;
}

int64_t mask_interval(size_t end) {
  constexpr int64_t kMasks = 50, kMost = 20;
  return std::clamp<int64_t>(static_cast<int64_t>(end) / kMasks, 1, kMost);
}

GradualPruner::GradualPruner(const GradualPruning& options, ParameterSet& parameters, size_t steps)
    : options_(options), parameters_(parameters) {
  end_ = std::min(steps, to_size(std::llround(options.until * static_cast<double>(steps))));
  if (options_.every <= 0) options_.every = mask_interval(end_);
  for (size_t i = 0; i < options.weights.size(); ++i) {
    const std::string& name = options.weights[i];
    const auto& all = parameters.parameters;
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& p) { return p->name() == name; });
    if (found == all.end()) {
      throw Error(ErrorCode::kModel,
                  "weight '" + name + "' cannot be pruned while training: it is not trained");
    }
    Weight weight;
    weight.index = to_size(found - all.begin());
    weight.to = options.per_weight.empty() ? options.to : options.per_weight.at(i);
    const at::Tensor value = (*found)->value((*found)->leaves());
    weight.fixed = value.eq(0);
    if (options.score == PruneScore::kMovement) weight.movement = at::zeros_like(value);
    if (!(*found)->set_mask(weight.fixed.logical_not(), false)) {
      throw Error(ErrorCode::kModel,
                  "weight '" + name + "' cannot be pruned while training: it is quantized")
          .hint("prune before the step that quantizes");
    }
    weights_.push_back(std::move(weight));
  }
}

/// All above 0 but for zeros of the start, which are pruned first.
std::vector<float> GradualPruner::scores(const Weight& weight) const {
  const auto& parameter = *parameters_.parameters[weight.index];
  auto& leaves = parameters_.parameters[weight.index]->leaves();
  at::Tensor score;
  if (options_.score == PruneScore::kMovement) {
    score = weight.movement;
  } else {
    score = parameter.value(leaves).abs();
  }
  score = score.to(at::kFloat)
              .masked_fill(weight.fixed, -std::numeric_limits<float>::max())
              .contiguous();
  const auto* const data = score.data_ptr<float>();
  return {data, data + score.numel()};
}

/// prune_lowest wants scores from 0 on; their order, over all weights alike, is all that counts.
static void shift_to_zero(std::vector<std::vector<float>>& scores) {
  float low = std::numeric_limits<float>::max();
  for (const auto& layer : scores) {
    for (const float score : layer) {
      if (score > -std::numeric_limits<float>::max()) low = std::min(low, score);
    }
  }
  const float shift = low < 0 ? -low : 0;
  for (auto& layer : scores) {
    for (float& score : layer) {
      const bool fixed = score == -std::numeric_limits<float>::max();
      score = fixed ? 0 : std::max(score + shift, std::numeric_limits<float>::min());
    }
  }
}

std::vector<at::Tensor> GradualPruner::choose(size_t done) const {
  std::vector<std::vector<float>> all_scores;
  std::vector<int64_t> targets;
  std::vector<int64_t> returns;
  const bool last = finished(done);
  int64_t total = 0, all_fixed = 0;
  double wanted = 0;
  for (const Weight& weight : weights_) {
    all_scores.push_back(scores(weight));
    const auto count = static_cast<int64_t>(all_scores.back().size());
    const double share = sparsity_at(options_.curve, options_.from, weight.to, done, end_);
    const auto fixed = weight.fixed.sum(at::kLong).item<int64_t>();
    // At least one weight of each layer stays.
    targets.push_back(std::max(std::min(numerics::prune_count(count, share), count - 1), fixed));
    total += count;
    wanted += share * static_cast<double>(count);
    all_fixed += fixed;
    const auto regrown =
        static_cast<int64_t>(options_.regrow * static_cast<double>(targets.back()));
    returns.push_back(
        last || !weight.gradient.defined() ? 0 : std::min(regrown, count - targets.back()));
  }
  shift_to_zero(all_scores);
  std::vector<numerics::Mask> masks;
  if (options_.scope == GradualPruning::Scope::kGlobal) {
    std::vector<numerics::ScoredLayer> layers;
    int64_t regrown = 0;
    for (size_t i = 0; i < weights_.size(); ++i) {
      const auto count = static_cast<double>(all_scores[i].size());
      layers.push_back({.scores = all_scores[i], .max_sparsity = 1 - 1 / count});
      regrown += returns[i];
    }
    const int64_t pruned = std::max<int64_t>(std::llround(wanted), all_fixed);
    masks = numerics::prune_lowest(layers, std::min(pruned + regrown, total));
  } else {
    for (size_t i = 0; i < weights_.size(); ++i) {
      const numerics::ScoredLayer layer = {.scores = all_scores[i]};
      masks.push_back(numerics::prune_lowest({&layer, 1}, targets[i] + returns[i]).front());
    }
  }
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < weights_.size(); ++i) {
    at::Tensor mask = at::empty(weights_[i].fixed.sizes(), at::kByte);
    std::copy(masks[i].begin(), masks[i].end(), mask.data_ptr<uint8_t>());
    if (returns[i] > 0) regrow(weights_[i], mask, returns[i]);
    result.push_back(std::move(mask));
  }
  return result;
}

/// Lets `count` of the pruned weights back, those whose gradients are largest (1911.11134), but no
/// zeros of the start.
void GradualPruner::regrow(const Weight& weight, at::Tensor& mask, int64_t count) const {
  const at::Tensor candidates = mask.eq(0).logical_and(weight.fixed.logical_not()).reshape({-1});
  const at::Tensor size =
      weight.gradient.abs().reshape({-1}).masked_fill(candidates.logical_not(), -1);
  const auto order = at::argsort(size, /*stable=*/true, 0, /*descending=*/true);
  const int64_t most = std::min(count, candidates.sum(at::kLong).item<int64_t>());
  mask.view({-1}).index_fill_(0, order.slice(0, 0, most), 1);
}

bool GradualPruner::keeps_masked(size_t done) const {
  return options_.score == PruneScore::kMovement && !finished(done);
}

void GradualPruner::update(size_t done) {
  if (done > end_ || (done != end_ && done % interval() != 0)) return;
  const auto masks = choose(done);
  const bool keep = keeps_masked(done);
  for (size_t i = 0; i < weights_.size(); ++i) {
    parameters_.parameters[weights_[i].index]->set_mask(masks[i], keep);
  }
}

void GradualPruner::observe(std::span<const at::Tensor> gradients, double rate) {
  for (Weight& weight : weights_) {
    const at::Tensor& gradient = gradients[weight.index];
    if (!gradient.defined()) continue;
    weight.gradient = gradient.detach();
    if (!weight.movement.defined()) continue;
    const auto& leaves = parameters_.parameters[weight.index]->leaves();
    // A masked weight's own number, not its effect, which is 0.
    const at::Tensor number = leaves[0].sizes() == gradient.sizes()
                                  ? leaves[0]
                                  : parameters_.parameters[weight.index]->value(leaves);
    weight.movement.addcmul_(gradient, number, -rate);
  }
}

double GradualPruner::reached() const {
  double zeros = 0, count = 0;
  for (const Weight& weight : weights_) {
    const at::Tensor mask = parameters_.parameters[weight.index]->mask();
    zeros += static_cast<double>(mask.eq(0).sum(at::kLong).item<int64_t>());
    count += static_cast<double>(mask.numel());
  }
  return count > 0 ? zeros / count : 0;
}

double GradualPruner::wanted() const {
  double zeros = 0, count = 0;
  for (const Weight& weight : weights_) {
    const auto size = static_cast<double>(weight.fixed.numel());
    zeros += size * weight.to;
    count += size;
  }
  return count > 0 ? zeros / count : 0;
}

void GradualPruner::record(Model& model) const {
  for (const Weight& weight : weights_) {
    const ValueRef place = model.graph().find(parameters_.parameters[weight.index]->name());
    analysis::record_constraint(model, place, ConstraintKind::kMask, "fine-tune");
  }
}

std::vector<at::Tensor> GradualPruner::snapshot() const {
  std::vector<at::Tensor> result;
  for (const Weight& weight : weights_) {
    result.push_back(weight.movement.defined() ? weight.movement : at::zeros({0}));
    result.push_back(weight.gradient.defined() ? weight.gradient : at::zeros({0}));
  }
  return result;
}

void GradualPruner::restore(const std::vector<at::Tensor>& snapshot, size_t done) {
  for (size_t i = 0; i < weights_.size(); ++i) {
    Parameter& parameter = *parameters_.parameters[weights_[i].index];
    parameter.set_mask(parameter.mask(), keeps_masked(done));
    if (weights_[i].movement.defined()) weights_[i].movement.copy_(snapshot.at(2 * i));
    const at::Tensor& gradient = snapshot.at(2 * i + 1);
    weights_[i].gradient = gradient.numel() > 0 ? gradient : at::Tensor();
  }
}

}  // namespace mcompress::train
