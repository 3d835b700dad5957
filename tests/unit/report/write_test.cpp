// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "mcompress/error.h"
#include "support/file.h"
#include "tests/unit/report/sample_reports.h"

namespace mcompress::testing {
namespace {

namespace fs = std::filesystem;

class WriteReport : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              ("write-report-" +
               std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  static std::string read(const fs::path& path) {
    return support::read_file(path, ErrorCode::kRuntime);
  }
  fs::path folder_;
};

TEST_F(WriteReport, chooses_the_format_by_extension) {
  write_report(sample_run(), folder_ / "r.json");
  write_report(sample_run(), folder_ / "r.md");
  write_report(sample_inspect(), folder_ / "i.json");
  write_report(sample_compare(), folder_ / "c.md");
  write_report(sample_evaluate(), folder_ / "e.json");
  EXPECT_EQ(read(folder_ / "r.json"), render_json(sample_run()));
  EXPECT_EQ(read(folder_ / "r.md"), render_markdown(sample_run()));
  EXPECT_EQ(read(folder_ / "i.json"), render_json(sample_inspect()));
  EXPECT_EQ(read(folder_ / "c.md"), render_markdown(sample_compare()));
  EXPECT_EQ(read(folder_ / "e.json"), render_json(sample_evaluate()));
}

TEST_F(WriteReport, replaces_an_older_report_and_leaves_nothing_beside_it) {
  write_report(sample_run(), folder_ / "r.json");
  write_report(bare_run(), folder_ / "r.json");
  EXPECT_EQ(read(folder_ / "r.json"), render_json(bare_run()));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(WriteReport, refuses_other_extensions) {
  EXPECT_EQ(check_report_path("a/b.json"), "");
  EXPECT_EQ(check_report_path("b.md"), "");
  EXPECT_EQ(check_report_path("b.txt"), "report b.txt: extension .txt is none of .json, .md");
  EXPECT_EQ(check_report_path("report"), "report report: extension (none) is none of .json, .md");
  try {
    write_report(sample_run(), folder_ / "r.txt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_FALSE(error.hint().empty());
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(WriteReport, a_folder_that_is_not_there_is_an_error) {
  EXPECT_THROW(write_report(sample_run(), folder_ / "missing" / "r.json"), Error);
}

}  // namespace
}  // namespace mcompress::testing
