// SPDX-License-Identifier: Apache-2.0
#include "support/text_table.h"

#include <gtest/gtest.h>

#include "mcompress/error.h"

namespace mcompress {
namespace {

TEST(DisplayWidth, counts_columns_and_not_bytes) {
  EXPECT_EQ(display_width(""), 0U);
  EXPECT_EQ(display_width("conv"), 4U);
  EXPECT_EQ(display_width("größe"), 5U);
  EXPECT_EQ(display_width("模型"), 4U);
  EXPECT_EQ(display_width("e\xCC\x81"), 1U) << "a combining accent";
  EXPECT_EQ(display_width("\x1b[31mred\x1b[0m"), 3U);
}

TEST(DisplayWidth, survives_bytes_that_are_not_utf8) {
  EXPECT_EQ(display_width("\xFF\xFE"), 2U);
  EXPECT_EQ(display_width("a\xE6"), 2U) << "cut in the middle of a character";
}

TEST(ShortenMiddle, keeps_more_of_the_end) {
  EXPECT_EQ(shorten_middle("short", 10), "short");
  EXPECT_EQ(shorten_middle("/backbone/stage3/conv2d_81", 13), "/bac…onv2d_81");
  EXPECT_EQ(display_width(shorten_middle("模型模型模型模型", 6)), 5U);
  EXPECT_EQ(shorten_middle("abc", 1), "…");
  EXPECT_EQ(shorten_middle("abc", 0), "");
}

TEST(WrapText, breaks_at_spaces_only) {
  EXPECT_EQ(wrap_text("one two three", 7), "one two\nthree");
  EXPECT_EQ(wrap_text("one two three", 7, 2), "one two\n  three");
  EXPECT_EQ(wrap_text("unbreakable", 4), "unbreakable");
  EXPECT_EQ(wrap_text("first\nsecond", 40, 2), "first\n  second");
  EXPECT_EQ(wrap_text("  kept", 40), "  kept");
}

TEST(WrapText, never_breaks_at_a_hard_space) {
  EXPECT_EQ(wrap_text("a 41.3\x01ms", 6), "a\n41.3 ms");
}

TEST(TextTable, aligns_without_trailing_blanks) {
  TextTable table({{"name"}, {"size", Align::kRight}, {"note"}});
  table.add_row({{"größe"}, {"1"}, {"x"}});
  table.add_row({{"b"}, {"1234567"}});
  EXPECT_EQ(table.render(80, false),
            "name      size  note\n"
            "größe        1  x\n"
            "b      1234567\n");
}

TEST(TextTable, leaves_out_columns_without_content) {
  TextTable table({{"a"}, {"empty"}, {"b"}});
  table.add_row({{"1"}, {""}, {"2"}});
  EXPECT_EQ(table.render(80, false, 2), "  a  b\n  1  2\n");
}

TEST(TextTable, shrinks_only_the_columns_that_may) {
  TextTable table({{"layer", Align::kLeft, true, 8}, {"size", Align::kRight}});
  table.add_row({{"/backbone/stage3/conv2d_81"}, {"12.3 kB"}});
  EXPECT_EQ(table.render(20, false),
            "layer           size\n"
            "/ba…nv2d_81  12.3 kB\n");
  // Too narrow for the least widths: it overflows rather than lose figures.
  EXPECT_NE(table.render(10, false).find("12.3 kB"), std::string::npos);
}

TEST(TextTable, gives_up_columns_in_their_order) {
  TextTable table({{"a"}, {.title = "b", .give_up = 2}, {.title = "c", .give_up = 1}});
  table.add_row({{"1111"}, {"2222"}, {"3333"}});
  EXPECT_EQ(table.render(16, false), "a     b     c\n1111  2222  3333\n");
  EXPECT_EQ(table.render(15, false), "a     b\n1111  2222\n");
  EXPECT_EQ(table.render(9, false), "a\n1111\n");
  EXPECT_EQ(table.render(3, false), "a\n1111\n");
}

TEST(TextTable, colour_does_not_disturb_the_alignment) {
  TextTable table({{"a"}, {"b"}});
  table.add_row({{"x", "31"}, {"y"}});
  table.add_row({{"long"}, {"z"}});
  EXPECT_EQ(table.render(80, true),
            "\x1b[2ma\x1b[0m     \x1b[2mb\x1b[0m\n"
            "\x1b[31mx\x1b[0m     y\n"
            "long  z\n");
}

TEST(TextTable, empty_and_broken_ones) {
  TextTable table({{"a"}});
  EXPECT_EQ(table.render(80, false), "");
  EXPECT_THROW(table.add_row({{"1"}, {"2"}}), Error);
}

}  // namespace
}  // namespace mcompress
