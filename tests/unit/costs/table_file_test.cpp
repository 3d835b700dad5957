// SPDX-License-Identifier: Apache-2.0
#include "costs/table_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "mcompress/error.h"

namespace mcompress::costs {
namespace {

using ::testing::HasSubstr;

class TableFile : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& name) const {
    return std::filesystem::path(::testing::TempDir()) / ("costs-" + name);
  }
  std::string complaint(const std::string& text) const {
    const auto path = file("bad.json");
    std::ofstream(path) << text;
    try {
      read_cost_table(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kRecipe);
      return error.what();
    }
    return "";
  }
};

TEST_F(TableFile, ReadsWhatWasWritten) {
  CostTable table;
  table.machine = {"A CPU", "avx2 f16c", "1.30.0", 1};
  table.set("Conv 8x8x1x1 rows 4: float", 12345.6);
  table.set("Add 3: float", 0.26);
  const auto path = file("folder") / "table.json";
  write_cost_table(table, path);
  const CostTable read = read_cost_table(path);
  EXPECT_EQ(read.machine, table.machine);
  EXPECT_EQ(read.name, path.string());
  EXPECT_THAT(read.hash, HasSubstr("xxh3-128:"));
  EXPECT_EQ(read.hash, table.hash);
  EXPECT_EQ(read.entries(), table.entries());
  EXPECT_EQ(read.find("Conv 8x8x1x1 rows 4: float"), 12346.0);
  EXPECT_EQ(read.find("Add 3: float"), 0.3);
  EXPECT_EQ(read.find("Add 4: float"), std::nullopt);
}

TEST_F(TableFile, SaysWhatIsWrong) {
  EXPECT_THAT(complaint("nonsense"), HasSubstr("is no cost table"));
  EXPECT_THAT(complaint("[]"), HasSubstr("is no cost table"));
  EXPECT_THAT(complaint(R"({"schema": "mcompress-costs", "schema_version": 9})"),
              HasSubstr("has version 9, expected 1"));
  const std::string head =
      R"({"schema": "mcompress-costs", "schema_version": 1, "cpu": "", "instruction_sets": "",
          "runtime": "1", "threads": 1, "nanoseconds": )";
  EXPECT_THAT(complaint(head + "3}"), HasSubstr("'nanoseconds' is no map of times"));
  EXPECT_THAT(complaint(head + R"({"Add 3: float": "fast"}})"),
              HasSubstr("'Add 3: float' is \"fast\", expected nanoseconds above 0"));
  EXPECT_THAT(complaint(head + R"({"Add 3: float": -1}})"), HasSubstr("is -1"));
}

TEST_F(TableFile, OneFileForEachMachine) {
  const auto of = [](const CostMachine& machine) { return table_path("tables", machine).string(); };
  const std::string one = of({"Intel(R) Xeon(R) CPU", "avx2", "1.30.0", 1});
  EXPECT_THAT(one, HasSubstr("tables/intel-r-xeon-r-cpu-"));
  EXPECT_NE(one, of({"Intel(R) Xeon(R) CPU", "avx2", "1.31.0", 1}));
  EXPECT_NE(one, of({"Intel(R) Xeon(R) CPU", "avx2 avx512f", "1.30.0", 1}));
  EXPECT_THAT(of({}), HasSubstr(".json"));
}

}  // namespace
}  // namespace mcompress::costs
