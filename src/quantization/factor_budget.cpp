// SPDX-License-Identifier: Apache-2.0
#include "quantization/factor_budget.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "analysis/factor_chain.h"
#include "analysis/weight_editor.h"
#include "numerics/obs_budget.h"
#include "quantization/output_noise.h"

namespace mcompress::quantization {
namespace {

using numerics::BudgetOption;
using numerics::FactorMethod;
using numerics::FactorPoint;

/// Parts of the parameters at which curves are measured, and what their powers may be.
constexpr double kTriedParts[] = {0.5, 0.25};
constexpr double kLeastPower = 0.5, kMostPower = 4;
/// A narrow layer has at least as many ranks to choose from.
constexpr int64_t kSteps = 4;

/// What a weight may become; the first option is to stay dense.
struct Menu {
  std::vector<FactorPoint> points;
  std::vector<BudgetOption> options;
};

/// `multiple`, or the one rank below it that a narrow layer has; `fine`: of layers of any width, so
/// that there is a choice.
int64_t step_of(const FactorProblem& problem, int64_t multiple, bool fine) {
  const auto most = static_cast<int64_t>(problem.solution->points().size());
  if (!fine || most >= kSteps * multiple) return std::clamp<int64_t>(most, 1, multiple);
  int64_t step = 1;
  while (2 * step <= most / kSteps) step *= 2;
  return step;
}

Menu menu_of(const FactorProblem& problem, const BudgetRanks& ranks, bool fine) {
  Menu menu{{}, {{static_cast<double>(problem.kernel.size()), 0.0}}};
  const bool any = problem.solution->method() == FactorMethod::kTucker;  // lists multiples only
  const int64_t step =
      ranks.only_multiples ? ranks.multiple : step_of(problem, ranks.multiple, fine);
  for (const FactorPoint& point : problem.solution->points()) {
    if ((!any && point.rank % step != 0) || !ranks.allowed(problem, point)) continue;
    menu.points.push_back(point);
    menu.options.push_back({static_cast<double>(point.parameters), point.lost});
  }
  return menu;
}

/// A weight and what it is tried with.
struct Trial {
  FactorProblem* problem;
  FactorPoint point;
};

void add_trials(FactorProblem& problem, std::vector<Trial>& trials) {
  const std::vector<FactorPoint>& points = problem.solution->points();
  const FactorPoint* last = nullptr;
  for (const double part : kTriedParts) {
    const FactorPoint* found = &points.front();
    for (const FactorPoint& point : points) {
      if (static_cast<double>(point.parameters) <= part * static_cast<double>(problem.kernel.size())) {
        found = &point;
      }
    }
    if (found != last) trials.push_back({&problem, *found});
    last = found;
  }
}

/// Gives the weight in a copy of the model the values that its factors multiply to.
void put_product(const Trial& trial, Model& copy) {
  FactorProblem& problem = *trial.problem;
  problem.chosen = trial.point;
  fit_factors(problem);
  const numerics::KernelShape shape = analysis::kernel_shape(problem.layer);
  const std::vector<float> product = analysis::from_kernel(
      problem.layer, numerics::composed(problem.solution->method(), problem.factors, shape));
  const std::vector<Layer> layers = find_layers(copy);
  analysis::WeightEditor editor(layers);
  for (const Layer& layer : layers) {
    if (analysis::layer_key(layer) != analysis::layer_key(problem.layer)) continue;
    editor.write(layer, Tensor::from(layer.weight_shape, product).cast(problem.type));
    shift_bias(layer, problem.shift);
    break;
  }
  problem.chosen.reset();
  problem.factors.clear();
  problem.shift.clear();
}

double least_parameters(std::span<const Menu> menus) {
  double sum = 0;
  for (const Menu& menu : menus) {
    double least = menu.options.front().cost;
    for (const BudgetOption& option : menu.options) least = std::min(least, option.cost);
    sum += least;
  }
  return sum;
}

}  // namespace

void measure_curves(const Model& model, PassContext& context,
                    std::span<FactorProblem* const> problems) {
  std::vector<Trial> trials;
  for (FactorProblem* const problem : problems) {
    if (!problem->moments.empty()) add_trials(*problem, trials);
  }
  if (trials.empty()) return;
  const std::vector<double> errors =
      output_errors(model, context, trials.size(),
                    [&](size_t i, Model& copy) { put_product(trials[i], copy); });
  for (size_t i = 0; i < trials.size(); ++i) {
    LossCurve& curve = trials[i].problem->curve;
    const double lost = trials[i].point.lost, error = errors[i];
    if (!(error > 0) || !(lost > 0)) continue;
    const bool second = i > 0 && trials[i - 1].problem == trials[i].problem && curve.measured;
    if (second) {
      const double before = trials[i - 1].point.lost;
      const double power = std::log(error / errors[i - 1]) / std::log(lost / before);
      curve.power = std::isfinite(power) ? std::clamp(power, kLeastPower, kMostPower) : 1;
    }
    curve.measured = true;
    curve.scale = error / std::pow(lost, curve.power);
  }
}

double share_out(std::span<FactorProblem* const> problems, double budget, const BudgetRanks& ranks) {
  const auto menus_of = [&](bool fine) {
    std::vector<Menu> menus;
    for (const FactorProblem* const problem : problems) {
      menus.push_back(menu_of(*problem, ranks, fine));
    }
    return menus;
  };
  const bool told =
      std::any_of(problems.begin(), problems.end(), [](const auto* p) { return p->curve.measured; });
  std::vector<Menu> menus = menus_of(told);
  if (!told && least_parameters(menus) > budget) menus = menus_of(true);
  const double least = least_parameters(menus);
  std::vector<std::vector<BudgetOption>> units;
  for (size_t i = 0; i < menus.size(); ++i) {
    units.push_back(std::move(menus[i].options));
    for (BudgetOption& option : units[i]) option.loss = problems[i]->curve(option.loss);
  }
  const std::vector<size_t> choice = numerics::allocate_budget(units, budget);
  for (size_t i = 0; i < choice.size(); ++i) {
    if (choice[i] > 0) {
      problems[i]->chosen = menus[i].points[choice[i] - 1];
    } else {
      problems[i]->obstacle = "within the budget it may stay dense";
    }
  }
  return least;
}

}  // namespace mcompress::quantization
