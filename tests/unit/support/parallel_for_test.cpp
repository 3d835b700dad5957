// SPDX-License-Identifier: Apache-2.0
#include "support/parallel_for.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mcompress {
namespace {

class ParallelFor : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_thread_count(GetParam()); }
  void TearDown() override { set_thread_count(0); }
};

INSTANTIATE_TEST_SUITE_P(Threads, ParallelFor, testing::Values(1, 2, 4));

TEST_P(ParallelFor, ChunksAreFixed) {
  std::mutex mutex;
  std::set<std::pair<int64_t, int64_t>> chunks;
  parallel_for(3, 20, 5, [&](int64_t first, int64_t last) {
    const std::lock_guard<std::mutex> lock(mutex);
    chunks.insert({first, last});
  });
  EXPECT_EQ(chunks, (std::set<std::pair<int64_t, int64_t>>{{3, 8}, {8, 13}, {13, 18}, {18, 20}}));
}

TEST_P(ParallelFor, EmptyRangeCallsNothing) {
  parallel_for(5, 5, 1, [](int64_t, int64_t) { FAIL(); });
  parallel_for(5, 1, 1, [](int64_t, int64_t) { FAIL(); });
}

TEST_P(ParallelFor, LowestExceptionWins) {
  for (int repetition = 0; repetition < 50; ++repetition) {
    try {
      parallel_for(0, 100, 1, [](int64_t first, int64_t) {
        if (first >= 17) throw std::runtime_error(std::to_string(first));
      });
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "17");
    }
  }
}

TEST_P(ParallelFor, NestedLoopsCoverAll) {
  std::atomic<int> calls{0};
  parallel_for(0, 8, 1, [&](int64_t, int64_t) {
    parallel_for(0, 10, 3,
                 [&](int64_t first, int64_t last) { calls += static_cast<int>(last - first); });
  });
  EXPECT_EQ(calls, 80);
}

double chunked_sum() {
  constexpr int64_t kCount = 100000;
  constexpr int64_t kGrain = 777;
  std::vector<double> partial(kCount / kGrain + 1);
  parallel_for(0, kCount, kGrain, [&](int64_t first, int64_t last) {
    double sum = 0;
    for (int64_t i = first; i < last; ++i) sum += std::sin(static_cast<double>(i));
    partial[static_cast<size_t>(first / kGrain)] = sum;
  });
  double total = 0;
  for (const double sum : partial) total += sum;
  return total;
}

TEST(ParallelForThreads, SumsDoNotDependOnTheirNumber) {
  set_thread_count(1);
  const double one = chunked_sum();
  for (const int threads : {2, 3, 4}) {
    set_thread_count(threads);
    EXPECT_EQ(thread_count(), threads);
    EXPECT_EQ(chunked_sum(), one);
  }
  set_thread_count(0);
  EXPECT_GE(thread_count(), 1);
}

}  // namespace
}  // namespace mcompress
