// SPDX-License-Identifier: Apache-2.0
#include "numerics/obs_budget.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace mcompress::numerics {
namespace {

constexpr double kFloatBits = 32;
constexpr int64_t kMaxReach = 256;

/// Bits of a digit below `radix`, packed several to a word of 8, 16, 31 or 63 useful bits.
double digit_bits(double radix) {
  constexpr std::array<std::pair<double, double>, 4> kWords{
      {{8, 8}, {16, 16}, {32, 31}, {64, 63}}};
  double best = std::numeric_limits<double>::infinity();
  for (const auto& [stored, useful] : kWords) {
    const double digits = std::floor(useful / std::log2(std::max(radix, 2.0)) + 1e-12);
    if (digits >= 1) best = std::min(best, stored / digits);
  }
  return best;
}

/// Entries per non-zero when distances stay below `reach` and zeros are geometric.
double entries_per_nonzero(double density, int64_t reach) {
  const double none = std::pow(1 - density, static_cast<double>(reach - 1));
  return none < 1 ? 1 / (1 - none) : std::numeric_limits<double>::infinity();
}

using Curve = std::vector<BudgetOption>;

/// Indices of the lower convex hull, by rising cost and falling loss.
std::vector<size_t> hull_of(const Curve& options) {
  std::vector<size_t> order(options.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return options[a].cost != options[b].cost ? options[a].cost < options[b].cost
                                              : options[a].loss < options[b].loss;
  });
  const auto slope = [&](size_t from, size_t to) {
    return (options[from].loss - options[to].loss) / (options[to].cost - options[from].cost);
  };
  std::vector<size_t> hull;
  for (const size_t next : order) {
    if (!hull.empty() && options[next].loss >= options[hull.back()].loss) continue;
    while (hull.size() > 1 &&
           slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), next)) {
      hull.pop_back();
    }
    hull.push_back(next);
  }
  return hull;
}

}  // namespace

double stored_bits(int64_t count, double density, int values) {
  const auto n = static_cast<double>(count);
  const double nonzeros = n * density;
  const bool coded = values > 0;
  const double value_bits = coded ? digit_bits(values) : kFloatBits;
  double best = coded ? n * digit_bits(values + (density < 1 ? 1 : 0)) : n * kFloatBits;
  if (density >= 1) return best;
  best = std::min(best, n + nonzeros * value_bits);
  for (int64_t reach = 2; reach <= kMaxReach && density > 0; ++reach) {
    const auto r = static_cast<double>(reach);
    const double entry = coded ? digit_bits(r * (values + 1)) : digit_bits(r) + kFloatBits;
    best = std::min(best, nonzeros * entries_per_nonzero(density, reach) * entry);
  }
  return best;
}

std::vector<size_t> allocate_budget(std::span<const std::vector<BudgetOption>> units,
                                    double budget) {
  struct Step {
    double gain;
    size_t unit;
    size_t at;  ///< on the hull
  };
  std::vector<std::vector<size_t>> hulls;
  std::vector<size_t> chosen;
  std::vector<Step> steps;
  double spent = 0;
  for (size_t u = 0; u < units.size(); ++u) {
    hulls.push_back(hull_of(units[u]));
    const std::vector<size_t>& hull = hulls.back();
    chosen.push_back(hull.front());
    spent += units[u][hull.front()].cost;
    for (size_t i = 1; i < hull.size(); ++i) {
      const BudgetOption &from = units[u][hull[i - 1]], &to = units[u][hull[i]];
      steps.push_back({(from.loss - to.loss) / (to.cost - from.cost), u, i});
    }
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.gain > b.gain; });
  // Gains fall along each hull, so steps of one unit come in order; one that does not fit may leave
  // room for a later, smaller one of another unit.
  std::vector<size_t> reached(units.size(), 0);
  for (const Step& step : steps) {
    if (reached[step.unit] + 1 != step.at) continue;
    const size_t next = hulls[step.unit][step.at];
    const double more = units[step.unit][next].cost - units[step.unit][chosen[step.unit]].cost;
    if (spent + more > budget) continue;
    spent += more;
    chosen[step.unit] = next;
    reached[step.unit] = step.at;
  }
  return chosen;
}

}  // namespace mcompress::numerics
