// SPDX-License-Identifier: Apache-2.0
#include "numerics/obs_budget.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <limits>
#include <random>

#include "numerics/assignment.h"

namespace mcompress::numerics {
namespace {

TEST(StoredBits, FollowsTheSmallestForm) {
  EXPECT_DOUBLE_EQ(stored_bits(1000, 1, 0), 32000);
  EXPECT_DOUBLE_EQ(stored_bits(1000, 1, 16), 4000);
  // Half of them: a bit each for the places, three digits below 7 in a byte and a bit.
  EXPECT_LT(stored_bits(1000, 0.5, 7), 1000 + 500 * 3.01);
  EXPECT_LT(stored_bits(1000, 0.05, 15), 1000 + 50 * 4.0) << "distances beat a bitmask";
  double last = std::numeric_limits<double>::infinity();
  for (const double density : {0.9, 0.5, 0.3, 0.1, 0.05, 0.01}) {
    const double bits = stored_bits(100000, density, 15);
    EXPECT_LT(bits, last);
    last = bits;
  }
}

TEST(AllocateBudget, IsCloseToTheBestOfAll) {
  std::mt19937 random(5);
  const auto number = [&] { return static_cast<double>(random() % 1000) / 100 + 0.01; };
  for (int round = 0; round < 50; ++round) {
    std::vector<std::vector<BudgetOption>> units(4);
    double least = 0, largest_step = 0;
    for (auto& unit : units) {
      double cheapest = 1e9, most = 0, low = 1e9, high = 0;
      for (int i = 0; i < 5; ++i) {
        unit.push_back({number(), number()});
        cheapest = std::min(cheapest, unit.back().cost);
        most = std::max(most, unit.back().cost);
        low = std::min(low, unit.back().loss);
        high = std::max(high, unit.back().loss);
      }
      least += cheapest;
      largest_step = std::max(largest_step, high - low);
    }
    const double budget = least + number();
    const std::vector<size_t> chosen = allocate_budget(units, budget);
    double cost = 0, loss = 0;
    for (size_t u = 0; u < 4; ++u) {
      cost += units[u][chosen[u]].cost;
      loss += units[u][chosen[u]].loss;
    }
    EXPECT_LE(cost, budget + 1e-9);
    double best = std::numeric_limits<double>::infinity();
    for (int code = 0; code < 625; ++code) {
      double c = 0, l = 0;
      for (int u = 0, rest = code; u < 4; ++u, rest /= 5) {
        const BudgetOption& option = units[static_cast<size_t>(u)][static_cast<size_t>(rest % 5)];
        c += option.cost;
        l += option.loss;
      }
      if (c <= budget) best = std::min(best, l);
    }
    EXPECT_LE(loss, best + largest_step) << "at most one step away";
  }
}

TEST(AllocateBudget, TakesTheCheapestWhereNothingFits) {
  const std::vector<std::vector<BudgetOption>> units{{{5, 1}, {2, 3}}, {{1, 9}, {7, 0}}};
  EXPECT_EQ(allocate_budget(units, 0), (std::vector<size_t>{1, 0}));
}

TEST(BestAssignment, IsTheOptimum) {
  std::mt19937 random(3);
  for (int round = 0; round < 30; ++round) {
    const int64_t n = 6;
    std::vector<float> gains(36);
    for (float& g : gains) g = static_cast<float>(random() % 200) / 100 - 1;
    const std::vector<int64_t> chosen = best_assignment(gains, n);
    double sum = 0;
    std::vector<int64_t> order{0, 1, 2, 3, 4, 5}, sorted = chosen;
    for (size_t r = 0; r < 6; ++r) sum += static_cast<double>(gains[r * 6 + static_cast<size_t>(chosen[r])]);
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(sorted, order);
    double best = -100;
    do {
      double now = 0;
      for (size_t r = 0; r < 6; ++r) now += static_cast<double>(gains[r * 6 + static_cast<size_t>(order[r])]);
      best = std::max(best, now);
    } while (std::next_permutation(order.begin(), order.end()));
    EXPECT_NEAR(sum, best, 1e-5);
  }
}

}  // namespace
}  // namespace mcompress::numerics
