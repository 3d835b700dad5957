// SPDX-License-Identifier: Apache-2.0
#include "numerics/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace mcompress::numerics {
namespace {

TEST(Statistics, WilsonInterval) {
  const Estimate half = proportion(50, 100);
  EXPECT_DOUBLE_EQ(half.value, 0.5);
  EXPECT_NEAR(half.low, 0.40383, 1e-5);
  EXPECT_NEAR(half.high, 0.59617, 1e-5);
  const Estimate all = proportion(20, 20);
  EXPECT_NEAR(all.low, 0.83887, 1e-5);
  EXPECT_EQ(all.high, 1.0);
  EXPECT_EQ(proportion(0, 0).high, 1.0);
}

TEST(Statistics, MeanWithStudentInterval) {
  const Estimate five = mean(std::vector<double>{1, 2, 3, 4, 5});
  EXPECT_DOUBLE_EQ(five.value, 3);
  EXPECT_NEAR(five.half_width(), 2.776445 * std::sqrt(2.5 / 5), 0.01);
  const Estimate two = mean(std::vector<double>{0, 1});
  EXPECT_NEAR(two.half_width(), 12.7062 * 0.5, 1e-3);
  EXPECT_EQ(mean(std::vector<double>{7}).half_width(), 0);
}

TEST(Statistics, PairingRemovesWhatIsCommon) {
  std::mt19937 engine(1);
  std::normal_distribution<double> normal(0, 1);
  std::vector<double> a(400);
  std::vector<double> b(400);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = 10 * normal(engine);
    b[i] = a[i] + 0.5 + 0.1 * normal(engine);
  }
  const Estimate difference = paired_difference(a, b);
  EXPECT_NEAR(difference.value, 0.5, 0.02);
  EXPECT_LT(difference.half_width(), 0.011);
  EXPECT_LT(difference.low, 0.5);
}

TEST(Statistics, IntervalsCoverTheTruth) {
  std::mt19937 engine(2);
  std::exponential_distribution<double> exponential(1);
  int by_mean = 0;
  int by_median = 0;
  constexpr int kTrials = 1000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values(60);
    for (double& value : values) value = exponential(engine);
    const Estimate m = mean(values);
    const Estimate middle = median(values);
    by_mean += m.low <= 1 && 1 <= m.high ? 1 : 0;
    by_median += middle.low <= std::log(2.0) && std::log(2.0) <= middle.high ? 1 : 0;
  }
  EXPECT_GT(by_mean, 0.90 * kTrials);
  EXPECT_GT(by_median, 0.93 * kTrials);
  EXPECT_LT(by_median, 0.995 * kTrials);
}

TEST(Statistics, BootstrapIsDeterministicAndAgreesWithTheMean) {
  std::mt19937 engine(3);
  std::normal_distribution<double> normal(5, 2);
  std::vector<double> values(300);
  for (double& value : values) value = normal(engine);
  const auto average = [&](std::span<const int64_t> indices) {
    double total = 0;
    for (const int64_t i : indices) total += values[static_cast<size_t>(i)];
    return total / static_cast<double>(indices.size());
  };
  const Estimate first = bootstrap(300, 42, 1000, average);
  const Estimate again = bootstrap(300, 42, 1000, average);
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.high, again.high);
  EXPECT_NE(first.low, bootstrap(300, 43, 1000, average).low);
  EXPECT_NEAR(first.half_width(), mean(values).half_width(), 0.03);
  EXPECT_DOUBLE_EQ(first.value, mean(values).value);
}

TEST(Statistics, Quantiles) {
  const std::vector<double> values = {4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(quantile(values, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 4);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(median(values).value, 2.5);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(ErrorStatistics, MatchesItsDefinitions) {
  const std::vector<float> reference = {3, 4, 0};
  const std::vector<float> actual = {3, 3, 1};
  ErrorStatistics whole;
  whole.add(reference, actual);
  EXPECT_NEAR(whole.sqnr_db(), 10 * std::log10(25.0 / 2), 1e-12);
  EXPECT_NEAR(whole.cosine(), 21 / (5 * std::sqrt(19.0)), 1e-12);
  EXPECT_NEAR(whole.mean_squared_error(), 2.0 / 3, 1e-12);
  EXPECT_NEAR(whole.mean_absolute_error(), 2.0 / 3, 1e-12);
  EXPECT_EQ(whole.max_absolute_error(), 1);
  EXPECT_EQ(whole.max_absolute_reference(), 4);

  ErrorStatistics first;
  ErrorStatistics rest;
  first.add({reference.data(), 1}, {actual.data(), 1});
  rest.add({reference.data() + 1, 2}, {actual.data() + 1, 2});
  first.merge(rest);
  EXPECT_EQ(first.sqnr_db(), whole.sqnr_db());
  EXPECT_EQ(first.count(), 3);
}

TEST(ErrorStatistics, EdgeCases) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  ErrorStatistics same;
  same.add(std::vector<float>{1, kInf, std::nanf("")}, std::vector<float>{1, kInf, std::nanf("")});
  EXPECT_EQ(same.mismatches(), 0);
  EXPECT_EQ(same.sqnr_db(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(same.cosine(), 1);
  ErrorStatistics different;
  different.add(std::vector<float>{1, 2}, std::vector<float>{1, kInf});
  EXPECT_EQ(different.mismatches(), 1);
  EXPECT_LT(different.sqnr_db(), -1e300);
  EXPECT_EQ(different.cosine(), 0);
  ErrorStatistics silent;
  silent.add(std::vector<float>{0}, std::vector<float>{1});
  EXPECT_LT(silent.sqnr_db(), -1e300);
  EXPECT_EQ(ErrorStatistics{}.cosine(), 1);
}

}  // namespace
}  // namespace mcompress::numerics
