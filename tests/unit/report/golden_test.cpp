// SPDX-License-Identifier: Apache-2.0
#include "tests/support/golden.h"

#include "tests/unit/report/sample_reports.h"

namespace mcompress::testing {
namespace {

template <class Report>
void compare_all(const std::string& name, const Report& report, int width) {
  TerminalStyle style;
  style.width = width;
  compare_golden("report/" + name + ".txt", render_terminal(report, style));
  style.explain = true;
  style.width = 80;
  compare_golden("report/" + name + "-explain.txt", render_terminal(report, style));
  compare_golden("report/" + name + ".md", render_markdown(report));
  compare_golden("report/" + name + ".json", render_json(report));
}

TEST(ReportGolden, run) { compare_all("run", sample_run(), 110); }
TEST(ReportGolden, bare_run) { compare_all("bare-run", bare_run(), 110); }
TEST(ReportGolden, inspect) { compare_all("inspect", sample_inspect(), 110); }
TEST(ReportGolden, compare) { compare_all("compare", sample_compare(), 110); }
TEST(ReportGolden, evaluate) { compare_all("evaluate", sample_evaluate(), 110); }

}  // namespace
}  // namespace mcompress::testing
