// SPDX-License-Identifier: Apache-2.0
#include "tests/support/golden.h"

#include "tests/unit/report/sample_reports.h"

namespace mcompress::testing {
namespace {

template <class Report>
void compare_formats(const std::string& name, const Report& report) {
  expect_golden("report/" + name + ".txt", render_terminal(report));
  expect_golden("report/" + name + ".md", render_markdown(report));
  expect_golden("report/" + name + ".json", render_json(report));
}

TEST(ReportGolden, run) { compare_formats("run", sample_run()); }
TEST(ReportGolden, bare_run) { compare_formats("bare-run", bare_run()); }
TEST(ReportGolden, inspect) { compare_formats("inspect", sample_inspect()); }
TEST(ReportGolden, compare) { compare_formats("compare", sample_compare()); }
TEST(ReportGolden, evaluate) { compare_formats("evaluate", sample_evaluate()); }

TEST(ReportGolden, sensitivity) { compare_formats("sensitivity", sample_sensitivity()); }

TEST(ReportGolden, run_explained_on_a_narrow_terminal) {
  TerminalStyle style;
  style.explain = true;
  style.width = 72;
  expect_golden("report/run-explain.txt", render_terminal(sample_run(), style));
}

}  // namespace
}  // namespace mcompress::testing
