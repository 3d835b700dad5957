// SPDX-License-Identifier: Apache-2.0
#include "pipeline/inspect.h"

#include "command.h"
#include "inputs.h"
#include "log.h"
#include "output.h"

namespace mcompress::tool {
namespace {

struct InspectCommand {
  std::string model;
  bool explain = false;
  ModelOptions models;
  ReportOptions reports;
  OutputOptions output;

  int run() const {
    output.apply();
    reports.check();
    models.thread_count();
    const ModelFile file(model);
    Model loaded = models.load(file.path());
    const auto runtime = models.open_runtime();
    InspectReport report = inspect_model(file.path(), loaded, *runtime);
    file.tell(report.input, report.hash, report.size);
    deliver(report, reports, output, explain);
    return 0;
  }
};

}  // namespace

void add_inspect(CLI::App& app, Action& chosen) {
  add_command(app, "inspect", "Show what is in a model: layers, bytes, precision, sparsity", chosen,
              [](Arguments& arguments) {
                const auto command = std::make_shared<InspectCommand>();
                arguments.text("MODEL", command->model, "ONNX model, or a packed one (.mcz)", "", true);
                arguments.flag("--explain", command->explain, "List every layer");
                command->models.declare(arguments);
                command->reports.declare(arguments);
                command->output.declare(arguments);
                return [command] { return command->run(); };
              });
}

}  // namespace mcompress::tool
