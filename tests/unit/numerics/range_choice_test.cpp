// SPDX-License-Identifier: Apache-2.0
#include "numerics/range_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace mcompress::numerics {
namespace {

constexpr size_t kCount = 400000;

std::vector<float> laplace(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::exponential_distribution<float> exponential(1.0F);
  std::vector<float> values(count);
  for (float& value : values) value = exponential(engine) * (engine() % 2 == 0 ? 1.0F : -1.0F);
  return values;
}

// A normal distribution in which one value of 10^5 is multiplied by 50.
std::vector<float> outlier_tail(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> values(count);
  for (float& value : values) value = normal(engine);
  for (size_t i = 0; i < count; i += 100000) values[i] *= 50.0F;
  return values;
}

std::vector<float> rectified(std::vector<float> values) {
  for (float& value : values) value = std::max(value, 0.0F);
  return values;
}

Histogram histogram_of(const std::vector<float>& values) {
  Histogram histogram;
  histogram.add(values);
  return histogram;
}

RangeOptions options(RangeMethod method, IntRange range, bool symmetric) {
  RangeOptions result;
  result.method = method;
  result.range = range;
  result.symmetric = symmetric;
  return result;
}

double measured_error(const std::vector<float>& values, Range range, const RangeOptions& choice) {
  return simd::quantization_error(values, {}, params_of(range, choice), choice.range);
}

double sqnr_db(const std::vector<float>& values, const RangeOptions& choice) {
  double signal = 0;
  for (const float value : values) signal += static_cast<double>(value) * value;
  const Range range = choose_range(histogram_of(values), choice);
  return 10 * std::log10(signal / measured_error(values, range, choice));
}

TEST(RangeChoice, ExpectedErrorIsTheMeasuredOne) {
  const std::vector<float> values = laplace(kCount, 1);
  const Histogram histogram = histogram_of(values);
  for (const float limit : {2.0F, 5.0F, 12.0F}) {
    for (const int bits : {2, 4, 8}) {
      const IntRange range = int_range(bits, true, true);
      const QuantParams params = symmetric_params(limit, range);
      const double measured = simd::quantization_error(values, {}, params, range);
      EXPECT_NEAR(expected_error(histogram, params, range), measured, 0.01 * measured);
      // The general power goes through the same integrals.
      EXPECT_NEAR(expected_error(histogram, params, range, 2.0 + 1e-9), measured, 0.01 * measured);
    }
  }
}

TEST(RangeChoice, MseFindsTheOptimumOfLaplace) {
  // Error of limit x: (x / L)^2 / 12 + 2 exp(-x), so exp(-x) = x / (12 L^2).
  const std::vector<float> values = laplace(1000000, 2);
  const Histogram histogram = histogram_of(values);
  for (const auto& [bits, optimum] : {std::pair{4, 4.80F}, {8, 9.90F}}) {
    const RangeOptions choice = options(RangeMethod::kMse, int_range(bits, true, true), true);
    const Range range = choose_range(histogram, choice);
    EXPECT_NEAR(range.high, optimum, 0.05F * optimum) << bits;
    double least = 1e300;
    for (int i = 1; i <= 300; ++i) {
      const float limit = histogram.extent().abs_max() * static_cast<float>(i) / 300.0F;
      least = std::min(least, measured_error(values, {-limit, limit}, choice));
    }
    EXPECT_LE(measured_error(values, range, choice), least * 1.01);
    EXPECT_LT(range.high, 0.9F * histogram.extent().abs_max());
  }
}

TEST(RangeChoice, AsymmetricMseIsNearTheBestPairOfBounds) {
  std::vector<float> values = laplace(kCount, 3);
  for (float& value : values) {
    if (value < 0) value *= 0.3F;
  }
  const Histogram histogram = histogram_of(values);
  const RangeOptions choice = options(RangeMethod::kMse, int_range(4, false), false);
  const Range range = choose_range(histogram, choice);
  double least = 1e300;
  for (int i = 1; i <= 60; ++i) {
    for (int j = 1; j <= 60; ++j) {
      const Range candidate = {histogram.extent().min * static_cast<float>(i) / 60.0F,
                               histogram.extent().max * static_cast<float>(j) / 60.0F};
      const QuantParams params = params_of(candidate, choice);
      least = std::min(least, expected_error(histogram, params, choice.range));
    }
  }
  EXPECT_LE(expected_error(histogram, params_of(range, choice), choice.range), least * 1.02);
}

TEST(RangeChoice, EveryMethodBeatsMinMaxOnAnOutlierTail) {
  const std::vector<float> values = outlier_tail(2000000, 4);
  for (const bool symmetric : {true, false}) {
    const IntRange range = symmetric ? kInt8SymmetricRange : kUint8Range;
    const double plain = sqnr_db(values, options(RangeMethod::kMinMax, range, symmetric));
    const double mse = sqnr_db(values, options(RangeMethod::kMse, range, symmetric));
    const double entropy = sqnr_db(values, options(RangeMethod::kEntropy, range, symmetric));
    EXPECT_GT(mse, plain + 2);
    EXPECT_GT(entropy, plain + 1);
    EXPECT_GE(mse, entropy - 0.05);
    RangeOptions percentile = options(RangeMethod::kPercentile, range, symmetric);
    percentile.percentile = 0.9999;
    EXPECT_LT(choose_range(histogram_of(values), percentile).high, 10.0F);
  }
}

TEST(RangeChoice, UniformDataKeepsItsRange) {
  std::vector<float> values(200000);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i + 1) / static_cast<float>(values.size());
  }
  for (const RangeMethod method :
       {RangeMethod::kMinMax, RangeMethod::kMse, RangeMethod::kEntropy}) {
    const Range range = choose_range(histogram_of(values), options(method, kUint8Range, false));
    EXPECT_GE(range.high, 0.98F);
    EXPECT_EQ(range.low, 0.0F);
  }
}

TEST(RangeChoice, RectifiedDataHasZeroPointZero) {
  const std::vector<float> values = rectified(laplace(kCount, 5));
  for (const RangeMethod method :
       {RangeMethod::kMinMax, RangeMethod::kMse, RangeMethod::kEntropy, RangeMethod::kPercentile}) {
    const RangeOptions choice = options(method, kUint8Range, false);
    const Range range = choose_range(histogram_of(values), choice);
    EXPECT_EQ(range.low, 0.0F);
    EXPECT_GT(range.high, 4.0F);
    EXPECT_EQ(params_of(range, choice).zero_point, 0);
  }
}

TEST(RangeChoice, PercentileIsTheRightEdgeOfItsBin) {
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i + 1) / 1000.0F;
  for (const double percentile : {0.5, 0.9, 0.99, 1.0}) {
    for (const bool symmetric : {true, false}) {
      RangeOptions choice = options(RangeMethod::kPercentile, kInt8Range, symmetric);
      choice.percentile = percentile;
      const Range range = choose_range(histogram_of(values), choice);
      EXPECT_GE(range.high, percentile - 1e-6);
      EXPECT_LE(range.high, percentile + 1.0 / 2048);
      EXPECT_EQ(range.low, symmetric ? -range.high : 0.0F);
    }
  }
}

// The definition, bin by bin.
double divergence_by_hand(const std::vector<int64_t>& counts, size_t cut, size_t levels) {
  std::vector<double> p(counts.begin(), counts.begin() + static_cast<ptrdiff_t>(cut));
  for (size_t i = cut; i < counts.size(); ++i) p[cut - 1] += static_cast<double>(counts[i]);
  std::vector<double> q(cut, 0.0);
  for (size_t slot = 0; slot < levels; ++slot) {
    const size_t begin = slot * cut / levels;
    const size_t end = (slot + 1) * cut / levels;
    double mass = 0;
    double occupied = 0;
    for (size_t i = begin; i < end; ++i) {
      mass += static_cast<double>(counts[i]);
      occupied += p[i] > 0 ? 1 : 0;
    }
    for (size_t i = begin; i < end; ++i) q[i] = p[i] > 0 ? mass / occupied : 0;
  }
  double p_sum = 0;
  double q_sum = 0;
  for (const double one : p) p_sum += one;
  for (const double one : q) q_sum += one;
  double divergence = 0;
  for (size_t i = 0; i < cut; ++i) {
    if (p[i] <= 0) continue;
    if (q[i] <= 0) return std::numeric_limits<double>::infinity();
    divergence += p[i] / p_sum * std::log(p[i] / p_sum / (q[i] / q_sum));
  }
  return divergence;
}

TEST(RangeChoice, EntropyIsTheLeastDivergence) {
  for (const bool one_sided : {true, false}) {
    std::vector<float> values = outlier_tail(30000, 6);
    if (one_sided) values = rectified(values);
    const Histogram histogram = histogram_of(values);
    const IntRange range = one_sided ? kUint8Range : kInt8Range;
    const Range chosen = choose_range(histogram, options(RangeMethod::kEntropy, range, !one_sided));
    std::vector<int64_t> counts = histogram.magnitudes();
    while (counts.back() == 0) counts.pop_back();
    const size_t levels = one_sided ? 256 : 128;
    double least = std::numeric_limits<double>::infinity();
    for (size_t cut = levels; cut <= counts.size(); ++cut) {
      least = std::min(least, divergence_by_hand(counts, cut, levels));
    }
    const auto cut = static_cast<size_t>(std::lround(chosen.high / histogram.bin_width()));
    EXPECT_NEAR(divergence_by_hand(counts, cut, levels), least, 1e-9);
    EXPECT_LT(chosen.high, histogram.extent().abs_max());
  }
}

TEST(RangeChoice, DegenerateHistograms) {
  for (const RangeMethod method :
       {RangeMethod::kMinMax, RangeMethod::kMse, RangeMethod::kEntropy, RangeMethod::kPercentile}) {
    const RangeOptions choice = options(method, kUint8Range, false);
    EXPECT_EQ(choose_range(Histogram{}, choice).high, 0.0F);
    EXPECT_EQ(choose_range(histogram_of({0.0F, 0.0F}), choice).high, 0.0F);
    const Range constant = choose_range(histogram_of(std::vector<float>(100, 3.5F)), choice);
    EXPECT_NEAR(constant.high, 3.5F, 0.01F);
    const Range negative = choose_range(histogram_of(std::vector<float>(100, -3.5F)), choice);
    EXPECT_NEAR(negative.low, -3.5F, 0.01F);
    EXPECT_EQ(negative.high, 0.0F);
    std::vector<float> rare(1000000, 0.0F);
    rare[7] = 2.0F;
    EXPECT_GT(choose_range(histogram_of(rare), choice).high, 0.0F);
  }
}

}  // namespace
}  // namespace mcompress::numerics
