// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "command.h"
#include "compare_options.h"
#include "inputs.h"
#include "log.h"
#include "output.h"
#include "pipeline/compare.h"

namespace mcompress::tool {
namespace {

constexpr const char* kRole = "evaluation";

struct EvaluateCommand {
  std::string model, reference;
  ModelOptions models;
  RecipeOptions recipes;
  ReportOptions reports;
  OutputOptions output;

  int run() const {
    output.apply();
    reports.check();
    const Recipe recipe = recipe_of_command_line(recipes, kRole);
    LoadedModel loaded{model, models.load(model)};
    std::optional<LoadedModel> base;
    if (!reference.empty()) base.emplace(LoadedModel{reference, models.load(reference)});
    CompareOptions options = compare_options(models, output);
    const EvaluateReport report = evaluate_model(loaded, base ? &*base : nullptr, recipe, options);
    options.progress.reset();
    deliver(report, reports, output, false);
    return 0;
  }
};

}  // namespace

void add_evaluate(CLI::App& app, Action& chosen) {
  add_command(
      app, "evaluate", "Measure a metric and the latency of a model", chosen,
      [](Arguments& arguments) {
        const auto command = std::make_shared<EvaluateCommand>();
        arguments.text("MODEL", command->model, "ONNX model", "", true);
        command->recipes.declare_data(arguments, kRole);
        arguments.text(
            "--reference", command->reference,
            "Model that agreement, cosine and sqnr compare with; the model itself without it",
            "MODEL");
        command->models.declare(arguments);
        command->reports.declare(arguments);
        command->output.declare(arguments);
        arguments.footer("Example:\n  mcompress evaluate model.onnx --data eval.npz --metric top1");
        return [command] { return command->run(); };
      });
}

}  // namespace mcompress::tool
