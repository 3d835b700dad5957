// SPDX-License-Identifier: Apache-2.0
#include "pipeline/compare.h"

#include "command.h"
#include "compare_options.h"
#include "inputs.h"
#include "log.h"
#include "output.h"

namespace mcompress::tool {
namespace {

constexpr const char* kRole = "evaluation";

struct CompareCommand {
  std::string a, b;
  bool explain = false;
  ModelOptions models;
  RecipeOptions recipes;
  ReportOptions reports;
  OutputOptions output;

  int run() const {
    output.apply();
    reports.check();
    const Recipe recipe = recipe_of_command_line(recipes, kRole);
    LoadedModel first{a, models.load(a)};
    LoadedModel second{b, models.load(b)};
    CompareOptions options = compare_options(models, output);
    const CompareReport report = compare_models(first, second, recipe, options);
    options.progress.reset();
    deliver(report, reports, output, explain);
    return 0;
  }
};

}  // namespace

void add_compare(CLI::App& app, Action& chosen) {
  add_command(
      app, "compare", "Set two models side by side: size, latency, metric, layers", chosen,
      [](Arguments& arguments) {
        const auto command = std::make_shared<CompareCommand>();
        arguments.text("A", command->a, "ONNX model to compare with", "", true);
        arguments.text("B", command->b, "ONNX model that is compared", "", true);
        command->recipes.declare_data(arguments, kRole);
        arguments.flag("--explain", command->explain, "List every layer");
        command->models.declare(arguments);
        command->reports.declare(arguments);
        command->output.declare(arguments);
        arguments.footer("Example:\n  mcompress compare model.onnx small.onnx --data eval.npz");
        return [command] { return command->run(); };
      });
}

}  // namespace mcompress::tool
