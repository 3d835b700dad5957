// SPDX-License-Identifier: Apache-2.0
#include "numerics/entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace mcompress::numerics {
namespace {

TEST(Entropy, KnownDistributions) {
  EXPECT_EQ(entropy_bits(std::vector<int64_t>{5, 0, 0}), 0);
  EXPECT_EQ(entropy_bits(std::vector<int64_t>{}), 0);
  EXPECT_NEAR(entropy_bits(std::vector<int64_t>{4, 4, 4, 4}), 32, 1e-12);
  EXPECT_NEAR(entropy_bits(std::vector<int64_t>{1, 3}), 4 * 0.8112781244591328, 1e-12);
  EXPECT_NEAR(entropy_bits(std::vector<uint8_t>{0, 1, 2, 3, 3, 2, 1, 0}), 16, 1e-12);
}

TEST(Entropy, SparseBoundSplitsIntoPositionsAndValues) {
  std::vector<uint8_t> codes(1000, 0);
  for (size_t i = 0; i < 100; ++i) codes[i * 10] = static_cast<uint8_t>(1 + i % 16);
  const SparseBound bound = sparse_bound(codes);
  EXPECT_EQ(bound.survivors, 100);
  EXPECT_NEAR(bound.position_bits, 1000 * 0.4689955935892812, 1e-9);
  EXPECT_NEAR(bound.value_bits, 400, 1);
  // The chain rule: the same information as coding all symbols at once.
  EXPECT_NEAR(bound.bits(), entropy_bits(codes), 1e-9);
}

TEST(Entropy, NothingButZeros) {
  const SparseBound bound = sparse_bound(std::vector<uint8_t>(50, 0));
  EXPECT_EQ(bound.bits(), 0);
  EXPECT_EQ(bound.survivors, 0);
}

}  // namespace
}  // namespace mcompress::numerics
