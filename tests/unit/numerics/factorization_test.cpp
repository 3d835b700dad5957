// SPDX-License-Identifier: Apache-2.0
#include "numerics/factorization.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "numerics/linear_algebra.h"
#include "numerics/tucker.h"

namespace mcompress::numerics {
namespace {

std::vector<float> random_weights(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(random() % 2001) / 1000.0F - 1);
  }
  return values;
}

/// X^T X of inputs that differ much in size and depend on each other.
std::vector<double> random_gram(int64_t inputs, uint32_t seed) {
  std::vector<float> x = random_weights(4 * inputs * inputs, seed);
  for (size_t i = 0; i < x.size(); ++i) {
    const auto column = static_cast<float>(i % static_cast<size_t>(inputs));
    x[i] = x[i] / (1 + column) + (column > 0 ? 0.5F * x[i - 1] : 0);
  }
  std::vector<double> gram(static_cast<size_t>(inputs * inputs));
  accumulate_gram(x, 4 * inputs, inputs, gram);
  symmetrize(gram, inputs);
  return gram;
}

const KernelShape kShape{14, 12, {3, 2}};

double loss_of(const Factorization& solution, const FactorPoint& point,
               const std::vector<float>& weights, std::span<const double> gram) {
  const auto factors = solution.factors(point);
  return relative_loss(weights, composed(solution.method(), factors, kShape), kShape.outputs, gram);
}

TEST(Factorization, LossesArePredicted) {
  const auto weights = random_weights(kShape.parameters(), 1);
  const auto gram = random_gram(kShape.channels * kShape.taps(), 2);
  for (const auto method : {FactorMethod::kChannel, FactorMethod::kSpatial}) {
    const Factorization plain(method, weights, kShape, {}, 1);
    for (const FactorPoint& point : plain.points()) {
      EXPECT_NEAR(loss_of(plain, point, weights, {}), point.lost, 1e-5);
    }
  }
  const Factorization whitened(FactorMethod::kChannel, weights, kShape, gram, 1);
  for (const FactorPoint& point : whitened.points()) {
    EXPECT_NEAR(loss_of(whitened, point, weights, gram), point.lost, 1e-5);
  }
}

TEST(Factorization, ParametersAreThoseOfTheFactors) {
  const auto weights = random_weights(kShape.parameters(), 1);
  for (const auto method :
       {FactorMethod::kChannel, FactorMethod::kSpatial, FactorMethod::kTucker}) {
    const Factorization solution(method, weights, kShape, {}, 2);
    ASSERT_FALSE(solution.points().empty());
    for (const FactorPoint& point : solution.points()) {
      int64_t parameters = 0;
      for (const Factor& factor : solution.factors(point)) {
        parameters += static_cast<int64_t>(factor.weight.size());
      }
      EXPECT_EQ(parameters, point.parameters);
      EXPECT_LT(parameters, kShape.parameters());
    }
  }
}

TEST(Factorization, WithMomentsNoWorseOnTheOutputs) {
  const auto weights = random_weights(kShape.parameters(), 3);
  const auto gram = random_gram(kShape.channels * kShape.taps(), 4);
  for (const auto method :
       {FactorMethod::kChannel, FactorMethod::kSpatial, FactorMethod::kTucker}) {
    const Factorization plain(method, weights, kShape, {}, 2);
    const Factorization whitened(method, weights, kShape, gram, 2);
    const FactorPoint middle = plain.points()[plain.points().size() / 2];
    EXPECT_LT(loss_of(whitened, middle, weights, gram), loss_of(plain, middle, weights, gram));
  }
}

TEST(Factorization, TheLastFactorMakesUpForTheOthers) {
  const auto weights = random_weights(kShape.parameters(), 3);
  const auto gram = random_gram(kShape.channels * kShape.taps(), 4);
  for (const auto method : {FactorMethod::kChannel, FactorMethod::kSpatial, FactorMethod::kTucker}) {
    const Factorization solution(method, weights, kShape, gram, 2);
    const FactorPoint middle = solution.points()[solution.points().size() / 2];
    auto factors = solution.factors(middle);
    const auto first = factors.front().weight;
    refit_last(method, factors, kShape, weights, gram);
    EXPECT_EQ(factors.front().weight, first);
    const double after =
        relative_loss(weights, composed(method, factors, kShape), kShape.outputs, gram);
    const double before = loss_of(solution, middle, weights, gram);
    if (method == FactorMethod::kChannel) {
      EXPECT_NEAR(after, before, 1e-4) << "all factors were the best before";
    } else {
      EXPECT_LT(after, 0.95 * before);
    }
  }
}

TEST(Tucker, FullRankIsExactAndIterationsHelp) {
  const auto weights = random_weights(10 * 8 * 9, 5);
  const Tucker tucker(weights, 10, 8, 9, {});
  EXPECT_NEAR(tucker.lost(10, 8), 0, 1e-12);
  const KernelShape shape{10, 8, {3, 3}};
  const auto loss = [&](int64_t outer, int64_t inner, int iterations) {
    TuckerFactors f = tucker.factors(outer, inner, iterations);
    const std::vector<Factor> factors{{inner, 8, {1, 1}, {}, f.first},
                                      {outer, inner, {3, 3}, {}, f.core},
                                      {10, outer, {1, 1}, {}, f.last}};
    return relative_loss(weights, composed(FactorMethod::kTucker, factors, shape), 10, {});
  };
  EXPECT_LT(loss(10, 8, 5), 1e-10);
  EXPECT_NEAR(loss(5, 4, 0), tucker.lost(5, 4), 1e-6);
  EXPECT_LE(loss(5, 4, 5), loss(5, 4, 0) + 1e-9);
}

}  // namespace
}  // namespace mcompress::numerics
