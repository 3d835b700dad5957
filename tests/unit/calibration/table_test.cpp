// SPDX-License-Identifier: Apache-2.0
#include "calibration/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "calibration/calibration.h"
#include "support/file.h"
#include "tests/support/memory_dataset.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress::calibration {
namespace {

using ::testing::HasSubstr;

Tensor values_of(float scale, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(600);
  for (float& v : values) v = scale * normal(engine);
  return Tensor::from<float>({1, 3, 200}, values);
}

Table table_of(uint32_t seed) {
  Table table;
  table.fingerprint = "0123";
  table.model = "model.onnx";
  table.steps = {"fold-batch-norm"};
  table.data = {"calib.npz \"quoted\""};
  for (const char* name : {"a", "b/Relu:0 \"x\""}) {
    ValueStatistics& statistics = table.values[name].statistics;
    statistics.channel_axis = name[0] == 'a' ? 1 : -1;
    statistics.add(values_of(2.5F, seed));
    statistics.add(values_of(0.5F, seed + 1));
  }
  choose_ranges(table, {}, {});
  return table;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::string complaint(const std::string& text) {
  try {
    read_table(text, "t.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kData);
    return error.message();
  }
  return "";
}

TEST(Table, ReadsBackAsItWasWritten) {
  const Table table = table_of(1);
  const std::string text = write_table(table);
  const Table again = read_table(text, "t.json");
  EXPECT_EQ(write_table(again), text);
  EXPECT_EQ(again.steps, table.steps);
  ASSERT_EQ(again.values.size(), 2U);
  for (const auto& [name, value] : table.values) {
    const TableValue& read = again.values.at(name);
    EXPECT_FALSE(read.edited);
    EXPECT_TRUE(read.statistics.histogram == value.statistics.histogram);
    EXPECT_EQ(read.statistics.samples, 2U);
  }
  const auto channels = again.values.at("a").statistics.channels.statistics();
  EXPECT_EQ(channels.max, table.values.at("a").statistics.channels.statistics().max);
}

TEST(Table, RangesCanBeChosenAnewByEveryMethod) {
  const Table table = table_of(1);
  Table read = read_table(write_table(table), "t.json");
  for (const RangeMethod method :
       {RangeMethod::kMinMax, RangeMethod::kMovingAverage, RangeMethod::kPercentile,
        RangeMethod::kEntropy, RangeMethod::kMse, RangeMethod::kAuto}) {
    Table fresh = table;
    const RangeOptions options{.method = method, .percentile = 99};
    choose_ranges(fresh, options, {});
    choose_ranges(read, options, {});
    EXPECT_EQ(write_table(read), write_table(fresh)) << method_name(method);
  }
}

TEST(Table, AnEditedRangeIsNoticedAndStays) {
  Table table = table_of(1);
  std::string text = write_table(table);
  const size_t at = text.find("\"range\": [") + 10;
  text.replace(at, text.find(']', at) - at, "-1, 1.5");
  Table read = read_table(text, "t.json");
  EXPECT_TRUE(read.values.at("a").edited);
  choose_ranges(read, {.method = RangeMethod::kMinMax}, {});
  EXPECT_EQ(read.values.at("a").range.high, 1.5F);
  text = write_table(read);
  EXPECT_THAT(text, HasSubstr("\"method\": \"edited\""));
  EXPECT_TRUE(read_table(text, "t.json").values.at("a").edited);
}

TEST(Table, MergesAsIfTheDataHadBeenOne) {
  Table table = table_of(1), other = table_of(7), all = table_of(1);
  for (auto& [name, value] : all.values) value.statistics.merge(other.values.at(name).statistics);
  other.values["only here"] = other.values.at("a");
  merge_table(table, other, "other.json");
  EXPECT_TRUE(table.values.at("a").statistics.histogram == all.values.at("a").statistics.histogram);
  EXPECT_EQ(table.values.at("a").statistics.samples, 4U);
  EXPECT_EQ(table.data.size(), 2U);
  EXPECT_TRUE(table.values.contains("only here"));
  other.values.at("a").edited = true;
  other.values.at("a").range = {-3, 3, RangeMethod::kMse};
  merge_table(table, other, "other.json");
  choose_ranges(table, {}, {});
  EXPECT_EQ(table.values.at("a").range.high, 3);
  other.fingerprint = "4567";
  EXPECT_THROW(merge_table(table, other, "other.json"), Error);
}

TEST(Table, SaysWhatIsWrongAndWhere) {
  const std::string text = write_table(table_of(1));
  EXPECT_THAT(complaint("[1, 2"), HasSubstr("t.json: not a calibration table: parse error"));
  EXPECT_THAT(complaint("{}"), HasSubstr("no \"format\""));
  EXPECT_THAT(complaint(replaced(text, "\"version\": 1", "\"version\": 9")),
              HasSubstr("version 9"));
  EXPECT_THAT(complaint(replaced(text, "\"method\": \"mse\",\n      \"chosen\"",
                                 "\"method\": \"best\",\n      \"chosen\"")),
              HasSubstr("unknown method 'best'"));
  EXPECT_THAT(complaint(replaced(text, "\"zeros\": 0", "\"zeros\": 5")), HasSubstr("value 'a'"));
  EXPECT_THAT(complaint(replaced(text, "\"positive\": \"", "\"positive\": \"x ")),
              HasSubstr("\"positive\": cannot be read"));
  EXPECT_THAT(complaint(replaced(text, "\"positive\": \"", "\"positive\": \"0*99999 ")),
              HasSubstr("\"positive\": cannot be read"));
  const size_t at = text.find("\"range\": [") + 10;
  const std::string range = text.substr(at, text.find(']', at) - at);
  EXPECT_THAT(complaint(replaced(text, range, "1, 2")), HasSubstr("is without 0"));
  EXPECT_THAT(complaint(replaced(text, range, "2, -2")), HasSubstr("is none"));
  EXPECT_THAT(complaint(replaced(text, range, "0, 0")), HasSubstr("leaves nothing of it"));
  EXPECT_THAT(complaint(replaced(text, range, "0")), HasSubstr("value 'a'"));
}

TEST(Table, AValueMayBeARangeOnly) {
  const Table table = read_table(R"({"format": "mcompress-calibration", "version": 1,
    "model": {"fingerprint": "01"}, "ranges": {"method": "mse"},
    "values": {"x": {"range": [-1, 2]}}})",
                                 "t.json");
  EXPECT_TRUE(table.values.at("x").edited);
  EXPECT_EQ(table.values.at("x").range.high, 2);
}

class TableService : public ::testing::Test {
 protected:
  TableService() {
    Table table;
    table.fingerprint = model_.fingerprint().hex();
    for (const char* name : {"a", "y"}) {
      table.values[name].statistics.channel_axis = 1;
      table.values[name].statistics.add(values_of(1, 1));
    }
    choose_ranges(table, {}, {});
    table.values.at("a").range = {-9, 9, RangeMethod::kMse};
    table.values.at("a").edited = true;
    support::write_file_atomically(file_, write_table(table));
  }

  Model model_ = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[1,2,2] x) => (float[1,2,2] y) { a = Add(x, x)
  y = Relu(a) })");
  std::filesystem::path file_ = std::filesystem::path(::testing::TempDir()) / "table.json";
};

TEST_F(TableService, AnswersWithoutData) {
  const auto service = open_calibration_table(file_, model_, nullptr);
  const ObservedValue values[] = {{"a", 1}, {"x", -1}};
  service->observe(model_, values);
  EXPECT_FALSE(service->has_data());
  EXPECT_EQ(service->range(model_, "a", {})->high, 9);
  EXPECT_TRUE(service->channels(model_, "y"));
  EXPECT_FALSE(service->range(model_, "x", {}));
  EXPECT_THROW(service->data(), Error);
  // Another grid than the table's: a range by the same method, an edited one around zero.
  const auto symmetric = service->range(model_, "y", {.symmetric = true});
  EXPECT_EQ(symmetric->low, -symmetric->high);
  // Another state of the model, in which the names may mean something else.
  model_.graph().set_op(model_.graph().find("a").producer(), "Mul");
  EXPECT_FALSE(service->range(model_, "a", {}));
}

TEST_F(TableService, WhatItDoesNotKnowComesFromData) {
  const auto data = std::make_shared<test::MemoryDataset>(
      std::vector<Feeds>{{{"x", Tensor::from<float>({1, 2, 2}, std::vector<float>{1, 2, 3, 4})}}});
  const auto service =
      open_calibration_table(file_, model_, make_calibration(make_onnx_runtime(), data, 1));
  const ObservedValue values[] = {{"a", 1}, {"x", -1}};
  service->observe(model_, values);
  EXPECT_TRUE(service->has_data());
  EXPECT_EQ(service->range(model_, "a", {})->high, 9);
  EXPECT_EQ(service->range(model_, "x", {.method = RangeMethod::kMinMax})->high, 4);
}

TEST_F(TableService, RefusesAnotherModel) {
  model_.graph().set_op(model_.graph().find("a").producer(), "Mul");
  try {
    open_calibration_table(file_, model_, nullptr);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kData);
    EXPECT_THAT(error.message(), HasSubstr("made for another model"));
    EXPECT_THAT(error.hint(), HasSubstr("mcompress calibrate"));
    EXPECT_THAT(error.hint(), HasSubstr("--table-alone"));
  }
}

}  // namespace
}  // namespace mcompress::calibration
