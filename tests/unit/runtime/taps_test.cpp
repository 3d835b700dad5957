// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "small_models.h"

namespace mcompress {
namespace {

using test::floats;
using test::runtime;
using test::text_model;

// Sample i is [i, -i]; counts how often it is read.
class Counting : public Dataset {
 public:
  size_t size() const override { return 3; }
  Feeds feeds(size_t first, size_t) const override {
    ++reads;
    const auto value = static_cast<float>(first);
    return {{"x", floats({1, 2}, {value, -value})}};
  }
  bool batchable() const override { return true; }
  std::optional<Tensor> labels(size_t, size_t) const override { return std::nullopt; }
  bool has_labels() const override { return false; }
  std::string description() const override { return "counting"; }
  std::string fingerprint() const override { return ""; }
  mutable int reads = 0;
};

struct Visited {
  std::map<std::string, std::vector<std::vector<float>>> values;
  std::vector<size_t> group_sizes;
};

Visited visit_all(const Dataset& data, size_t budget) {
  const Model model = text_model(R"(g (float[N, 2] x) => (float[N, 2] y) {
      a = Relu(x) b = Neg(a) y = Exp(b) })");
  const std::vector<std::string> names = {"a", "b", "y"};
  Visited visited;
  for_each_tap(
      *runtime(), model, data, names, budget, 1,
      [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> values) {
        if (sample == 0) visited.group_sizes.push_back(group.size());
        for (size_t i = 0; i < group.size(); ++i) {
          visited.values[group[i]].push_back(values[i].to_float());
        }
      });
  return visited;
}

TEST(Taps, VisitEverySampleInOnePassWithinTheBudget) {
  const Counting data;
  const auto visited = visit_all(data, 3 * 2 * sizeof(float));
  EXPECT_THAT(visited.group_sizes, testing::ElementsAre(3));
  EXPECT_EQ(data.reads, 1 + 3);
  EXPECT_THAT(visited.values.at("b"),
              testing::ElementsAre(std::vector<float>{0, 0}, std::vector<float>{-1, 0},
                                   std::vector<float>{-2, 0}));
}

TEST(Taps, SplitIntoGroupsBeyondIt) {
  const Counting data;
  const auto visited = visit_all(data, 2 * 2 * sizeof(float));
  EXPECT_THAT(visited.group_sizes, testing::ElementsAre(2, 1));
  EXPECT_EQ(data.reads, 1 + 2 * 3);
  EXPECT_EQ(visited.values, visit_all(data, 1000).values);
  EXPECT_THAT(visit_all(data, 1).group_sizes, testing::ElementsAre(1, 1, 1));
}

}  // namespace
}  // namespace mcompress
