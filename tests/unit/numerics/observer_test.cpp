// SPDX-License-Identifier: Apache-2.0
#include "numerics/observer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "mcompress/error.h"

namespace mcompress::numerics {
namespace {

std::vector<float> activations(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.3F, 1.0F);
  std::vector<float> values(count);
  for (float& value : values) {
    value = normal(engine) * (engine() % 1000 == 0 ? 37.0F : 1.0F);
    if (engine() % 10 == 0) value = 0.0F;
    if (engine() % 5000 == 0) value = std::ldexp(1.0F, static_cast<int>(engine() % 8) - 4);
  }
  return values;
}

Histogram one_shot(const std::vector<float>& values) {
  Histogram histogram;
  histogram.add(values);
  return histogram;
}

int64_t sum(std::span<const int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

TEST(Histogram, BinsHoldWhatTheySay) {
  const std::vector<float> values = activations(20011, 1);
  const Histogram histogram = one_shot(values);
  const double width = histogram.bin_width();
  for (const int32_t bin : {0, 1, 5, 100, 700, 1023, 1024, 2047}) {
    int64_t positive = 0;
    int64_t negative = 0;
    for (const float value : values) {
      const bool inside = std::abs(value) > bin * width && std::abs(value) <= (bin + 1) * width;
      positive += inside && value > 0 ? 1 : 0;
      negative += inside && value < 0 ? 1 : 0;
    }
    EXPECT_EQ(histogram.positive()[static_cast<size_t>(bin)], positive) << bin;
    EXPECT_EQ(histogram.negative()[static_cast<size_t>(bin)], negative) << bin;
  }
  EXPECT_EQ(histogram.count(), 20011);
  EXPECT_EQ(sum(histogram.magnitudes()) + histogram.zeros(), 20011);
  EXPECT_EQ(histogram.extent().max, *std::max_element(values.begin(), values.end()));
  EXPECT_EQ(histogram.extent().min, *std::min_element(values.begin(), values.end()));
}

TEST(Histogram, StreamingEqualsOneShotWhateverTheSplitAndOrder) {
  std::vector<float> values = activations(50000, 2);
  std::sort(values.begin(), values.end(),
            [](float a, float b) { return std::abs(a) < std::abs(b); });  // grows all the time
  const Histogram whole = one_shot(values);
  for (const size_t batch : {7UL, 1024UL, 30000UL}) {
    Histogram forward;
    Histogram backward;
    Histogram merged;
    for (size_t begin = 0; begin < values.size(); begin += batch) {
      const size_t count = std::min(batch, values.size() - begin);
      forward.add({values.data() + begin, count});
      backward.add({values.data() + values.size() - begin - count, count});
      Histogram part;
      part.add({values.data() + begin, count});
      if (batch > 1000) merged.merge(part);
    }
    EXPECT_TRUE(forward == whole);
    EXPECT_TRUE(backward == whole);
    if (batch > 1000) {
      EXPECT_TRUE(merged == whole);
    }
  }
}

TEST(Histogram, NonFiniteValuesAreCountedApart) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  Histogram histogram;
  const MinMax batch =
      histogram.add(std::vector<float>{1.0F, kInf, -kInf, std::nanf(""), -2.0F, 0.0F});
  EXPECT_EQ(batch.non_finite, 3);
  EXPECT_EQ(histogram.non_finite(), 3);
  EXPECT_EQ(histogram.count(), 3);
  EXPECT_EQ(histogram.zeros(), 1);
  EXPECT_EQ(histogram.extent().min, -2.0F);
  Histogram nothing;
  nothing.add(std::vector<float>(20, kInf));
  EXPECT_TRUE(nothing.empty());
  EXPECT_EQ(nothing.bin_width(), 0);
}

TEST(Histogram, ExtremeMagnitudes) {
  for (const float value : {1e-45F, 1e-30F, 1.0F, 0.5F, 3e38F}) {
    Histogram histogram;
    histogram.add(std::vector<float>{value, -value, value / 2});
    EXPECT_EQ(histogram.count(), 3);
    EXPECT_EQ(sum(histogram.positive()), value / 2 > 0 ? 2 : 1);
    EXPECT_EQ(sum(histogram.negative()), 1);
    EXPECT_GE(histogram.bin_width() * Histogram::kBins, value);
  }
}

TEST(Histogram, OneSideTakesNoMemory) {
  Histogram histogram;
  histogram.add(std::vector<float>{0.0F, 1.0F, 2.0F});
  EXPECT_TRUE(histogram.negative().empty());
  EXPECT_EQ(histogram.positive().size(), 2048U);
  histogram.add(std::vector<float>{1e6F});
  EXPECT_EQ(histogram.positive().size(), 2048U);
}

TEST(Histogram, Restores) {
  const Histogram histogram = one_shot(activations(5000, 3));
  const Histogram back =
      Histogram::restore(histogram.bin_width(), histogram.positive(), histogram.negative(),
                         histogram.zeros(), histogram.extent());
  EXPECT_TRUE(back == histogram);
  EXPECT_EQ(back.count(), histogram.count());
  EXPECT_THROW(Histogram::restore(0.3, histogram.positive(), {}, 0, histogram.extent()), Error);
  EXPECT_THROW(Histogram::restore(1.0, std::vector<int64_t>{1, 2}, {}, 0, histogram.extent()),
               Error);
  EXPECT_THROW(Histogram::restore(1e-9, histogram.positive(), {}, 0, histogram.extent()), Error);
}

TEST(Histogram, ASampledBatchHasExactExtremesAndTheSameDistribution) {
  std::mt19937 engine(5);
  std::exponential_distribution<float> exponential(1.0F);
  std::vector<float> values(1 << 20);
  for (float& value : values) value = exponential(engine);
  values[values.size() - 1] = 100;  // in no run that is counted
  Histogram all, sampled;
  all.add(values);
  const MinMax extent = sampled.add_sampled(values, 1 << 16);
  EXPECT_EQ(extent.max, 100);
  EXPECT_EQ(sampled.extent().min, all.extent().min);
  EXPECT_EQ(sampled.bin_width(), all.bin_width());
  EXPECT_NEAR(static_cast<double>(sampled.count()), 1 << 16, 1024);
  for (size_t bin = 0; bin < 40; bin += 10) {
    const double expected = static_cast<double>(all.positive()[bin]) / 16;
    EXPECT_NEAR(static_cast<double>(sampled.positive()[bin]), expected,
                6 * std::sqrt(expected + 1));
  }
  Histogram small;
  small.add_sampled(std::span<const float>(values).first(1000), 1 << 16);
  EXPECT_EQ(small.count(), 1000);
}

TEST(MovingRange, MergesByWeight) {
  MovingRange a = MovingRange::restore(-1, 1);
  a.merge(MovingRange::restore(-3, 5), 1, 3);
  EXPECT_FLOAT_EQ(a.min(), -2.5F);
  EXPECT_FLOAT_EQ(a.max(), 4);
  MovingRange empty;
  empty.merge(a, 0, 4);
  EXPECT_EQ(empty.max(), a.max());
}

TEST(MovingRange, FollowsSlowly) {
  MovingRange range(0.1);
  EXPECT_TRUE(range.empty());
  range.add({-1.0F, 1.0F, 0});
  range.add({-1.0F, 11.0F, 0});
  range.add(MinMax{});
  EXPECT_FLOAT_EQ(range.max(), 2.0F);
  EXPECT_FLOAT_EQ(range.min(), -1.0F);
}

TEST(ChannelObserver, KeepsEveryChannelApart) {
  ChannelObserver observer;
  observer.add(std::vector<float>{1, 2, -3, 4, 5, 6, -7, 8}, {2, 2, 2});
  observer.add(std::vector<float>{9, 0}, {1, 2, 1});
  ASSERT_EQ(observer.channels().size(), 2U);
  EXPECT_EQ(observer.channels()[0].min, 1);
  EXPECT_EQ(observer.channels()[0].max, 9);
  EXPECT_EQ(observer.channels()[1].min, -7);
  EXPECT_EQ(observer.channels()[1].max, 8);
  ChannelObserver other;
  other.add(std::vector<float>{-50, 0}, {1, 2, 1});
  observer.merge(other);
  EXPECT_EQ(observer.channels()[0].min, -50);
}

}  // namespace
}  // namespace mcompress::numerics
