// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace mcompress::testing {

/// Folder of the expected texts; they are part of the repository.
inline std::filesystem::path golden_folder() {
  return std::filesystem::path(MCOMPRESS_SOURCE_DIR) / "tests" / "golden";
}

/// True when the test program was started with --update-golden (target `update-golden`).
inline bool updating_goldens() {
  static const bool updating = [] {
    // gmock's main keeps the arguments to itself; the kernel does not.
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    const std::string line{std::istreambuf_iterator<char>(file), {}};
    return line.find(std::string("\0--update-golden", 16)) != std::string::npos;
  }();
  return updating;
}

namespace golden_detail {
inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The first line in which two texts differ, for the message of a failing test.
inline std::string first_difference(const std::string& expected, const std::string& actual) {
  std::istringstream a(expected), b(actual);
  std::string left, right;
  for (int line = 1;; ++line) {
    const bool more_left = static_cast<bool>(std::getline(a, left));
    const bool more_right = static_cast<bool>(std::getline(b, right));
    if (!more_left && !more_right) return "only the end of the last line differs";
    if (more_left != more_right || left != right) {
      return "line " + std::to_string(line) + "\n  expected: " + (more_left ? left : "(end)") +
             "\n  actual:   " + (more_right ? right : "(end)");
    }
  }
}
}  // namespace golden_detail

/// Expects `text` to equal tests/golden/NAME byte for byte; rewrites the file instead when the
/// program was started with --update-golden. Name a suite that calls it *Golden* and declare its
/// program with mcompress_golden_test(<name>_test), so that the target `update-golden` runs it.
inline void expect_golden(const std::string& name, const std::string& text) {
  const std::filesystem::path path = golden_folder() / name;
  if (updating_goldens()) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  ASSERT_TRUE(std::filesystem::exists(path))
      << "tests/golden/" << name << " is missing; build the target update-golden";
  const std::string expected = golden_detail::read_text(path);
  if (expected == text) return;
  ADD_FAILURE() << "tests/golden/" << name << " differs from the text of today: "
                << golden_detail::first_difference(expected, text)
                << "\nbuild the target update-golden and look at the diff";
}

}  // namespace mcompress::testing
