// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "mcompress/runtime_service.h"

namespace mcompress {
namespace {

// Takes the times it is told to and writes down when it ran.
class FakeSession : public Session {
 public:
  FakeSession(char name, std::vector<double> seconds, std::string* order)
      : name_(name), seconds_(std::move(seconds)), order_(order) {}
  const std::vector<ValueInfo>& inputs() const override { return inputs_; }
  const std::vector<std::string>& output_names() const override { return names_; }
  std::vector<Tensor> run(const Feeds&) override { return {}; }
  double time(const Feeds&) override {
    order_->push_back(name_);
    return seconds_[next_++ % seconds_.size()];
  }

 private:
  char name_;
  std::vector<double> seconds_;
  std::string* order_;
  size_t next_ = 0;
  std::vector<ValueInfo> inputs_;
  std::vector<std::string> names_;
};

TEST(Latency, AlternatesTheOrderAfterWarmingUp) {
  std::string order;
  FakeSession a('a', {0.001}, &order);
  FakeSession b('b', {0.001}, &order);
  Session* const both[] = {&a, &b};
  measure_latency(both, {}, 4, 100);
  EXPECT_EQ(order,
            "ababab"
            "abbaabba");
}

TEST(Latency, PairsTheRatios) {
  std::string order;
  // Slow phases hit both: the medians' ratio would lie, the pairs do not. (Three warm-up runs.)
  FakeSession a('a', {0.001, 0.001, 0.001, 0.002, 0.001, 0.004}, &order);
  FakeSession b('b', {0.001, 0.001, 0.001, 0.001, 0.0005, 0.002}, &order);
  Session* const both[] = {&a, &b};
  const auto result = measure_latency(both, {}, 3, 100);
  EXPECT_EQ(result[0].pairs, 3);
  EXPECT_DOUBLE_EQ(result[0].ratio, 1);
  EXPECT_DOUBLE_EQ(result[0].median_ms, 2);
  EXPECT_DOUBLE_EQ(result[0].min_ms, 1);
  EXPECT_DOUBLE_EQ(result[0].max_ms, 4);
  EXPECT_DOUBLE_EQ(result[0].spread_ms, 1.5);
  EXPECT_DOUBLE_EQ(result[1].ratio, 0.5);
  EXPECT_DOUBLE_EQ(result[1].ratio_low, 0.5);
  EXPECT_DOUBLE_EQ(result[1].ratio_high, 0.5);
}

TEST(Latency, BoundsTheMedianByOrderStatistics) {
  std::string order;
  std::vector<double> rising = {1, 1, 1};  // warm-up
  for (int i = 1; i <= 100; ++i) rising.push_back(i);
  FakeSession one('a', std::vector<double>(103, 1.0), &order);
  FakeSession ramp('b', rising, &order);
  Session* const both[] = {&one, &ramp};
  const auto result = measure_latency(both, {}, 100, 100);
  EXPECT_EQ(result[1].pairs, 100) << "the interval is wide to the end";
  // Two pairs make one ratio, sqrt(i (i + 1)) for odd i. 95 % for n = 50 by the binomial
  // distribution: the 18th and the 33rd of them.
  EXPECT_NEAR(result[1].ratio, (std::sqrt(49.0 * 50) + std::sqrt(51.0 * 52)) / 2, 1e-9);
  EXPECT_NEAR(result[1].ratio_low, std::sqrt(35.0 * 36), 1e-9);
  EXPECT_NEAR(result[1].ratio_high, std::sqrt(65.0 * 66), 1e-9);
}

TEST(Latency, StopsWhenTheRatioIsKnown) {
  std::string order;
  FakeSession a('a', {0.002}, &order);
  FakeSession steady('b', {0.001}, &order);
  Session* const both[] = {&a, &steady};
  const auto result = measure_latency(both, {}, 1000, 100);
  EXPECT_EQ(result[1].pairs, 20);
  EXPECT_DOUBLE_EQ(result[1].ratio, 0.5);
}

TEST(Latency, TheOrderWithinAPairCancels) {
  std::string order;
  // Whoever runs second is half as fast: a first in even pairs, b in odd ones. (Three warm-up
  // runs.)
  FakeSession a('a', {1, 1, 1, 1, 2, 1, 2}, &order);
  FakeSession b('b', {1, 1, 1, 2, 1, 2, 1}, &order);
  Session* const both[] = {&a, &b};
  EXPECT_DOUBLE_EQ(measure_latency(both, {}, 4, 1000)[1].ratio, 1);
}

TEST(Latency, StopsWhenTheTimeIsUp) {
  std::string order;
  FakeSession a('a', {0.001}, &order);
  Session* const one[] = {&a};
  EXPECT_EQ(measure_latency(one, {}, 1000, 0).at(0).pairs, 6);
}

}  // namespace
}  // namespace mcompress
