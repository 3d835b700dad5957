// SPDX-License-Identifier: Apache-2.0
#include "quantization/factor_budget.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "numerics/obs_budget.h"

namespace mcompress::quantization {
namespace {

using numerics::BudgetOption;
using numerics::FactorMethod;
using numerics::FactorPoint;

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

double share_out(std::span<FactorProblem* const> problems, std::span<const double> weights,
                 double budget, const BudgetRanks& ranks) {
  const auto menus_of = [&](bool fine) {
    std::vector<Menu> menus;
    for (const FactorProblem* const problem : problems) {
      menus.push_back(menu_of(*problem, ranks, fine));
    }
    return menus;
  };
  const bool told =
      std::any_of(problems.begin(), problems.end(), [](const auto* p) { return p->energy > 0; });
  std::vector<Menu> menus = menus_of(told);
  if (!told && least_parameters(menus) > budget) menus = menus_of(true);
  const double least = least_parameters(menus);
  std::vector<std::vector<BudgetOption>> units;
  for (size_t i = 0; i < menus.size(); ++i) {
    units.push_back(std::move(menus[i].options));
    for (BudgetOption& option : units[i]) option.loss *= weights[i];
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
