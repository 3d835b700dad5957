// SPDX-License-Identifier: Apache-2.0
#include "analysis/static_values.h"

#include <gtest/gtest.h>

#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

std::string entries_of(const char* text, const char* value, int64_t opset = 17) {
  Model model = parse_model(text, opset);
  const ValueTypes types = runtime()->infer_types(model);
  analysis::StaticValues values(types);
  const auto found = values.find(model.graph().find(value));
  if (!found) return "unknown";
  std::string result = found->is_scalar ? "scalar" : "";
  for (const auto& entry : found->entries) result += " " + (entry ? std::to_string(*entry) : "?");
  return result;
}

TEST(StaticValues, FollowsShapeArithmetic) {
  const char* const text = R"(
    g (float[N,4,6] x) => (int64[5] y)
    <int64 one = {1}, int64[2] some = {-1, 0}, int64[1] axes = {0}, int64[1] start = {1}, int64[1] end = {100}, int64 two = {2}> {
      s = Shape(x)
      a = Gather(s, one)
      b = Gather(s, some)
      c = Slice(s, start, end, axes)
      m = Mul(a, two)
      u = Unsqueeze(m, axes)
      q = Squeeze(u, axes)
      d = Cast <to = 6> (c)
      e = Cast <to = 7> (d)
      y = Concat <axis = 0> (b, u, e)
    })";
  EXPECT_EQ(entries_of(text, "s"), " ? 4 6");
  EXPECT_EQ(entries_of(text, "a"), "scalar 4");
  EXPECT_EQ(entries_of(text, "b"), " 6 ?");
  EXPECT_EQ(entries_of(text, "c"), " 4 6");
  EXPECT_EQ(entries_of(text, "q"), "scalar 8");
  EXPECT_EQ(entries_of(text, "y"), " 6 ? 8 4 6");
  EXPECT_EQ(entries_of(text, "x"), "unknown");
}

TEST(StaticValues, ReadsAttributesOfOldOpsets) {
  const char* const text = R"(
    g (float[N,4,6] x) => (int64[1] y) {
      s = Shape(x)
      c = Slice <starts = [1], ends = [2]> (s)
      q = Squeeze <axes = [0]> (c)
      y = Unsqueeze <axes = [0]> (q)
    })";
  EXPECT_EQ(entries_of(text, "y", 9), " 4");
}

TEST(StaticValues, ShapeWithStartAndEnd) {
  EXPECT_EQ(entries_of(
                "g (float[N,4,6] x) => (int64[1] y) { y = Shape <start = -2, end = -1> (x) }", "y"),
            " 4");
}

}  // namespace
}  // namespace mcompress::test
