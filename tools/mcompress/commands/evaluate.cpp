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
    const ModelFile file(model);
    LoadedModel loaded{file.path(), models.load(file.path())};
    std::optional<ModelFile> base_file;
    std::optional<LoadedModel> base;
    if (!reference.empty()) {
      base_file.emplace(reference);
      base.emplace(LoadedModel{base_file->path(), models.load(base_file->path())});
    }
    CompareOptions options = compare_options(models, output);
    EvaluateReport report = evaluate_model(loaded, base ? &*base : nullptr, recipe, options);
    file.tell(report.input, report.hash, report.size);
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
        arguments.text("MODEL", command->model, "ONNX model, or a packed one (.mcz)", "", true);
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
