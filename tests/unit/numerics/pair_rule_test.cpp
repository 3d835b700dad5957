// SPDX-License-Identifier: Apache-2.0
#include "numerics/pair_rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace mcompress::numerics {
namespace {

std::vector<int8_t> random_int8(int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<int8_t> values(static_cast<size_t>(count));
  for (int8_t& value : values) {
    value = static_cast<int8_t>(static_cast<int>(engine() % 255) - 127);
  }
  return values;
}

std::vector<int8_t> mended(std::vector<int8_t> weights, const ReductionLayout& layout,
                           const std::vector<float>& importance = {}) {
  enforce_pair_rule(weights, layout, importance);
  return weights;
}

TEST(PairRule, OnlyPairsOfOneSignViolate) {
  const ReductionLayout pair = ReductionLayout::transposed_matrix(1, 2);
  const auto count = [&](int a, int b) {
    const std::vector<int8_t> weights = {static_cast<int8_t>(a), static_cast<int8_t>(b)};
    return count_pair_violations(weights, pair);
  };
  EXPECT_EQ(count(127, 1), 0);
  EXPECT_EQ(count(64, 64), 0);
  EXPECT_EQ(count(127, 2), 1);
  EXPECT_EQ(count(64, 65), 1);
  EXPECT_EQ(count(-64, -65), 1);
  EXPECT_EQ(count(127, -127), 0);
  EXPECT_EQ(count(127, 0), 0);
}

TEST(PairRule, NeighboursInDifferentPairsDoNotMeet) {
  const ReductionLayout layout = ReductionLayout::transposed_matrix(1, 5);
  const std::vector<int8_t> weights = {0, 127, 127, 0, 127};
  EXPECT_EQ(count_pair_violations(weights, layout), 0);
  EXPECT_EQ(mended(weights, layout), weights);
}

TEST(PairRule, TheCheaperMemberMoves) {
  const ReductionLayout layout = ReductionLayout::transposed_matrix(1, 2);
  const std::vector<int8_t> weights = {-100, -100};
  EXPECT_EQ(mended(weights, layout), (std::vector<int8_t>{-64, -64}));
  EXPECT_EQ(mended(weights, layout, {1.0F, 0.0F}), (std::vector<int8_t>{-100, -28}));
  EXPECT_EQ(mended(weights, layout, {0.0F, 1.0F}), (std::vector<int8_t>{-28, -100}));
  EXPECT_EQ(mended(weights, layout, {1.0F, 3.0F}), (std::vector<int8_t>{-46, -82}));
}

TEST(PairRule, SplitIsTheLeastWeightedChange) {
  std::mt19937 engine(3);
  const ReductionLayout layout = ReductionLayout::transposed_matrix(1, 2);
  for (int repetition = 0; repetition < 300; ++repetition) {
    const std::vector<int8_t> before = {static_cast<int8_t>(engine() % 128),
                                        static_cast<int8_t>(engine() % 128)};
    const std::vector<float> importance = {static_cast<float>(engine() % 10),
                                           static_cast<float>(1 + engine() % 10)};
    const std::vector<int8_t> after = mended(before, layout, importance);
    const auto cost = [&](int a, int b) {
      return importance[0] * static_cast<float>((before[0] - a) * (before[0] - a)) +
             importance[1] * static_cast<float>((before[1] - b) * (before[1] - b));
    };
    float best = 1e30F;
    for (int a = 0; a <= before[0]; ++a) {
      for (int b = 0; b <= before[1]; ++b) {
        if (a + b <= 128) best = std::min(best, cost(a, b));
      }
    }
    EXPECT_NEAR(cost(after[0], after[1]), best, 1e-3F * best);
  }
}

TEST(PairRule, LayoutsSayWhatIsAPair) {
  // [K, N] = [4, 2]: column 0 is 100, 100, 0, 100; column 1 is 100, 0, 0, 0.
  const std::vector<int8_t> matrix = {100, 100, 100, 0, 0, 0, 100, 0};
  EXPECT_EQ(count_pair_violations(matrix, ReductionLayout::matrix(4, 2)), 1);
  // The same bytes as [N, K]: rows 100, 100, 100, 0 and 0, 0, 100, 0.
  EXPECT_EQ(count_pair_violations(matrix, ReductionLayout::transposed_matrix(2, 4)), 1);
  // As Conv [1, 2, 4]: channels (100, 100, 100, 0) and (0, 0, 100, 0) meet in tap 2.
  EXPECT_EQ(count_pair_violations(matrix, ReductionLayout::conv(1, 2, 4)), 1);
  // One channel, eight taps: all neighbours.
  EXPECT_EQ(count_pair_violations(matrix, ReductionLayout::conv(1, 1, 8)), 2);
  // Three channels, one tap: channel 2 has no partner.
  EXPECT_EQ(count_pair_violations(std::vector<int8_t>{0, 100, 100}, ReductionLayout::conv(1, 3, 1)),
            0);
}

TEST(PairRule, OddChannelsAreSafeInBothAlignments) {
  const ReductionLayout layout = ReductionLayout::conv(6, 3, 9);
  const std::vector<int8_t> weights = mended(random_int8(6 * 27, 5), layout);
  for (int64_t output = 0; output < 6; ++output) {
    for (int64_t k = 0; k + 1 < 27; ++k) {
      const int a = weights[static_cast<size_t>(layout.offset(output, k % 3, k / 3))];
      const int b = weights[static_cast<size_t>(layout.offset(output, (k + 1) % 3, (k + 1) / 3))];
      if ((a > 0) == (b > 0)) {
        EXPECT_LE(std::abs(a + b), 128);
      }
    }
  }
}

TEST(PairRule, TouchesOnlyViolatingPairs) {
  const ReductionLayout layout = ReductionLayout::matrix(64, 33);
  const std::vector<int8_t> before = random_int8(64 * 33, 6);
  std::vector<int8_t> after = before;
  const int64_t changed = enforce_pair_rule(after, layout);
  EXPECT_EQ(count_pair_violations(after, layout), 0);
  int64_t different = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_LE(std::abs(after[i]), std::abs(before[i]));
    different += after[i] != before[i] ? 1 : 0;
  }
  EXPECT_EQ(changed, different);
  EXPECT_EQ(enforce_pair_rule(after, layout), 0);
}

TEST(PairRule, ImportancePerWeightIsReadAtItsPlace) {
  const ReductionLayout layout = ReductionLayout::matrix(2, 2);
  const std::vector<int8_t> weights = {100, 100, 100, 100};
  EXPECT_EQ(mended(weights, layout, {1, 0, 0, 1}), (std::vector<int8_t>{100, 28, 28, 100}));
}

}  // namespace
}  // namespace mcompress::numerics
