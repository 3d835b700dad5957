// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace mcompress {

std::span<const std::pair<std::string_view, std::string_view>> embedded_for_test();

namespace {

TEST(EmbedFiles, KeepsEveryByteAndSortsByName) {
  const auto files = embedded_for_test();
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].first, "empty");
  EXPECT_EQ(files[0].second, "");
  EXPECT_EQ(files[1].first, "odd");
  std::ostringstream expected;
  expected << std::ifstream(MCOMPRESS_SOURCE_DIR "/tests/build_rules/embedding/odd.txt").rdbuf();
  EXPECT_EQ(files[1].second, expected.str());
}

}  // namespace
}  // namespace mcompress
