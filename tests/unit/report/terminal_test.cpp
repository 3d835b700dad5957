// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <regex>
#include <sstream>

#include "support/text_table.h"
#include "tests/unit/report/sample_reports.h"

namespace mcompress::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string without_colour(const std::string& text) {
  return std::regex_replace(text, std::regex("\x1b\\[[0-9;]*m"), "");
}

RunReport run_with_metric(double before, double after, double drop) {
  RunReport r = bare_run();
  r.metric_before = MetricFigure{"top1", before, before - 0.01, before + 0.01, 500, true, true};
  r.metric_after = MetricFigure{"top1", after, after - 0.01, after + 0.01, 500, true, true};
  r.metric_drop = drop;
  return r;
}

TEST(TerminalReport, no_line_ends_in_a_blank_at_any_width) {
  for (const int width : {0, 40, 60, 80, 100, 140, 300}) {
    TerminalStyle style;
    style.width = width;
    style.explain = true;
    for (const std::string& text :
         {render_terminal(sample_run(), style), render_terminal(sample_inspect(), style),
          render_terminal(sample_compare(), style), render_terminal(sample_evaluate(), style)}) {
      for (const std::string& line : lines_of(text)) {
        EXPECT_FALSE(line.ends_with(' ')) << width << ": " << line;
      }
      EXPECT_THAT(text, Not(HasSubstr("\n\n\n")));
      EXPECT_TRUE(text.ends_with('\n'));
    }
  }
}

TEST(TerminalReport, keeps_to_the_width) {
  for (const int width : {80, 90, 100, 110, 140}) {
    TerminalStyle style;
    style.width = width;
    for (const std::string& text :
         {render_terminal(sample_run(), style), render_terminal(sample_inspect(), style),
          render_terminal(sample_compare(), style), render_terminal(sample_evaluate(), style)}) {
      for (const std::string& line : lines_of(text)) {
        EXPECT_LE(display_width(line), static_cast<size_t>(width)) << line;
      }
    }
  }
}

TEST(TerminalReport, colour_changes_nothing_but_colour) {
  TerminalStyle style;
  const std::string plain = render_terminal(sample_run(), style);
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  style.color = true;
  const std::string coloured = render_terminal(sample_run(), style);
  EXPECT_NE(coloured, plain);
  EXPECT_EQ(without_colour(coloured), plain);
}

TEST(TerminalReport, small_losses_are_never_rounded_away) {
  EXPECT_THAT(render_terminal(run_with_metric(0.865, 0.8646, 0.0004)),
              HasSubstr("top1 86.50 % -> 86.46 % (-0.04 pt)"));
  EXPECT_THAT(render_terminal(run_with_metric(0.865, 0.864999, 0.000001)),
              HasSubstr("top1 86.5000 % -> 86.4999 % (-0.0001 pt)"));
  EXPECT_THAT(render_terminal(run_with_metric(0.865, 0.865, 0)),
              HasSubstr("top1 86.5 % -> 86.5 % (0.0 pt)"));
  EXPECT_THAT(render_terminal(run_with_metric(0.865, 0.866, -0.001)), HasSubstr("(+0.1 pt)"));
}

TEST(TerminalReport, a_file_that_grew_says_so) {
  RunReport r = bare_run();
  r.size_before.file_bytes = 10'820'331;
  r.size_after.file_bytes = 10'820'347;
  EXPECT_THAT(render_terminal(r), HasSubstr("10,820,331 B -> 10,820,347 B (+16 B)"));
}

TEST(TerminalReport, metrics_where_less_is_better_rise_when_they_get_worse) {
  RunReport r = bare_run();
  r.metric_before = MetricFigure{"mse", 0.02, 0.019, 0.021, 100, false, false};
  r.metric_after = MetricFigure{"mse", 0.021, 0.02, 0.022, 100, false, false};
  r.metric_drop = 0.05;
  r.metric_drop_low = 0.025;
  r.metric_drop_high = 0.075;
  EXPECT_THAT(render_terminal(r), HasSubstr("mse 0.0200 -> 0.0210 (+5.0 %)"));
  EXPECT_THAT(render_terminal(r), HasSubstr("95 % interval +2.5 to +7.5 %"));
  EXPECT_THAT(render_terminal(r), HasSubstr("worse"));
}

TEST(TerminalReport, decibels_change_by_decibels_though_their_drop_is_one_of_errors) {
  RunReport r = bare_run();
  r.metric_before = MetricFigure{"sqnr", 200, 200, 200, 100, true, false};
  r.metric_after = MetricFigure{"sqnr", 20, 19, 21, 100, true, false};
  r.metric_drop = 0.1 - 1e-10;
  r.metric_drop_low = 0.08 - 1e-10;
  r.metric_drop_high = 0.125 - 1e-10;
  EXPECT_THAT(render_terminal(r), HasSubstr("sqnr 200 dB -> 20.0 dB (-180.0 dB)"));
  EXPECT_THAT(render_terminal(r), HasSubstr("95 % interval -181.9 to -178.1 dB"));
  r.metric_before = MetricFigure{"sqnr", 20, 19, 21, 100, true, false};
  r.metric_after = MetricFigure{"sqnr", 200, 200, 200, 100, true, false};
  r.metric_drop = 1e-10 - 0.1;
  r.metric_drop_low = -0.125;
  r.metric_drop_high = -0.09;
  EXPECT_THAT(render_terminal(r), HasSubstr("sqnr 20.0 dB -> 200 dB (+180.0 dB)"));
  EXPECT_THAT(render_terminal(r), HasSubstr("better"));
}

TEST(TerminalReport, a_change_from_0_has_the_unit_of_the_value) {
  RunReport r = bare_run();
  r.metric_before = MetricFigure{"mse", 0, 0, 0, 100, false, false};
  r.metric_after = MetricFigure{"mse", 0.02, 0.01, 0.03, 100, false, false};
  r.metric_drop = 0.5;  // of the power of the outputs
  r.metric_drop_low = 0.25;
  r.metric_drop_high = 0.75;
  EXPECT_THAT(render_terminal(r), HasSubstr("(+0.0200)"));
  EXPECT_THAT(render_terminal(r), HasSubstr("95 % interval +0.0100 to +0.0300,"));
}

TEST(TerminalReport, says_whether_the_interval_tells_the_models_apart) {
  RunReport r = run_with_metric(0.9, 0.89, 0.01);
  r.metric_drop_low = -0.002;
  r.metric_drop_high = 0.022;
  EXPECT_THAT(render_terminal(r),
              HasSubstr("-2.2 to +0.2 pt, 500 paired samples: no difference seen"));
  r.metric_drop_low = 0.002;
  EXPECT_THAT(render_terminal(r), HasSubstr("-2.2 to -0.2 pt, 500 paired samples: worse"));
  r.metric_drop_low = -0.03;
  r.metric_drop_high = -0.01;
  EXPECT_THAT(render_terminal(r), HasSubstr("better"));
}

TEST(TerminalReport, two_sessions_of_one_model_are_not_told_apart) {
  RunReport r = sample_run();
  const auto verdict = [&r](double median_ms, double low, double high) {
    r.latency_before->median_ms = median_ms;
    r.latency_after->ratio_low = low;
    r.latency_after->ratio_high = high;
    const std::string text = render_terminal(r);
    const size_t at = text.find("interleaved pairs: ") + std::string("interleaved pairs: ").size();
    return text.substr(at, text.find('\n', at) - at);
  };
  EXPECT_EQ(verdict(40, 0.97, 0.975), "faster");
  EXPECT_EQ(verdict(40, 1.025, 1.03), "slower");
  EXPECT_EQ(verdict(40, 0.985, 0.99), "no difference seen");
  // A run of microseconds differs by where its memory lies.
  EXPECT_EQ(verdict(0.02, 1.07, 1.09), "no difference seen");
  EXPECT_EQ(verdict(0.02, 0.70, 0.72), "faster");
}

TEST(TerminalReport, totals_are_of_the_evaluation_data_where_there_is_some) {
  RunReport r = sample_run();
  EXPECT_THAT(render_terminal(r), HasSubstr("the totals on the evaluation data"));
  r.data.erase("evaluation");
  EXPECT_THAT(render_terminal(r), HasSubstr("no evaluation data: the totals are of the data that"));
}

TEST(TerminalReport, worst_layers_are_changed_ones_lowest_first) {
  RunReport r = sample_run();
  TerminalStyle style;
  style.worst_layers = 2;
  const std::string text = render_terminal(r, style);
  EXPECT_THAT(text, HasSubstr("worst 2 of 6 changed layers"));
  EXPECT_LT(text.find("17.5 dB"), text.find("21.2 dB"));
  EXPECT_THAT(text, Not(HasSubstr("29.8 dB")));
  // A layer that was left alone ranks nowhere, however its output looks.
  r.layers[1].sqnr_db = -3;
  EXPECT_THAT(render_terminal(r, style), Not(HasSubstr("-3.0 dB")));
}

TEST(TerminalReport, explain_lists_every_layer_left_alone) {
  const RunReport r = sample_run();
  EXPECT_THAT(render_terminal(r), HasSubstr("2 x int8 is slower here: … ms against … ms"));
  TerminalStyle style;
  style.explain = true;
  const std::string text = render_terminal(r, style);
  for (const StepReport& step : r.steps) {
    for (const SkipRecord& skip : step.skips) EXPECT_THAT(text, HasSubstr(skip.reason));
  }
}

TEST(TerminalReport, many_reasons_are_cut_and_counted) {
  RunReport r = bare_run();
  StepReport step;
  step.name = "factorize-weights";
  for (char reason = 'a'; reason < 'i'; ++reason) {
    step.skips.push_back({"layer", "out", std::string("reason ") + reason});
  }
  r.steps.push_back(step);
  const std::string text = render_terminal(r);
  EXPECT_THAT(text, HasSubstr("left alone: 8 (--explain lists them)"));
  EXPECT_THAT(text, HasSubstr("4 x for 4 other reasons"));
}

TEST(TerminalReport, failure_is_said_with_limit_and_measure) {
  const std::string text = render_terminal(sample_run());
  EXPECT_THAT(text, HasSubstr("a limit was not met (exit code 1)"));
  EXPECT_THAT(text, ::testing::ContainsRegex("latency <= 60 % +the whole run +61.1 % +fails"));
}

TEST(TerminalReport, epochs_are_listed_the_kept_one_among_them) {
  const std::string text = render_terminal(trained_run());
  EXPECT_THAT(text, HasSubstr("training of 1: fine-tune: 12 epochs (--explain lists them)"));
  EXPECT_THAT(text, ::testing::ContainsRegex("epoch +loss +validation loss +ctc-exact"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\n  1 +1 +1.5 +80.00 %"));
  EXPECT_THAT(text, ::testing::ContainsRegex("8 \\(kept\\) +0.125 +0.1875 +87.00 % +0.001 +3.5 s"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\n  12 +0.08333 +0.001"));
  EXPECT_THAT(text, Not(HasSubstr("\n  2 ")));
  EXPECT_THAT(text, HasSubstr("training went on after epoch 3, step 120 of 480"));
  const std::string all = render_terminal(trained_run(), {.explain = true});
  EXPECT_THAT(all, HasSubstr("\n  2 "));
  EXPECT_THAT(all, Not(HasSubstr("--explain")));
}

TEST(TerminalReport, an_interrupt_is_the_exit_code_that_counts) {
  RunReport r = sample_run();
  r.interrupted = true;
  const std::string text = render_terminal(r);
  EXPECT_THAT(text, HasSubstr("exit code 130"));
  EXPECT_THAT(text, Not(HasSubstr("exit code 1)")));
}

TEST(TerminalReport, a_plan_says_that_it_is_one) {
  RunReport r = bare_run();
  r.dry_run = true;
  r.size_before.file_bytes = 4'000'000;
  r.size_after.file_bytes = 1'000'000;
  StepReport step;
  step.name = "encode-weights";
  step.size.file_bytes = 1'000'000;
  step.size_is_bound = true;
  r.steps.push_back(step);
  const std::string text = render_terminal(r);
  EXPECT_THAT(text, HasSubstr("plan only: nothing was computed or written"));
  EXPECT_THAT(text, HasSubstr("4.00 MB -> <= 1.00 MB"));
  EXPECT_THAT(text, Not(HasSubstr("no change")));
  r.steps[0].size_is_bound = false;
  EXPECT_THAT(render_terminal(r), HasSubstr("4.00 MB -> about 1.00 MB"));
  EXPECT_THAT(text, Not(HasSubstr("accuracy was not measured")));
}

TEST(TerminalReport, figures_that_are_not_finite_do_not_spoil_it) {
  RunReport r = sample_run();
  r.metric_drop = std::numeric_limits<double>::quiet_NaN();
  r.layers[0].sqnr_db = std::numeric_limits<double>::quiet_NaN();
  r.latency_after->ratio = std::numeric_limits<double>::infinity();
  const std::string text = render_terminal(r);
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  EXPECT_THAT(text, Not(HasSubstr("inf")));
}

TEST(TerminalReport, a_step_without_data_is_left_out) {
  RunReport r = sample_run();
  r.steps[2].gates = {{"metric-drop <= 0.5 pt", std::numeric_limits<double>::quiet_NaN(),
                       "no data to judge by", false, false, "left out"}};
  const std::string text = render_terminal(r);
  EXPECT_THAT(text, ::testing::ContainsRegex("prune-magnitude .*left out: no data to judge by"));
  EXPECT_THAT(text, ::testing::ContainsRegex("no data to judge by +left out"));
  EXPECT_THAT(text, Not(HasSubstr("fails, rolled back")));
  const std::string markdown = render_markdown(r);
  EXPECT_THAT(markdown, HasSubstr("left out: no data to judge by"));
  EXPECT_THAT(markdown, Not(HasSubstr("`metric-drop <= 0.5 pt` measured no data")));
}

TEST(TerminalReport, a_rolled_back_step_is_marked) {
  EXPECT_THAT(render_terminal(sample_run()),
              ::testing::ContainsRegex("3: prune-magnitude .*fails, rolled back"));
}

}  // namespace
}  // namespace mcompress::testing
