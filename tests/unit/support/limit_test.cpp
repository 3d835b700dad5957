// SPDX-License-Identifier: Apache-2.0
#include "support/limit.h"

#include <gtest/gtest.h>

namespace mcompress {
namespace {

TEST(Limit, ReadsEveryUnit) {
  std::string problem;
  const struct {
    const char* quantity;
    const char* text;
    bool at_most;
    double value;
    Limit::Unit unit;
  } cases[] = {
      {"metric-drop", "<= 0.5 pt", true, 0.005, Limit::Unit::kPoints},
      {"metric-drop", "1pt", true, 0.01, Limit::Unit::kPoints},
      {"metric-drop", "<= -0.5 pt", true, -0.005, Limit::Unit::kPoints},
      {"metric-drop", "2 %", true, 0.02, Limit::Unit::kPercent},
      {"metric-drop", "<= 3 dB", true, 3, Limit::Unit::kDecibels},
      {"metric", ">= 30 dB", false, 30, Limit::Unit::kDecibels},
      {"metric", "0.97", false, 0.97, Limit::Unit::kNone},
      {"metric", "<= 0.02", true, 0.02, Limit::Unit::kNone},
      {"metric", ">= 97 %", false, 0.97, Limit::Unit::kPercent},
      {"size", "<=25%", true, 0.25, Limit::Unit::kPercent},
      {"size", "2 MB", true, 2e6, Limit::Unit::kBytes},
      {"size", "2 MiB", true, 2097152, Limit::Unit::kBytes},
      {"size", "4096 B", true, 4096, Limit::Unit::kBytes},
      {"latency", " <= 5 ms ", true, 5, Limit::Unit::kMilliseconds},
      {"latency", "0.5 s", true, 500, Limit::Unit::kMilliseconds},
      {"latency", "120 us", true, 0.12, Limit::Unit::kMilliseconds},
      {"latency", "60 %", true, 0.6, Limit::Unit::kPercent},
      {"memory", "1.5 GB", true, 1.5e9, Limit::Unit::kBytes},
  };
  for (const auto& c : cases) {
    const std::optional<Limit> limit = parse_limit(c.quantity, c.text, &problem);
    ASSERT_TRUE(limit) << c.quantity << " " << c.text << ": " << problem;
    EXPECT_EQ(limit->at_most, c.at_most) << c.text;
    EXPECT_NEAR(limit->value, c.value, 1e-12 * std::abs(c.value)) << c.text;
    EXPECT_EQ(limit->unit, c.unit) << c.text;
  }
}

TEST(Limit, SaysWhatAnUnreadableOneShouldBe) {
  const struct {
    const char* quantity;
    const char* text;
  } cases[] = {{"size", "small"},        {"size", "5"},
               {"size", "5 dB"},         {"size", "-5 %"},
               {"size", ">= 5 %"},       {"latency", "5 MB"},
               {"latency", ""},          {"latency", "5 ms 3"},
               {"metric-drop", "0.5"},   {"metric", "1e999"},
               {"metric", "nan"},        {"memory", "<= "},
               {"latency", "<= inf ms"}, {"metric-drop", "== 1 pt"},
               {"size", "< 5 %"}};
  for (const auto& c : cases) {
    std::string problem;
    EXPECT_FALSE(parse_limit(c.quantity, c.text, &problem)) << c.quantity << " " << c.text;
    EXPECT_NE(problem.find("for example"), std::string::npos) << problem;
  }
  std::string problem;
  EXPECT_FALSE(parse_limit("speed", "5 ms", &problem));
  EXPECT_EQ(problem, "'speed' is not a quantity that can be limited");
}

TEST(Limit, BytesAndMilliseconds) {
  EXPECT_EQ(parse_bytes("812"), 812);
  EXPECT_EQ(parse_bytes("1.5 kB"), 1500);
  EXPECT_FALSE(parse_bytes("5 ms"));
  EXPECT_EQ(parse_milliseconds("2 s"), 2000);
  EXPECT_FALSE(parse_milliseconds("2"));
}

}  // namespace
}  // namespace mcompress
