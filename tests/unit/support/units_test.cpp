// SPDX-License-Identifier: Apache-2.0
#include "support/units.h"

#include <gtest/gtest.h>

#include <limits>

namespace mcompress {
namespace {

const double kInfinity = std::numeric_limits<double>::infinity();

TEST(Units, bytes) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1000), "1.00 kB");
  EXPECT_EQ(format_bytes(99'994), "99.99 kB");
  EXPECT_EQ(format_bytes(99'996), "100.0 kB");
  EXPECT_EQ(format_bytes(999'940), "999.9 kB");
  EXPECT_EQ(format_bytes(999'960), "1.00 MB");
  EXPECT_EQ(format_bytes(10'820'331), "10.82 MB");
  EXPECT_EQ(format_bytes(1'200'000'000), "1.20 GB");
  EXPECT_EQ(format_bytes(std::numeric_limits<uint64_t>::max()), "18446744.1 TB");
}

TEST(Units, counts) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(1'234'567), "1,234,567");
  EXPECT_EQ(format_large_count(987), "987");
  EXPECT_EQ(format_large_count(12'345), "12.3 k");
  EXPECT_EQ(format_large_count(999'600), "1.00 M");
  EXPECT_EQ(format_large_count(4'560'000), "4.56 M");
}

TEST(Units, times) {
  EXPECT_EQ(format_milliseconds(0), "0.00 us");
  EXPECT_EQ(format_milliseconds(0.00002), "0.02 us");
  EXPECT_EQ(format_milliseconds(0.95), "950 us");
  EXPECT_EQ(format_milliseconds(1.618), "1.62 ms");
  EXPECT_EQ(format_milliseconds(41.32), "41.3 ms");
  EXPECT_EQ(format_milliseconds(2310), "2.31 s");
  EXPECT_EQ(format_milliseconds(-1.5), "-1.50 ms");
  EXPECT_EQ(format_seconds(0.04), "40 ms");
  EXPECT_EQ(format_seconds(0.9999), "1.0 s");
  EXPECT_EQ(format_seconds(59.97), "1 min 00 s");
  EXPECT_EQ(format_seconds(185), "3 min 05 s");
  EXPECT_EQ(format_seconds(7620), "2 h 07 min");
}

TEST(Units, fixed_and_signed_numbers_have_no_negative_zero) {
  EXPECT_EQ(format_fixed(-0.04, 1), "0.0");
  EXPECT_EQ(format_fixed(-0.06, 1), "-0.1");
  EXPECT_EQ(format_signed(0.04, 1), "0.0");
  EXPECT_EQ(format_signed(0.3, 1), "+0.3");
  EXPECT_EQ(format_signed(-0.3, 1), "-0.3");
}

TEST(Units, significant_digits) {
  EXPECT_EQ(format_significant(0), "0");
  EXPECT_EQ(format_significant(0.01234), "0.0123");
  EXPECT_EQ(format_significant(12.34), "12.3");
  EXPECT_EQ(format_significant(12345.0), "12345");
  EXPECT_EQ(format_significant(1.234e-7), "1.23e-07");
}

TEST(Units, what_is_not_finite_is_a_question_mark) {
  EXPECT_EQ(format_fixed(kInfinity, 1), "?");
  EXPECT_EQ(format_signed(kInfinity, 1), "?");
  EXPECT_EQ(format_significant(std::numeric_limits<double>::quiet_NaN()), "?");
  EXPECT_EQ(format_milliseconds(kInfinity), "?");
  EXPECT_EQ(format_seconds(kInfinity), "?");
  EXPECT_EQ(format_percent(kInfinity), "? %");
}

TEST(Units, a_difference_gets_the_digits_that_show_it) {
  EXPECT_EQ(digits_that_differ(86.5, 86.2, 1), 1);
  EXPECT_EQ(digits_that_differ(86.5, 86.46, 1), 2);
  EXPECT_EQ(digits_that_differ(86.5, 86.4999, 1), 4);
  EXPECT_EQ(digits_that_differ(1, 1, 2), 2);
  EXPECT_EQ(digits_that_differ(1, 1 + 1e-12, 2, 6), 6);
  EXPECT_EQ(format_ratio(0.286), "x 0.29");
  EXPECT_EQ(format_ratio(1), "x 1.00");
  EXPECT_EQ(format_ratio(1.004), "x 1.004");
  EXPECT_EQ(format_percent(0.865), "86.5 %");
}

}  // namespace
}  // namespace mcompress
