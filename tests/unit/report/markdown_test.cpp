// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "report/markdown_parts.h"
#include "tests/unit/report/sample_reports.h"

namespace mcompress::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(MarkdownParts, text_cannot_become_markup) {
  EXPECT_EQ(reporting::escape("a|b*c_d[e]`f`<g>"), "a\\|b\\*c\\_d\\[e\\]\\`f\\`&lt;g&gt;");
  EXPECT_EQ(reporting::escape("@someone #12"), "&#64;someone &#35;12");
  EXPECT_EQ(reporting::escape("two\nlines"), "two lines");
}

TEST(MarkdownParts, code_survives_backticks_and_tables) {
  EXPECT_EQ(reporting::code("a|b"), "`a\\|b`");
  EXPECT_EQ(reporting::code("a`b"), "``a`b``");
  EXPECT_EQ(reporting::code("`a"), "`` `a ``");
  EXPECT_EQ(reporting::code(""), "");
}

TEST(MarkdownParts, a_fence_is_longer_than_any_in_the_text) {
  EXPECT_EQ(reporting::fenced("a", "yaml"), "```yaml\na\n```\n");
  EXPECT_EQ(reporting::fenced("```\n", ""), "````\n```\n````\n");
}

TEST(MarkdownReport, the_verdict_comes_first) {
  RunReport r = sample_run();
  EXPECT_THAT(render_markdown(r), StartsWith("❌ not met: `latency <= 60 %` measured 61.1 %"));
  r.failed = false;
  r.constraints.pop_back();
  EXPECT_THAT(render_markdown(r), StartsWith("⚠️ met: `size <= 30 %` measured 28.7 %"));
  for (auto& step : r.steps) {
    for (auto& gate : step.gates) gate.uncertain = false;
  }
  EXPECT_THAT(render_markdown(r), StartsWith("✅ met: "));
  EXPECT_THAT(render_markdown(bare_run()), StartsWith("✅ done, no limit was set"));
  r.interrupted = true;
  EXPECT_THAT(render_markdown(r), StartsWith("⚠️ interrupted"));
}

TEST(MarkdownReport, a_gate_that_rolled_back_does_not_stand_in_the_verdict_as_failed) {
  RunReport r = sample_run();
  const std::string text = render_markdown(r);
  EXPECT_THAT(text.substr(0, text.find('\n')), Not(HasSubstr("12.4 pt")));
  EXPECT_THAT(text, HasSubstr("12.4 pt | fails, rolled back"));
}

TEST(MarkdownReport, every_row_of_a_table_has_as_many_cells) {
  for (const std::string& text : {render_markdown(sample_run()), render_markdown(sample_inspect()),
                                  render_markdown(sample_compare())}) {
    std::istringstream stream(text);
    std::ptrdiff_t expected = 0;
    for (std::string line; std::getline(stream, line);) {
      if (!line.starts_with("|")) {
        expected = 0;
        continue;
      }
      std::ptrdiff_t bars = std::count(line.begin(), line.end(), '|');
      for (size_t at = line.find("\\|"); at != std::string::npos; at = line.find("\\|", at + 2)) {
        --bars;
      }
      if (expected == 0) expected = bars;
      EXPECT_EQ(bars, expected) << line;
    }
  }
}

TEST(MarkdownReport, every_epoch_is_listed) {
  const std::string text = render_markdown(trained_run());
  EXPECT_THAT(text, HasSubstr("| epoch | loss | validation loss | ctc-exact | learning rate |"));
  EXPECT_THAT(text, HasSubstr("| 8 (kept) | 0.125 | 0.1875 | 87.00 % | 0.001 | 3.5 s |"));
  EXPECT_THAT(text, HasSubstr("| 12 | 0.08333 |"));
  EXPECT_THAT(text, HasSubstr("ℹ️ 1: fine-tune: training went on after epoch 3"));
}

TEST(MarkdownReport, details_are_folded_and_closed) {
  const std::string text = render_markdown(sample_run());
  size_t open = 0, closed = 0;
  for (size_t at = text.find("<details>"); at != std::string::npos;
       at = text.find("<details>", at + 1))
    ++open;
  for (size_t at = text.find("</details>"); at != std::string::npos;
       at = text.find("</details>", at + 1))
    ++closed;
  EXPECT_EQ(open, closed);
  EXPECT_GE(open, 4U);
  EXPECT_THAT(text, HasSubstr("quantize-static: {granularity: channel}"));
}

TEST(MarkdownReport, a_thousand_layers_fit_into_a_comment) {
  RunReport r = sample_run();
  const LayerReport layer = r.layers[0];
  r.layers.assign(1000, layer);
  const std::string text = render_markdown(r);
  EXPECT_LT(text.size(), 65'536U);
  EXPECT_THAT(text, HasSubstr("800 more in the JSON report"));
}

}  // namespace
}  // namespace mcompress::testing
