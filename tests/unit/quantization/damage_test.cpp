// SPDX-License-Identifier: Apache-2.0
#include "quantization/damage.h"

#include <gtest/gtest.h>

#include <cmath>

namespace mcompress::quantization {
namespace {

Tensor row(std::vector<float> values) {
  return Tensor::from<float>({1, static_cast<int64_t>(values.size())}, values);
}

TEST(DamageMeter, ProbabilitiesAreJudgedByDivergence) {
  DamageMeter meter;
  const Tensor p = row({0.5f, 0.5f});
  const Tensor q = row({0.25f, 0.75f});
  meter.add({&p, 1}, {&q, 1});
  EXPECT_NEAR(meter.value(), 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3.0), 1e-6);
}

TEST(DamageMeter, OtherOutputsByNoiseOverSignal) {
  DamageMeter meter;
  const Tensor a = row({3, 4});
  const Tensor b = row({3, 4.5f});
  meter.add({&a, 1}, {&b, 1});
  EXPECT_NEAR(meter.value(), 0.25 / 25, 1e-9);
}

TEST(DamageMeter, TheWorstOutputCounts) {
  DamageMeter meter;
  const Tensor same[] = {row({1, 2}), row({3, 4})};
  const Tensor other[] = {row({1, 2}), row({3, 5})};
  meter.add(same, other);
  EXPECT_NEAR(meter.value(), 1.0 / 25, 1e-9);
}

TEST(LeastCount, IsTheEdgeWithinTheEvaluations) {
  for (size_t edge = 0; edge <= 40; ++edge) {
    int calls = 0;
    const auto damage = [&](size_t count) {
      ++calls;
      return count >= edge ? 0.0 : 1.0;
    };
    EXPECT_EQ(least_count(40, 0.5, 30, damage), edge);
    calls = 0;
    EXPECT_GE(least_count(40, 0.5, 5, damage), edge);  // never less than what was seen to do
    EXPECT_LE(calls, 5);
  }
}

TEST(LeastCount, NoEvaluationsMeanNoSearch) {
  EXPECT_EQ(least_count(10, 0.5, 0, [](size_t) { return 1.0; }), 0u);
}

}  // namespace
}  // namespace mcompress::quantization
