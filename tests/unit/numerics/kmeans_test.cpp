// SPDX-License-Identifier: Apache-2.0
#include "numerics/kmeans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "mcompress/error.h"
#include "numerics/float_sort.h"
#include "numerics/segmentation.h"

namespace mcompress::numerics {
namespace {

std::vector<float> heavy_tailed(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0F, 0.05F);
  std::vector<float> values(count);
  for (float& value : values) value = normal(engine) * (engine() % 50 == 0 ? 4.0F : 1.0F);
  return values;
}

// Optimal squared error by the textbook recurrence, O(k n^2), long double.
double brute_force(std::vector<float> values, std::vector<float> weights, int clusters) {
  if (weights.empty()) weights.assign(values.size(), 1.0F);
  std::vector<std::pair<float, float>> items;
  for (size_t i = 0; i < values.size(); ++i) items.emplace_back(values[i], weights[i]);
  std::sort(items.begin(), items.end());
  const size_t n = items.size();
  const auto infinity = std::numeric_limits<long double>::infinity();
  std::vector<long double> best(n + 1, infinity);
  best[0] = 0;
  for (int k = 0; k < clusters; ++k) {
    std::vector<long double> next(n + 1, infinity);
    next[0] = 0;
    for (size_t begin = 0; begin < n; ++begin) {
      long double weight = 0;
      long double mean = 0;
      long double error = 0;
      for (size_t end = begin; end < n; ++end) {
        const long double w = items[end].second;
        if (w > 0) {
          weight += w;
          const long double delta = items[end].first - mean;
          mean += delta * w / weight;
          error += w * delta * (items[end].first - mean);
        }
        next[end + 1] = std::min(next[end + 1], best[begin] + error);
      }
    }
    best = next;
  }
  return static_cast<double>(best[n]);
}

double coded_error(const std::vector<float>& values, const Codebook& codebook,
                   const std::vector<float>& weights = {}) {
  std::vector<uint8_t> codes(values.size());
  CodeAssigner(codebook).assign(values, codes);
  std::vector<float> decoded(values.size());
  decode_codes(codes, codebook.values, decoded);
  double error = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double difference = static_cast<double>(values[i]) - decoded[i];
    error += difference * difference * (weights.empty() ? 1.0 : weights[i]);
  }
  return error;
}

KMeansOptions options(int codes, KMeansMethod method = KMeansMethod::kExact) {
  KMeansOptions result;
  result.codes = codes;
  result.method = method;
  return result;
}

std::vector<float> random_case(std::mt19937& engine, int kind) {
  const size_t count = 20 + engine() % 120;
  std::vector<float> values(count);
  std::normal_distribution<float> normal(3.0F, 1.0F);
  for (float& value : values) {
    switch (kind) {
      case 0:
        value = normal(engine);
        break;
      case 1:
        value = static_cast<float>(1 + engine() % 30) * 0.125F;
        break;
      case 2:
        value = std::exp(normal(engine) * 3.0F);
        break;
      default:
        value = static_cast<float>(1 + engine() % 1000);
        break;
    }
  }
  return values;
}

TEST(KMeans, EqualsBruteForce) {
  std::mt19937 engine(1);
  for (int repetition = 0; repetition < 60; ++repetition) {
    const std::vector<float> values = random_case(engine, repetition % 4);
    for (const int codes : {1, 2, 3, 5, 8, 15, 16}) {
      const Codebook codebook = cluster_values(values, options(codes));
      const double optimum = brute_force(values, {}, codes);
      const double slack = 1e-9 * optimum + 1e-10 * brute_force(values, {}, 1);
      EXPECT_NEAR(codebook.squared_error, optimum, slack) << "codes " << codes;
      EXPECT_LE(codebook.values.size(), static_cast<size_t>(codes));
    }
  }
}

TEST(KMeans, WeightedEqualsBruteForce) {
  std::mt19937 engine(2);
  for (int repetition = 0; repetition < 40; ++repetition) {
    const std::vector<float> values = random_case(engine, repetition % 4);
    std::vector<float> weights(values.size());
    for (float& weight : weights) weight = static_cast<float>(engine() % 100) * 0.01F;
    for (const int codes : {2, 7, 12}) {
      const Codebook codebook = cluster_values(values, options(codes), weights);
      const double optimum = brute_force(values, weights, codes);
      const double slack = 1e-9 * optimum + 1e-10 * brute_force(values, weights, 1);
      EXPECT_NEAR(codebook.squared_error, optimum, slack) << "codes " << codes;
    }
  }
}

TEST(KMeans, EquallySpacedTiesStillGiveTheWantedNumber) {
  // Every price between two breakpoints skips most counts: the splice is needed.
  std::vector<float> values;
  for (int i = 1; i <= 64; ++i) values.push_back(static_cast<float>(i));
  for (int codes = 1; codes <= 64; ++codes) {
    const Codebook codebook = cluster_values(values, options(codes));
    EXPECT_EQ(codebook.values.size(), static_cast<size_t>(codes));
    EXPECT_NEAR(codebook.squared_error, brute_force(values, {}, codes), 1e-8);
  }
}

TEST(KMeans, ErrorFallsConvexlyWithTheNumberOfCodes) {
  const std::vector<float> values = heavy_tailed(3000, 3);
  std::vector<double> errors;
  for (int codes = 1; codes <= 40; ++codes) {
    errors.push_back(cluster_values(values, options(codes)).squared_error);
  }
  for (size_t i = 1; i + 1 < errors.size(); ++i) {
    EXPECT_LE(errors[i], errors[i - 1]);
    EXPECT_LE(errors[i] - errors[i + 1], (errors[i - 1] - errors[i]) * (1 + 1e-9));
  }
}

TEST(KMeans, FewDistinctValuesAreKeptExactly) {
  const std::vector<float> levels = {-1.7F, 0.1F, 0.3F, 1e-30F, 5e7F};
  std::vector<float> values;
  for (int i = 0; i < 1000; ++i) values.push_back(levels[static_cast<size_t>(i) % levels.size()]);
  for (const KMeansMethod method : {KMeansMethod::kExact, KMeansMethod::kHistogram}) {
    const Codebook codebook = cluster_values(values, options(5, method));
    EXPECT_EQ(codebook.squared_error, 0.0);
    EXPECT_EQ(coded_error(values, codebook), 0.0);
  }
  EXPECT_EQ(cluster_values(std::vector<float>(9, 0.3F), options(4)).values,
            std::vector<float>{0.3F});
}

TEST(KMeans, ZerosKeepACodeOfTheirOwn) {
  std::vector<float> values = heavy_tailed(4000, 4);
  for (size_t i = 0; i < values.size(); i += 3) values[i] = i % 2 == 0 ? 0.0F : -0.0F;
  const Codebook codebook = cluster_values(values, options(16));
  EXPECT_TRUE(codebook.has_zero_code);
  EXPECT_EQ(codebook.values.size(), 16U);
  EXPECT_EQ(codebook.values[0], 0.0F);
  std::vector<uint8_t> codes(values.size());
  CodeAssigner(codebook).assign(values, codes);
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(codes[i] == 0, values[i] == 0.0F);

  KMeansOptions plain = options(16);
  plain.keep_zeros = false;
  EXPECT_FALSE(cluster_values(values, plain).has_zero_code);
  EXPECT_FALSE(cluster_values(heavy_tailed(100, 1), options(16)).has_zero_code);
  const Codebook empty = cluster_values(std::vector<float>(10, 0.0F), options(16));
  EXPECT_EQ(empty.values, std::vector<float>{0.0F});
}

TEST(KMeans, HistogramIsWithinATenThousandthOfTheOptimum) {
  for (const int codes : {4, 16, 256}) {
    const std::vector<float> values = heavy_tailed(400000, 5);
    const double exact = cluster_values(values, options(codes)).squared_error;
    const Codebook binned = cluster_values(values, options(codes, KMeansMethod::kHistogram));
    EXPECT_GE(binned.squared_error, exact * (1 - 1e-9));
    EXPECT_LE(binned.squared_error, exact * 1.0001) << codes;
    EXPECT_NEAR(coded_error(values, binned), binned.squared_error, binned.squared_error * 1e-4);
  }
}

TEST(KMeans, FarOutlierDoesNotRuinTheRest) {
  std::vector<float> values = heavy_tailed(20000, 6);
  const double before = cluster_values(values, options(15)).squared_error;
  values.push_back(-3e6F);
  for (const KMeansMethod method : {KMeansMethod::kExact, KMeansMethod::kHistogram}) {
    const Codebook codebook = cluster_values(values, options(16, method));
    EXPECT_NEAR(coded_error(values, codebook), before, before * 1e-5);
  }
}

TEST(KMeans, PartsAreClusteredTogether) {
  const std::vector<float> values = heavy_tailed(5000, 7);
  const std::vector<std::span<const float>> parts = {std::span<const float>(values).first(1234),
                                                     std::span<const float>(values).subspan(1234)};
  const Codebook whole = cluster_values(values, options(16));
  EXPECT_EQ(cluster_values(parts, options(16)).values, whole.values);
}

TEST(KMeans, RefusesWhatIsNotFinite) {
  EXPECT_THROW(cluster_values(std::vector<float>{1.0F, std::nanf("")}, options(2)), Error);
  EXPECT_THROW(cluster_values(std::vector<float>{1.0F, HUGE_VALF}, options(2)), Error);
}

TEST(CodeAssigner, FindsTheNearest) {
  std::mt19937 engine(8);
  for (const size_t size : {1UL, 2UL, 7UL, 255UL}) {
    Codebook codebook;
    codebook.values = heavy_tailed(size, static_cast<uint32_t>(size));
    if (size > 2) codebook.values.front() = 1e9F;  // all other thresholds share one cell
    std::sort(codebook.values.begin(), codebook.values.end());
    const CodeAssigner assigner(codebook);
    std::vector<float> values = heavy_tailed(3000, 9);
    for (size_t i = 0; i + 1 < size; ++i) {
      values.push_back(0.5F * (codebook.values[i] + codebook.values[i + 1]));
    }
    values.insert(values.end(), {-HUGE_VALF, HUGE_VALF, -1e30F, 3e38F});
    for (const float value : values) {
      const double distance = std::abs(static_cast<double>(codebook.values[assigner.code(value)]) -
                                       static_cast<double>(value));
      for (const float other : codebook.values) {
        EXPECT_LE(distance, std::abs(static_cast<double>(other) - value));
      }
    }
  }
}

TEST(FloatSort, EqualsStdSort) {
  std::vector<float> values = heavy_tailed(10000, 10);
  values.insert(values.end(), {0.0F, 1e-44F, -1e-44F, HUGE_VALF, -HUGE_VALF, 3e38F});
  std::vector<float> expected = values;
  std::sort(expected.begin(), expected.end());
  sort_floats(values);
  EXPECT_EQ(values, expected);
}

}  // namespace
}  // namespace mcompress::numerics
