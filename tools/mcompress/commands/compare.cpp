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
    const ModelFile file_a(a), file_b(b);
    LoadedModel first{file_a.path(), models.load(file_a.path())};
    LoadedModel second{file_b.path(), models.load(file_b.path())};
    CompareOptions options = compare_options(models, output);
    CompareReport report = compare_models(first, second, recipe, options);
    file_a.tell(report.input_a, report.hash_a, report.size_before);
    file_b.tell(report.input_b, report.hash_b, report.size_after);
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
        arguments.text("A", command->a, "ONNX model to compare with, or a packed one (.mcz)", "", true);
        arguments.text("B", command->b, "ONNX model that is compared, likewise", "", true);
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
