// SPDX-License-Identifier: Apache-2.0
#include "quantization/prune_layer.h"

#include <fmt/format.h>

#include "mcompress/error.h"
#include "numerics/obs_solver.h"
#include "numerics/sparsity.h"

namespace mcompress::quantization {
namespace {

numerics::MaskRule mask_rule(const Layer& layer, const LayerFit& fit, double sparsity,
                             const std::optional<KeptOf>& n_of_m) {
  if (!n_of_m) return numerics::sparsity_rule(capped_sparsity(layer.weight_count(), sparsity));
  const int64_t taps = layer.kind == LayerKind::kConv ? layer.kernel : 1;
  return numerics::n_of_m_rule(fit.inputs(), fit.outputs(), taps, n_of_m->n, n_of_m->m);
}

/// What the weights left by `solver` are rounded to; without values where they are not.
numerics::SharedGrid grid_for(const numerics::ObsLayer& solver, std::span<const float> weights,
                              const LayerFit& fit, int bits, int values) {
  numerics::SharedGrid grid;
  if (bits > 0) {
    const int limit = (1 << (bits - 1)) - 1;
    grid.scales = integer_scales(weights, solver.importance(), fit.inputs(), fit.outputs(), limit);
    for (int v = -limit; v <= limit; ++v) {
      if (v != 0) grid.values.push_back(static_cast<float>(v));
    }
    grid.refit_values = false;
    grid.refit_scales = true;
  } else if (values > 0) {
    grid.values = codebook_values(weights, solver.importance(), fit.outputs(), {}, values);
  }
  return grid;
}

std::vector<float> solve_obs(const Layer& layer, const LayerFit& fit, const PruningTarget& target,
                             const PruneRule& rule, PrunedLayer& result) {
  const std::vector<numerics::LayerProblem> problems = fit.problems();
  numerics::ObsLayer solver(
      problems, numerics::obs_options(fit.inputs(), fit.groups() * fit.outputs(), rule.damping));
  if (!solver.usable()) throw Unsupported("its inputs are not finite");
  if (rule.n_of_m || target.sparsity > 0) {
    solver.prune(mask_rule(layer, fit, target.sparsity, rule.n_of_m));
  }
  std::vector<float> changed = solver.weights();
  numerics::SharedGrid grid = grid_for(solver, changed, fit, rule.bits, target.values);
  if (!grid.values.empty()) {
    grid = solver.round(grid);
    changed = solver.weights();
    if (rule.bits > 0) result.integers = fit.quantized(changed, grid);
  }
  const double energy = solver.energy();
  result.detail = fmt::format("output error {:.2g} %", energy > 0 ? 100 * solver.error() / energy : 0);
  return changed;
}

std::vector<float> solve_wanda(const Layer& layer, const LayerFit& fit, const PruningTarget& target,
                               const PruneRule& rule, PrunedLayer& result) {
  std::vector<float> changed;
  for (const numerics::LayerProblem& p : fit.problems()) {
    changed.insert(changed.end(), p.weights.begin(), p.weights.end());
  }
  const std::vector<float> scores = wanda_scores(fit);
  numerics::apply_mask(rule.n_of_m ? mask_rule(layer, fit, 0, rule.n_of_m)(scores)
                                   : lowest_of_outputs(scores, fit, target.sparsity),
                       changed);
  result.detail = "scores of each output compared";
  return changed;
}

std::vector<float> solve_in_one_pass(const LayerFit& fit, const PruningTarget& target,
                                     const PruneRule& rule, PrunedLayer& result) {
  SequentialResult solved = prune_in_one_pass(fit, target.sparsity, rule.n_of_m, rule.damping);
  result.detail = fmt::format("output error {:.2g} %", 100 * solved.error);
  return std::move(solved.weights);
}

}  // namespace

PrunedLayer prune_layer(const Layer& layer, const LayerFit& fit, const PruningTarget& target,
                        const PruneRule& rule) {
  PrunedLayer result;
  const std::vector<float> changed =
      rule.method == PruneMethod::kObs     ? solve_obs(layer, fit, target, rule, result)
      : rule.method == PruneMethod::kWanda ? solve_wanda(layer, fit, target, rule, result)
                                           : solve_in_one_pass(fit, target, rule, result);
  result.zeros = numerics::count_zeros(changed);
  result.bias_shift = fit.bias_shift(changed);
  result.method = rule.n_of_m ? fmt::format("pruned {}:{}", rule.n_of_m->n, rule.n_of_m->m)
                              : fmt::format("pruned {:.3g} %", 100 * target.sparsity);
  if (target.values > 0) result.method += fmt::format(", {} values", target.values);
  if (rule.bits > 0) result.method += fmt::format(", {} bits", rule.bits);
  result.detail = fmt::format("{} of {} weights are zero, {}", result.zeros, changed.size(), result.detail);
  if (!result.integers) result.weight = fit.weight(changed);
  return result;
}

}  // namespace mcompress::quantization
