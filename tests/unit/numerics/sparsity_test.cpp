// SPDX-License-Identifier: Apache-2.0
#include "numerics/sparsity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "mcompress/error.h"
#include "tests/unit/numerics/random_values.h"

namespace mcompress::numerics {
namespace {

int64_t pruned(const Mask& mask) { return std::count(mask.begin(), mask.end(), uint8_t{0}); }

TEST(Sparsity, CountsAreExactWithTiesBrokenByIndex) {
  const std::vector<float> scores = {1, 2, 1, 1, 0, 1};
  const ScoredLayer layer{scores};
  EXPECT_EQ(prune_lowest({&layer, 1}, 3)[0], (Mask{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(prune_lowest({&layer, 1}, 0)[0], Mask(6, 1));
  EXPECT_EQ(prune_lowest({&layer, 1}, 99)[0], Mask(6, 0));
  EXPECT_EQ(prune_count(6, 0.5), 3);
  EXPECT_EQ(prune_count(7, 0.9), 6);
  EXPECT_EQ(prune_count(10, 1.5), 10);
}

TEST(Sparsity, PrunesTheSmallest) {
  for (const double sparsity : {0.0, 0.1, 0.5, 0.9, 0.99, 1.0}) {
    std::vector<float> weights = normal_values(10007, 1.0F, 1);
    const std::vector<float> scores = magnitude_scores(weights);
    const ScoredLayer layer{scores};
    const int64_t wanted = prune_count(10007, sparsity);
    const Mask mask = prune_lowest({&layer, 1}, wanted)[0];
    EXPECT_EQ(pruned(mask), wanted);
    float largest_pruned = 0;
    float smallest_kept = HUGE_VALF;
    for (size_t i = 0; i < mask.size(); ++i) {
      float& bound = mask[i] == 0 ? largest_pruned : smallest_kept;
      bound = mask[i] == 0 ? std::max(bound, scores[i]) : std::min(bound, scores[i]);
    }
    EXPECT_LE(largest_pruned, smallest_kept);
    EXPECT_EQ(apply_mask(mask, weights), wanted);
  }
}

TEST(Sparsity, GlobalThresholdObeysCapsAndKeepsOutputs) {
  const std::vector<float> large = magnitude_scores(normal_values(4000, 1.0F, 2));
  std::vector<float> small = magnitude_scores(normal_values(1000, 0.001F, 3));
  const ReductionLayout layout = ReductionLayout::matrix(50, 20);
  for (size_t k = 0; k < 50; ++k) small[k * 20 + 7] = 0.0F;  // an output that is dead already

  const std::vector<ScoredLayer> plain = {{large}, {small}};
  EXPECT_EQ(pruned(prune_lowest(plain, 2000)[1]), 1000);

  const std::vector<ScoredLayer> capped = {{large}, {small, 0.98}};
  const std::vector<Mask> masks = prune_lowest(capped, 2000);
  EXPECT_EQ(pruned(masks[1]), 980);
  EXPECT_EQ(pruned(masks[0]), 1020);

  const std::vector<ScoredLayer> kept = {{large}, {small, 1.0, &layout}};
  const std::vector<Mask> protecting = prune_lowest(kept, 2000);
  EXPECT_EQ(pruned(protecting[0]) + pruned(protecting[1]), 2000);
  for (size_t output = 0; output < 20; ++output) {
    int64_t alive = 0;
    for (size_t k = 0; k < 50; ++k) alive += protecting[1][k * 20 + output];
    EXPECT_EQ(alive, output == 7 ? 0 : 1);
  }
  EXPECT_EQ(pruned(prune_lowest(kept, 5000)[1]), 1000 - 19);
}

TEST(Sparsity, LampIsTheDefinition) {
  std::vector<float> weights = normal_values(300, 1.0F, 4);
  weights[3] = weights[5];
  weights[9] = 0.0F;
  const std::vector<float> scores = lamp_scores(weights);
  for (size_t i = 0; i < weights.size(); ++i) {
    double sum = 0;
    for (const float other : weights) {
      if (std::abs(other) >= std::abs(weights[i])) sum += static_cast<double>(other) * other;
    }
    const double expected = static_cast<double>(weights[i]) * weights[i] / sum;
    EXPECT_NEAR(scores[i], expected, 1e-6 * expected);
  }
  EXPECT_EQ(*std::max_element(scores.begin(), scores.end()), 1.0F);
}

TEST(Sparsity, LampBalancesLayersOfDifferentScale) {
  const std::vector<float> large = normal_values(3000, 1.0F, 5);
  const std::vector<float> small = normal_values(3000, 0.01F, 6);
  const std::vector<float> a = lamp_scores(large);
  const std::vector<float> b = lamp_scores(small);
  const std::vector<ScoredLayer> layers = {{a}, {b}};
  const std::vector<Mask> masks = prune_lowest(layers, 3000);
  EXPECT_NEAR(static_cast<double>(pruned(masks[0])), 1500, 100);
}

TEST(Sparsity, NOfMHoldsInEveryGroup) {
  const ReductionLayout layout = ReductionLayout::conv(5, 10, 9);
  const std::vector<float> scores = magnitude_scores(normal_values(5 * 10 * 9, 1.0F, 7));
  const Mask mask = n_of_m_mask(scores, layout, 2, 4);
  for (int64_t output = 0; output < 5; ++output) {
    for (int64_t tap = 0; tap < 9; ++tap) {
      for (int64_t first = 0; first < 8; first += 4) {
        int kept = 0;
        float least_kept = HUGE_VALF;
        float most_pruned = 0;
        for (int64_t c = first; c < first + 4; ++c) {
          const auto at = static_cast<size_t>(layout.offset(output, c, tap));
          kept += mask[at];
          if (mask[at] != 0) {
            least_kept = std::min(least_kept, scores[at]);
          } else {
            most_pruned = std::max(most_pruned, scores[at]);
          }
        }
        EXPECT_EQ(kept, 2);
        EXPECT_GE(least_kept, most_pruned);
      }
      EXPECT_EQ(mask[static_cast<size_t>(layout.offset(output, 8, tap))], 1);
      EXPECT_EQ(mask[static_cast<size_t>(layout.offset(output, 9, tap))], 1);
    }
  }
  const std::vector<float> equal(4, 1.0F);
  EXPECT_EQ(n_of_m_mask(equal, ReductionLayout::matrix(4, 1), 2, 4), (Mask{1, 1, 0, 0}));
}

TEST(Sparsity, BlocksGoAsAWhole) {
  const std::vector<float> scores = magnitude_scores(normal_values(10 * 7, 1.0F, 8));
  EXPECT_EQ(block_count(10, 7, 4, 2), 12);
  const Mask mask = block_mask(scores, 10, 7, 4, 2, 5);
  int64_t gone = 0;
  for (int64_t row = 0; row < 10; row += 4) {
    for (int64_t column = 0; column < 7; column += 2) {
      const uint8_t first = mask[static_cast<size_t>(row * 7 + column)];
      gone += 1 - first;
      for (int64_t r = row; r < std::min<int64_t>(row + 4, 10); ++r) {
        for (int64_t c = column; c < std::min<int64_t>(column + 2, 7); ++c) {
          EXPECT_EQ(mask[static_cast<size_t>(r * 7 + c)], first);
        }
      }
    }
  }
  EXPECT_EQ(gone, 5);
}

TEST(Sparsity, RefusesNan) {
  const std::vector<float> scores = {1.0F, std::nanf("")};
  const ScoredLayer layer{scores};
  EXPECT_THROW(prune_lowest({&layer, 1}, 1), Error);
  EXPECT_EQ(lamp_scores(scores).size(), 2U);
}

}  // namespace
}  // namespace mcompress::numerics
