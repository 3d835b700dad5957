// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "mcompress/error.h"
#include "support/file.h"
#include "tests/support/golden.h"
#include "tests/support/json_schema.h"
#include "tests/unit/report/sample_reports.h"

namespace mcompress::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const JsonSchema& schema() {
  static const JsonSchema kSchema(json::parse(report_json_schema()));
  return kSchema;
}

std::vector<std::string> problems(const std::string& text) {
  return schema().problems(json::parse(text));
}

// Every figure that may be out of its mind at once.
RunReport run_without_finite_figures() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  RunReport r = sample_run();
  r.metric_after->value = nan;
  r.metric_after->low = -infinity;
  r.metric_drop = nan;
  r.metric_drop_low = -infinity;
  r.metric_drop_high = infinity;
  r.latency_after->ratio = infinity;
  r.session_after->load_ms = nan;
  r.seconds = nan;
  r.steps[0].seconds = infinity;
  r.constraints[0].measured = nan;
  for (LayerReport& layer : r.layers) {
    layer.sqnr_db = infinity;
    layer.bits_after = nan;
    layer.sparsity = nan;
    layer.rank = nan;
    layer.microseconds_after = nan;
  }
  return r;
}

TEST(JsonReport, obeys_its_schema) {
  EXPECT_THAT(problems(render_json(sample_run())), IsEmpty());
  EXPECT_THAT(problems(render_json(bare_run())), IsEmpty());
  EXPECT_THAT(problems(render_json(trained_run())), IsEmpty());
  EXPECT_THAT(problems(render_json(sample_inspect())), IsEmpty());
  EXPECT_THAT(problems(render_json(InspectReport())), IsEmpty());
  EXPECT_THAT(problems(render_json(sample_compare())), IsEmpty());
  EXPECT_THAT(problems(render_json(CompareReport())), IsEmpty());
  EXPECT_THAT(problems(render_json(sample_evaluate())), IsEmpty());
  EXPECT_THAT(problems(render_json(EvaluateReport())), IsEmpty());
  EXPECT_THAT(problems(render_json(sample_sensitivity())), IsEmpty());
  EXPECT_THAT(problems(render_json(SensitivityReport())), IsEmpty());
}

TEST(JsonReport, every_golden_obeys_the_schema) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(golden_folder())) {
    if (entry.path().extension() != ".json") continue;
    const json value = json::parse(support::read_file(entry.path(), ErrorCode::kRuntime));
    if (value.value("schema", "") != "mcompress-report") continue;
    ++count;
    EXPECT_THAT(schema().problems(value), IsEmpty()) << entry.path();
  }
  EXPECT_GE(count, 5U);
}

TEST(JsonReport, the_schema_notices_what_is_missing_new_or_of_the_wrong_type) {
  const json good = json::parse(render_json(sample_run()));
  json missing = good;
  missing.at("steps")[0].erase("size");
  json added = good;
  added["layers"][0]["colour"] = "red";
  json wrong = good;
  wrong["size_after"]["file_bytes"] = "3 MB";
  json negative = good;
  negative["size_after"]["file_bytes"] = -1;
  json other_version = good;
  other_version["schema_version"] = kReportSchemaVersion + 1;
  json odd_action = good;
  odd_action["constraints"][0]["action"] = "shrugged";
  for (const json& bad : {missing, added, wrong, negative, other_version, odd_action}) {
    EXPECT_THAT(schema().problems(bad), Not(IsEmpty()));
  }
}

TEST(JsonReport, the_schema_is_the_file_in_the_repository) {
  const std::filesystem::path file =
      std::filesystem::path(MCOMPRESS_SOURCE_DIR) / "src/report/report.schema.json";
  EXPECT_EQ(report_json_schema(), support::read_file(file, ErrorCode::kRuntime));
  const json parsed = json::parse(report_json_schema());
  EXPECT_EQ(parsed["$defs"]["run"]["properties"]["schema_version"]["const"], kReportSchemaVersion);
}

TEST(JsonReport, epochs_have_both_losses) {
  const json step = json::parse(render_json(trained_run()))["steps"][0];
  EXPECT_EQ(step["epochs"][7]["loss"], 0.125);
  EXPECT_EQ(step["epochs"][7]["validation_loss"], 0.1875);
  EXPECT_TRUE(step["epochs"][11]["validation_loss"].is_null());
  EXPECT_EQ(step["notes"].size(), 1U);
}

TEST(JsonReport, numbers_are_finite_or_null) {
  const std::string text = render_json(run_without_finite_figures());
  EXPECT_THAT(problems(text), IsEmpty());
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  EXPECT_THAT(text, Not(HasSubstr("inf\"")));
  const json value = json::parse(text);
  EXPECT_TRUE(value["metric_drop"].is_null());
  EXPECT_TRUE(value["latency_after"]["ratio"].is_null());
  EXPECT_TRUE(value["layers"][0]["sqnr_db"].is_null());
}

TEST(JsonReport, figures_are_not_rounded) {
  RunReport r = sample_run();
  r.size_after.file_bytes = 9'007'199'254'740'993;  // not a double
  r.metric_after->value = 0.1 + 0.2;
  const json value = json::parse(render_json(r));
  EXPECT_EQ(value["size_after"]["file_bytes"].get<uint64_t>(), 9'007'199'254'740'993U);
  EXPECT_EQ(value["metric_after"]["value"].get<double>(), 0.1 + 0.2);
}

TEST(JsonReport, keys_are_always_there_and_in_one_order) {
  const auto keys = [](const std::string& text) {
    std::vector<std::string> names;
    const auto value = nlohmann::ordered_json::parse(text);
    for (const auto& item : value.items()) names.push_back(item.key());
    return names;
  };
  EXPECT_EQ(keys(render_json(sample_run())), keys(render_json(bare_run())));
  EXPECT_EQ(keys(render_json(sample_compare())), keys(render_json(CompareReport())));
  EXPECT_EQ(render_json(sample_run()), render_json(sample_run()));
}

TEST(JsonReport, names_that_are_not_utf8_do_not_break_it) {
  RunReport r = sample_run();
  r.layers[0].name = "conv\xFF\xC3";
  EXPECT_THAT(problems(render_json(r)), IsEmpty());
}

}  // namespace
}  // namespace mcompress::testing
