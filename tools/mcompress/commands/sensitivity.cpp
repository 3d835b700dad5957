// SPDX-License-Identifier: Apache-2.0
#include "pipeline/sensitivity.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "command.h"
#include "inputs.h"
#include "log.h"
#include "output.h"
#include "support/file.h"
#include "user_folders.h"

namespace mcompress::tool {
namespace {

constexpr int kMostSamples = 1000000;

struct SensitivityCommand {
  std::string model, recipe, plan, options, tolerance = "0.01", by = "layer";
  int samples = 64;
  bool force = false;
  ModelOptions models;
  RecipeOptions recipes;
  ReportOptions reports;
  OutputOptions output;

  void declare(Arguments& arguments);
  int run() const;

 private:
  double tolerance_value() const;
  std::vector<std::string> choices() const;
};

void SensitivityCommand::declare(Arguments& arguments) {
  arguments.text("MODEL", model, "ONNX model, or a packed one (.mcz)", "", true);
  arguments.text("-r,--recipe", recipe, "Recipe whose lossy steps are tried on one layer at a time",
                 "RECIPE", true);
  arguments.text("-o,--output", plan,
                 "Write a plan: one line a layer, for people to edit and recipes to take "
                 "(plan: FILE)",
                 "PLAN");
  arguments.flag("--force", force, "Overwrite PLAN");
  arguments.text("--options", options,
                 "What to try in place of the recipe's steps: int8, int8-dynamic, int8-weights, "
                 "int4, int3, int2, ternary, binary, or passes; with commas",
                 "NAMES");
  arguments.choice("--by", by,
                   "What is changed at a time; a block is what names share up to the "
                   "last / or .",
                   {"layer", "block"});
  arguments.number("--samples", samples, "Samples to measure damage and metric on", 1,
                   kMostSamples);
  arguments.text("--tolerance", tolerance,
                 "Damage that the layers of the plan may add up to: divergence in nats, or noise "
                 "over signal",
                 "X");
  recipes.declare_data(arguments, "calibration");
  recipes.declare_recipe(arguments);
  models.declare(arguments);
  reports.declare(arguments);
  output.declare(arguments);
  arguments.footer(
      "Example:\n"
      "  mcompress sensitivity model.onnx -r int8 --data calib.npz -o plan.yaml");
}

double SensitivityCommand::tolerance_value() const {
  char* end = nullptr;
  const double value = std::strtod(tolerance.c_str(), &end);
  if (!tolerance.empty() && *end == '\0' && std::isfinite(value) && value >= 0) return value;
  throw Error(ErrorCode::kUsage, "--tolerance: '" + tolerance + "' is no number of 0 or more");
}

std::vector<std::string> SensitivityCommand::choices() const {
  std::vector<std::string> names;
  for (size_t from = 0; !options.empty() && from <= options.size();) {
    const size_t comma = std::min(options.find(',', from), options.size());
    if (comma > from) names.push_back(options.substr(from, comma - from));
    from = comma + 1;
  }
  return names;
}

int SensitivityCommand::run() const {
  output.apply();
  reports.check();
  if (!plan.empty()) support::require_writable(plan, force);
  SensitivityOptions use;
  use.tolerance = tolerance_value();
  use.choices = choices();
  const Recipe used = find_recipe(recipe, builtin_passes(), recipes.overrides("calibration"));
  use.samples = static_cast<size_t>(samples);
  use.by_block = by == "block";
  use.threads = models.thread_count();
  const ModelFile input(model);
  LoadedModel loaded{input.path(), models.load(input.path())};
  use.runtime = models.open_runtime();
  use.progress = output.make_progress();
  use.cost_folder = cost_folder();
  SensitivityReport report = find_sensitivity(loaded, used, builtin_passes(), use);
  report.input = model;
  use.progress.reset();
  if (!plan.empty()) {
    support::write_file_atomically(plan, plan_text(report));
    report.plan = plan;
  }
  deliver(report, reports, output, false);
  return 0;
}

}  // namespace

void add_sensitivity(CLI::App& app, Action& chosen) {
  add_command(app, "sensitivity", "Find out which layer hurts, for which change", chosen,
              [](Arguments& arguments) {
                const auto command = std::make_shared<SensitivityCommand>();
                command->declare(arguments);
                return [command] { return command->run(); };
              });
}

}  // namespace mcompress::tool
