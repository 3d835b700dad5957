// SPDX-License-Identifier: Apache-2.0
#include "ir/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mcompress::ir {
namespace {

TEST(Wire, TruncationNamesTheByte) {
  // Field 7 (graph) claims 100 bytes, two are there.
  const std::string bytes = {'\x3a', '\x64', '\x01', '\x02'};
  std::vector<std::pair<uint64_t, int>> typed;
  try {
    make_skeleton(bytes, "m", typed);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), ::testing::HasSubstr("truncated at byte 4"));
    EXPECT_THAT(error.message(), ::testing::HasSubstr("needs 100 bytes, 2 are there"));
  }
}

TEST(Wire, DeepNestingEndsWithAnErrorNotAStackOverflow) {
  // graph -> node -> attribute -> graph ... wrapped 400 times around a large payload.
  std::string message(70000, '\0');
  message = std::string("\x4a", 1) + std::string("\xf0\xa2\x04", 3) + message;  // raw_data
  const int fields[] = {
      5, 6, 5, 1};  // tensor in graph, graph in attribute, attribute in node, node in graph
  const auto wrap = [&](int field) {
    std::string head(1, static_cast<char>((field << 3) | 2));
    for (size_t size = message.size();;) {
      if (size < 0x80) {
        head.push_back(static_cast<char>(size));
        break;
      }
      head.push_back(static_cast<char>(size | 0x80));
      size >>= 7;
    }
    message = head + message;
  };
  wrap(fields[0]);
  for (int i = 0; i < 400; ++i) {
    wrap(6);
    wrap(5);
    wrap(1);
  }
  wrap(7);
  std::vector<std::pair<uint64_t, int>> typed;
  EXPECT_THROW(make_skeleton(message, "m", typed), Error);
}

TEST(Rope, JoinsTextAndKeepsCount) {
  Rope rope;
  rope.append("ab");
  rope.append("cd");
  Rope other;
  other.append("ef");
  rope.append(std::move(other));
  EXPECT_EQ(rope.size, 6u);
  EXPECT_EQ(rope.pieces.size(), 1u);
}

}  // namespace
}  // namespace mcompress::ir
