// SPDX-License-Identifier: Apache-2.0
#include "analysis/weights.h"

#include <gtest/gtest.h>

#include <limits>

namespace mcompress::test {
namespace {

TEST(WeightFigures, CountsZerosDistinctValuesAndRange) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto figures = analysis::weight_figures(
      Tensor::from(Shape{7}, std::vector<float>{0.0F, -0.0F, 1.0F, 1.0F, -2.0F, nan, nan}));
  EXPECT_EQ(figures.count, 7U);
  EXPECT_EQ(figures.nonzeros, 5U);
  EXPECT_EQ(figures.distinct, 4U);
  EXPECT_EQ(figures.min, -2.0F);
  EXPECT_EQ(figures.max, 1.0F);
  EXPECT_NEAR(figures.sparsity(), 2.0 / 7, 1e-12);
}

TEST(WeightFigures, EntropyOfItsValues) {
  const std::vector<float> values{0, 0, -0.0F, 0, 1, 1, 2, 3};
  EXPECT_DOUBLE_EQ(analysis::weight_figures(Tensor::from(Shape{8}, values)).entropy_bits, 1.75);
}

TEST(WeightFigures, GivesUpOnDistinctValuesPastTheLimit) {
  std::vector<float> values(70000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const auto size = static_cast<int64_t>(values.size());
  EXPECT_EQ(analysis::weight_figures(Tensor::from(Shape{size}, values)).distinct, 0U);
  values.resize(65536);
  EXPECT_EQ(analysis::weight_figures(Tensor::from(Shape{65536}, values)).distinct, 65536U);
}

TEST(WeightFigures, EmptyAndIntegerTensors) {
  EXPECT_EQ(analysis::weight_figures(Tensor(DataType::kFloat, {0})).count, 0U);
  EXPECT_EQ(analysis::count_nonzeros(Tensor::from(Shape{3}, std::vector<int8_t>{0, -1, 2})), 2U);
}

}  // namespace
}  // namespace mcompress::test
