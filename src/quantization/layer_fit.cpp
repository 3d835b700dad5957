// SPDX-License-Identifier: Apache-2.0
#include "quantization/layer_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "analysis/weight_editor.h"
#include "forms/chain.h"
#include "numerics/kmeans.h"
#include "numerics/linear_algebra.h"

namespace mcompress::quantization {
namespace {

constexpr int kClipSteps = 24;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

/// The bias is this node's alone to change, and the output is X W + bias.
bool takes_up_the_mean(const Layer& layer) {
  const bool conv = layer.kind == LayerKind::kConv;
  if (!conv && layer.kind != LayerKind::kGemm) return false;
  if (layer.shared_weight || !layer.bias || !layer.bias.is_constant()) return false;
  if (layer.bias.constant_type() != DataType::kFloat) return false;
  if (layer.bias.constant_shape() != Shape{layer.outputs}) return false;
  if (layer.bias.is_graph_input() || layer.bias.is_graph_output()) return false;
  return conv || (layer.node.attribute("alpha", 1.0F) == 1.0F &&
                  layer.node.attribute("beta", 1.0F) == 1.0F && layer.weight_input == 1);
}

std::vector<float> finite_values(const Tensor& weight) {
  std::vector<float> values = weight.to_float();
  if (std::string why = analysis::value_obstacle(values); !why.empty()) {
    throw Unsupported(std::move(why));
  }
  return values;
}

}  // namespace

LayerFit::LayerFit(const Layer& layer, const Tensor& weight, std::span<const LayerMoments> groups)
    : layer_(layer),
      type_(weight.type()),
      shape_(weight.shape()),
      matrix_(layer, finite_values(weight)),
      centred_(takes_up_the_mean(layer)) {
  const auto n = inputs();
  for (const LayerMoments& group : groups) {
    means_.push_back(group.mean);
    std::vector<double>& gram = grams_.emplace_back(group.gram);
    if (!centred_) continue;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        gram[to_size(i * n + j)] -= group.mean[to_size(i)] * group.mean[to_size(j)];
      }
      double& diagonal = gram[to_size(i * (n + 1))];
      diagonal = std::max(diagonal, 0.0);
    }
  }
  before_means_ = means_;
}

// Least squares: (H + lambda) target = cross W + lambda W, with lambda as the solvers add it.
void LayerFit::aim_at_outputs_before(const PairedMoments& pairs, double damping) {
  before_means_ = pairs.before_means;
  const int64_t n = inputs(), columns = outputs();
  for (int64_t g = 0; g < groups(); ++g) {
    std::vector<double> gram = grams_[to_size(g)], cross = pairs.cross[to_size(g)];
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) {
      mean += gram[to_size(i * (n + 1))] / static_cast<double>(n);
      for (int64_t j = 0; centred_ && j < n; ++j) {
        cross[to_size(i * n + j)] -= means_[to_size(g)][to_size(i)] * before_means_[to_size(g)][to_size(j)];
      }
    }
    const double lambda = std::max(damping, 1e-9) * (mean > 0 ? mean : 1);
    for (int64_t i = 0; i < n; ++i) {
      gram[to_size(i * (n + 1))] += lambda;
      cross[to_size(i * (n + 1))] += lambda;
    }
    const std::span<const float> own = matrix_.group(g);
    std::vector<double> target(own.size());
    numerics::multiply(cross, numerics::to_double(own), n, n, columns, target);
    const bool solved = numerics::solve_positive(gram, n, target, columns);
    targets_.push_back(solved ? numerics::to_float(target) : std::vector<float>(own.begin(), own.end()));
  }
}

std::vector<numerics::LayerProblem> LayerFit::problems() const {
  std::vector<numerics::LayerProblem> result;
  for (int64_t g = 0; g < groups(); ++g) {
    const std::span<const float> weights =
        targets_.empty() ? matrix_.group(g) : std::span<const float>(targets_[to_size(g)]);
    result.push_back({weights, inputs(), outputs(), grams_[to_size(g)]});
  }
  return result;
}

LayerFit::Sample LayerFit::sample(int64_t most) const {
  Sample result;
  const int64_t chosen = std::min(outputs(), std::max<int64_t>(1, most / groups()));
  for (int64_t g = 0; g < groups(); ++g) {
    const std::span<const float> all = matrix_.group(g);
    std::vector<float>& part = result.weights.emplace_back();
    for (int64_t i = 0; i < inputs(); ++i) {
      for (int64_t j = 0; j < chosen; ++j) {
        part.push_back(all[to_size(i * outputs() + j * outputs() / chosen)]);
      }
    }
  }
  for (int64_t g = 0; g < groups(); ++g) {
    result.problems.push_back({result.weights[to_size(g)], inputs(), chosen, grams_[to_size(g)]});
  }
  return result;
}

Tensor LayerFit::weight(std::span<const float> changed) const {
  return Tensor::from(shape_, matrix_.in_weight_order<float>(changed)).cast(type_);
}

std::vector<float> LayerFit::bias_shift(std::span<const float> changed) const {
  std::vector<float> shift;
  if (!centred_) return shift;
  for (int64_t g = 0; g < groups(); ++g) {
    const std::span<const float> before = matrix_.group(g);
    const size_t start = to_size(g * inputs() * outputs());
    std::vector<double> sums(to_size(outputs()), 0.0);
    for (size_t at = 0; at < before.size(); ++at) {
      const size_t input = at / sums.size();
      sums[at % sums.size()] += before[at] * before_means_[to_size(g)][input] -
                                changed[start + at] * means_[to_size(g)][input];
    }
    for (const double sum : sums) shift.push_back(static_cast<float>(sum));
  }
  return shift;
}

forms::QuantizedWeight LayerFit::quantized(std::span<const float> changed,
                                           const numerics::SharedGrid& grid) const {
  std::vector<int8_t> codes(changed.size());
  const size_t columns = to_size(outputs());
  const size_t part = to_size(inputs()) * columns;
  for (size_t at = 0; at < changed.size(); ++at) {
    const float scale = grid.scales[at / part * columns + at % columns];
    codes[at] = static_cast<int8_t>(std::lround(changed[at] / scale));
  }
  forms::QuantizedWeight result;
  result.codes = Tensor::from(shape_, matrix_.in_weight_order<int8_t>(codes));
  result.scales = Tensor::from({static_cast<int64_t>(grid.scales.size())}, grid.scales);
  result.axis = layer_.output_axis;
  return result;
}

std::vector<float> codebook_values(std::span<const float> weights, std::span<const float> importance,
                                   int64_t outputs, std::span<const float> scales, int values) {
  std::vector<float> kept, weight_of;
  const size_t columns = to_size(outputs);
  const size_t part = scales.empty() ? 1 : weights.size() / (scales.size() / columns);
  for (size_t at = 0; at < weights.size(); ++at) {
    if (weights[at] == 0) continue;
    const float scale = scales.empty() ? 1.0F : scales[at / part * columns + at % columns];
    kept.push_back(weights[at] / scale);
    weight_of.push_back(importance[at] * scale * scale);
  }
  const numerics::KMeansOptions options{values, false};
  std::vector<float> book;
  if (kept.empty()) return book;
  for (const float v : numerics::cluster_values(kept, options, weight_of).values) {
    if (v != 0) book.push_back(v);
  }
  return book;
}

std::vector<float> output_scales(std::span<const float> weights, int64_t inputs, int64_t outputs) {
  std::vector<float> scales;
  const size_t columns = to_size(outputs);
  for (size_t start = 0; start < weights.size(); start += to_size(inputs) * columns) {
    for (size_t j = 0; j < columns; ++j) {
      double squares = 0, count = 0;
      for (size_t i = 0; i < to_size(inputs); ++i) {
        const double w = weights[start + i * columns + j];
        squares += w * w;
        count += w != 0 ? 1 : 0;
      }
      scales.push_back(squares > 0 ? static_cast<float>(std::sqrt(squares / count)) : 1.0F);
    }
  }
  return scales;
}

std::vector<float> integer_scales(std::span<const float> weights, std::span<const float> importance,
                                  int64_t inputs, int64_t outputs, int limit) {
  std::vector<float> scales;
  const size_t columns = to_size(outputs);
  for (size_t start = 0; start < weights.size(); start += to_size(inputs) * columns) {
    for (size_t j = 0; j < columns; ++j) {
      float largest = 0;
      for (size_t i = 0; i < to_size(inputs); ++i) {
        largest = std::max(largest, std::abs(weights[start + i * columns + j]));
      }
      double least = std::numeric_limits<double>::infinity();
      float best = 1;
      for (int step = 0; largest > 0 && step < kClipSteps; ++step) {
        const float scale = largest * (1 - 0.03F * static_cast<float>(step)) / static_cast<float>(limit);
        double error = 0;
        for (size_t i = 0; i < to_size(inputs); ++i) {
          const size_t at = start + i * columns + j;
          const double whole = std::clamp(std::nearbyint(static_cast<double>(weights[at]) / scale),
                                          -static_cast<double>(limit), static_cast<double>(limit));
          error += importance[at] * std::pow(weights[at] - whole * scale, 2);
        }
        if (error < least) {
          least = error;
          best = scale;
        }
      }
      scales.push_back(best);
    }
  }
  return scales;
}

void shift_bias(const Layer& layer, std::span<const float> shift) {
  if (shift.empty()) return;
  std::vector<float> bias = layer.bias.constant()->to_float();
  for (size_t i = 0; i < bias.size(); ++i) bias[i] += shift[i];
  layer.node.graph().set_constant_input(layer.node, layer.bias_input,
                                        Tensor::from({static_cast<int64_t>(bias.size())}, bias));
}

void store_scaled(const Layer& layer, const forms::QuantizedWeight& weight) {
  const ValueRef old = layer.weight;
  const ValueRef end = forms::emit_scaled(old.scope(), old.name(), weight);
  if (old.is_constant()) {
    forms::replace_constant(old, end);
    return;
  }
  for (const Use& use : old.uses()) use.node.graph().set_input(use.node, use.input, end);
  analysis::WeightEditor::erase_if_unread(old);
}

}  // namespace mcompress::quantization
