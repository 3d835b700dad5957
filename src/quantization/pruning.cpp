// SPDX-License-Identifier: Apache-2.0
#include "quantization/pruning.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "analysis/layer_matrix.h"
#include "mcompress/error.h"
#include "numerics/gptq.h"

namespace mcompress::quantization {
namespace {

using numerics::Mask;
using numerics::ObsLayer;

constexpr double kSteps[] = {0,   0.2,  0.35, 0.5,  0.6,  0.7,  0.75,
                             0.8, 0.85, 0.9,  0.93, 0.95, 0.97, 0.98};
/// Bytes that nodes and names of an encoded weight take.
constexpr double kFormBits = 8 * 350;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

}  // namespace

double capped_sparsity(int64_t count, double sparsity) {
  return std::min(sparsity, (static_cast<double>(count) - 1) / static_cast<double>(count));
}

PruningCurve pruning_curve(const LayerFit& fit, int64_t count, std::span<const int> codebooks,
                           double damping, PruningCost cost) {
  const double scale = 1024.0 / static_cast<double>(std::max<int64_t>(fit.inputs(), 1));
  const auto most = static_cast<int64_t>(std::clamp(64 * scale * scale, 8.0, 128.0));
  const LayerFit::Sample sample = fit.sample(most);
  ObsLayer solver(sample.problems, {damping, 12, 2, 3});
  if (!solver.usable()) throw Unsupported("its inputs are not finite");
  const double energy = solver.energy();
  const int64_t outputs = sample.problems.front().outputs;
  PruningCurve curve;
  curve.energy = energy / static_cast<double>(outputs * fit.groups());
  for (const double step : kSteps) {
    const double sparsity = capped_sparsity(count, step);
    if (sparsity > 0) solver.prune(numerics::sparsity_rule(sparsity));
    for (const int values : codebooks) {
      ObsLayer rounded = solver;
      if (values > 0) {
        numerics::SharedGrid grid;
        grid.values = codebook_values(rounded.weights(), rounded.importance(), outputs, {}, values);
        rounded.round(grid);
      }
      const double density = 1 - sparsity;
      const double bits = numerics::stored_bits(count, density, values) + kFormBits + 32.0 * values;
      curve.options.push_back(
          {cost == PruningCost::kWeights ? density * static_cast<double>(count) : bits,
           energy > 0 ? rounded.error() / energy : 0});
      curve.targets.push_back({sparsity, values});
    }
  }
  return curve;
}

std::vector<PruningTarget> share_out_sparsity(
    std::span<const PruningCurve> curves,
    std::span<const std::vector<numerics::BudgetOption>> units, double sparsity) {
  double all = 0;
  // The first option of a curve keeps every weight.
  for (const PruningCurve& curve : curves) all += curve.options.front().cost;
  const double allowed = all * (1 - sparsity);
  const std::vector<size_t> chosen = numerics::allocate_budget(units, allowed);
  std::vector<PruningTarget> targets;
  double dense = 0, pruned = 0;
  for (size_t i = 0; i < curves.size(); ++i) {
    targets.push_back(curves[i].targets[chosen[i]]);
    (targets.back().sparsity > 0 ? pruned : dense) += units[i][chosen[i]].cost;
  }
  if (!(pruned > 0)) return targets;
  for (PruningTarget& target : targets) {
    if (target.sparsity == 0) continue;
    target.sparsity = std::max(0.0, 1 - (1 - target.sparsity) * (allowed - dense) / pruned);
  }
  return targets;
}

std::vector<float> wanda_scores(const LayerFit& fit) {
  std::vector<float> scores;
  for (const numerics::LayerProblem& p : fit.problems()) {
    for (size_t at = 0; at < p.weights.size(); ++at) {
      const auto i = static_cast<int64_t>(at) / p.outputs;
      const double size = std::sqrt(std::max(0.0, p.gram[to_size(i * (p.inputs + 1))]));
      scores.push_back(static_cast<float>(std::abs(p.weights[at]) * size));
    }
  }
  return scores;
}

Mask lowest_of_outputs(std::span<const float> scores, const LayerFit& fit, double sparsity) {
  Mask mask(scores.size(), 1);
  const size_t inputs = to_size(fit.inputs()), outputs = to_size(fit.outputs());
  const int64_t prune =
      numerics::prune_count(fit.inputs(), capped_sparsity(fit.inputs(), sparsity));
  std::vector<float> column(inputs);
  for (size_t start = 0; start < scores.size(); start += inputs * outputs) {
    for (size_t j = 0; j < outputs; ++j) {
      for (size_t i = 0; i < inputs; ++i) column[i] = scores[start + i * outputs + j];
      const numerics::ScoredLayer one{column};
      const Mask kept = numerics::prune_lowest({&one, 1}, prune)[0];
      for (size_t i = 0; i < inputs; ++i) mask[start + i * outputs + j] = kept[i];
    }
  }
  return mask;
}

SequentialResult prune_in_one_pass(const LayerFit& fit, double sparsity,
                                   std::optional<KeptOf> pattern, double damping) {
  SequentialResult result;
  double energy = 0;
  for (const numerics::LayerProblem& p : fit.problems()) {
    numerics::SolverOptions options;
    options.damping = damping;
    const auto count = static_cast<int64_t>(p.weights.size());
    const numerics::SparseResult pruned =
        pattern ? numerics::sparse_gpt_n_of_m(p, pattern->n, pattern->m, options)
                : numerics::sparse_gpt(p, capped_sparsity(count, sparsity), options);
    if (!pruned.solved) throw Unsupported("its inputs are not finite");
    result.error += numerics::output_error(p, pruned.weights);
    energy += numerics::output_error(p, std::vector<float>(p.weights.size(), 0.0F));
    result.weights.insert(result.weights.end(), pruned.weights.begin(), pruned.weights.end());
  }
  result.error = energy > 0 ? result.error / energy : 0;
  return result;
}

std::string tail_note(const Layer& layer, KeptOf pattern) {
  const int64_t channels = analysis::reduction_layout(layer).channels;
  const int64_t rest = channels % pattern.m;
  if (rest == 0) return "";
  return fmt::format("{}: the last {} of its {} input channels are no whole group of {} and stay",
                     layer.node.label(), rest, channels, pattern.m);
}

std::set<std::string> crosswise_readers(std::span<const Layer> layers) {
  std::map<std::pair<const Graph*, std::string>, numerics::ReductionLayout> first;
  std::set<std::string> outputs;
  for (const Layer& layer : layers) {
    const numerics::ReductionLayout own = analysis::reduction_layout(layer);
    const auto [known, added] =
        first.try_emplace({&layer.weight.scope(), layer.weight.name()}, own);
    const numerics::ReductionLayout& other = known->second;
    const bool same = own.channels == other.channels && own.taps == other.taps &&
                      own.channel_stride == other.channel_stride &&
                      own.tap_stride == other.tap_stride;
    if (!same) outputs.insert(layer.output);
  }
  return outputs;
}

std::string crosswise_note(const Layer& layer, KeptOf pattern) {
  return fmt::format(
      "{} shares its weight with a layer that reads it along another axis: it is not {}:{} there",
      layer.node.label(), pattern.n, pattern.m);
}

}  // namespace mcompress::quantization
