// SPDX-License-Identifier: Apache-2.0
#include "mcompress/calibrate.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <iostream>

#include "command.h"
#include "inputs.h"
#include "log.h"
#include "support/file.h"
#include "support/text_table.h"

namespace mcompress::tool {
namespace {

constexpr const char* kRole = "calibration";
constexpr size_t kRowsShown = 10;
constexpr int kMostMegabytes = 1 << 20;

const std::vector<std::pair<std::string, RangeMethod>> kMethods{
    {"mse", RangeMethod::kMse},
    {"min-max", RangeMethod::kMinMax},
    {"moving-average", RangeMethod::kMovingAverage},
    {"percentile", RangeMethod::kPercentile},
    {"entropy", RangeMethod::kEntropy},
    {"auto", RangeMethod::kAuto}};

struct CalibrateCommand {
  std::string model, recipe, output_file;
  std::string method = "mse", percentile = "99.99";
  std::vector<std::string> merge;
  int bits = 8, memory = 32;
  bool symmetric = false, all = false, alone = false, force = false, json = false;
  ModelOptions models;
  RecipeOptions recipes;
  OutputOptions output;

  void declare(Arguments& arguments);
  int run() const;

 private:
  CalibrateOptions options() const;
  void show(const CalibrateResult& result) const;
};

void CalibrateCommand::declare(Arguments& arguments) {
  arguments.text("MODEL", model, "ONNX model, or a packed one (.mcz); never touched", "", true);
  arguments.text("-o,--output", output_file, "Table to write", "TABLE", true);
  arguments.flag("--force", force, "Overwrite TABLE");
  arguments.text(
      "-r,--recipe", recipe,
      "Run the steps before the first one that takes a table first: the table is for that state",
      "RECIPE");
  arguments.flag("--table-alone", alone,
                 "The table is for runs without data: the steps before get none either; else they "
                 "get it, and a run with the table needs the same data where they use it");
  recipes.declare_data(arguments, kRole);
  arguments.choice("--method", method,
                   "How ranges are chosen; auto: per value, the least error at the output of the "
                   "layer that reads it",
                   {"mse", "min-max", "moving-average", "percentile", "entropy", "auto"});
  arguments.text("--percentile", percentile,
                 "Part of all values within a range, for method percentile", "PERCENT");
  arguments.number("--bits", bits, "Width of the integers that the ranges are for", 2, 16);
  arguments.flag("--symmetric", symmetric, "Ranges around 0");
  arguments.texts("--merge", merge,
                  "Add the statistics of a table of the same model (repeatable); without data the "
                  "tables are all. A range edited by hand stays, the last table's wins",
                  "TABLE");
  arguments.flag("--all", all,
                 "Every floating value, not only those that integer kernels read and write");
  arguments.number("--memory", memory,
                   "MB that the values read in one run may take; less makes more runs", 1,
                   kMostMegabytes);
  recipes.declare_recipe(arguments);
  models.declare(arguments);
  arguments.flag("--json", json, "Print the table instead of a summary");
  output.declare(arguments);
  arguments.footer(
      "Examples:\n"
      "  mcompress calibrate model.onnx -r int8 --table-alone --data calib.npz -o table.json\n"
      "  mcompress run model.onnx -r int8 --set quantize-static.table=table.json\n"
      "  mcompress calibrate model.onnx -r int8 --merge a.json --merge b.json -o both.json\n"
      "Exit codes: 0 done, 2 usage, 3 recipe, 4 model, 5 data or table, 6 runtime.");
}

CalibrateOptions CalibrateCommand::options() const {
  CalibrateOptions result;
  result.threads = models.thread_count();
  result.freeze_inputs = models.freeze_inputs;
  result.all_values = all;
  result.table_alone = alone;
  result.budget_bytes = static_cast<size_t>(memory) << 20;
  for (const auto& [name, value] : kMethods) {
    if (name == method) result.ranges.method = value;
  }
  double& percent = result.ranges.percentile;
  const char* const end = percentile.data() + percentile.size();
  const auto parsed = std::from_chars(percentile.data(), end, percent);
  if (parsed.ec != std::errc() || parsed.ptr != end || !(percent >= 50 && percent <= 100)) {
    throw Error(ErrorCode::kUsage, "--percentile: '" + percentile + "' is not within 50..100");
  }
  result.ranges.bits = bits;
  result.ranges.symmetric = symmetric;
  for (const std::string& file : merge) result.merge.emplace_back(file);
  return result;
}

void CalibrateCommand::show(const CalibrateResult& result) const {
  std::cout << fmt::format("{}: {} values, {} samples, method {}\n", output_file,
                           result.values.size(), result.samples, method);
  if (!result.steps.empty()) {
    std::cout << "steps before:";
    for (const auto& step : result.steps) std::cout << " " << step.substr(0, step.find(':'));
    std::cout << "\n";
  }
  const auto cut = [](const CalibratedValue& value) {
    const double seen = double{value.max} - value.min;
    return seen > 0 ? 1 - (double{value.high} - value.low) / seen : 0.0;
  };
  auto values = result.values;
  std::stable_sort(values.begin(), values.end(),
                   [&](const auto& a, const auto& b) { return cut(a) > cut(b); });
  if (values.size() > kRowsShown) values.resize(kRowsShown);
  TextTable table({{.title = "value"},
                   {.title = "range", .align = Align::kRight},
                   {.title = "seen", .align = Align::kRight},
                   {.title = "method"}});
  for (const auto& value : values) {
    table.add_row({{value.name},
                   {fmt::format("{:.4g} .. {:.4g}", value.low, value.high)},
                   {fmt::format("{:.4g} .. {:.4g}", value.min, value.max)},
                   {value.method}});
  }
  std::cout << "\nthe values whose range leaves most out\n"
            << table.render(static_cast<size_t>(terminal_width()), output.color_on_stdout());
}

int CalibrateCommand::run() const {
  output.apply();
  CalibrateOptions how = options();
  support::require_writable(output_file, force);
  Recipe used;
  if (recipe.empty()) {
    used = recipe_of_command_line(recipes, kRole);
    used.steps.clear();
  } else {
    used = find_recipe(recipe, builtin_passes(), recipes.overrides(kRole));
  }
  how.runtime = models.open_runtime();
  how.progress = output.make_progress();
  const ModelFile input(model);
  const CalibrateResult result = calibrate(input.path(), used, how);
  how.progress.reset();
  support::write_file_atomically(output_file, result.table, force);
  for (const auto& warning : result.warnings) spdlog::warn("{}", warning);
  if (json) {
    std::cout << result.table;
  } else {
    show(result);
  }
  return 0;
}

}  // namespace

void add_calibrate(CLI::App& app, Action& chosen) {
  add_command(app, "calibrate", "Make and merge tables of activation ranges", chosen,
              [](Arguments& arguments) {
                const auto command = std::make_shared<CalibrateCommand>();
                command->declare(arguments);
                return [command] { return command->run(); };
              });
}

}  // namespace mcompress::tool
