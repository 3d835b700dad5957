// SPDX-License-Identifier: Apache-2.0
#include "numerics/min_cut.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace mcompress::numerics {
namespace {

double brute_force(const BinaryLabelling& problem) {
  double best = BinaryLabelling::kForbidden;
  for (uint32_t bits = 0; bits < (1u << problem.size()); ++bits) {
    std::vector<bool> labels(problem.size());
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = (bits >> i) & 1u;
    best = std::min(best, problem.cost(labels));
  }
  return best;
}

TEST(BinaryLabelling, FindsTheCheapestOfAll) {
  uint64_t state = 7;
  const auto random = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state >> 40) / double{1 << 24};
  };
  for (int round = 0; round < 200; ++round) {
    BinaryLabelling problem;
    const int nodes = 2 + round % 9;
    for (int i = 0; i < nodes; ++i) problem.add_node(random(), random());
    for (int i = 0; i < 3 * nodes; ++i) {
      const auto a = static_cast<size_t>(random() * nodes);
      const auto b = static_cast<size_t>(random() * nodes);
      if (a != b) problem.add_edge(a, b, random() < 0.1 ? BinaryLabelling::kForbidden : random());
    }
    EXPECT_NEAR(problem.cost(problem.solve()), brute_force(problem), 1e-6) << round;
  }
}

TEST(BinaryLabelling, ForbiddenLabelsAreNotTaken) {
  BinaryLabelling problem;
  const size_t a = problem.add_node(BinaryLabelling::kForbidden, 5);
  const size_t b = problem.add_node(0, 10);
  problem.add_edge(a, b, 1);
  const auto labels = problem.solve();
  EXPECT_TRUE(labels[a]);
  EXPECT_FALSE(labels[b]);
}

TEST(BinaryLabelling, TiesStayFalse) {
  BinaryLabelling problem;
  problem.add_node(3, 3);
  EXPECT_FALSE(problem.solve()[0]);
}

}  // namespace
}  // namespace mcompress::numerics
