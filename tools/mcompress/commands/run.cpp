// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <map>

#include "archive/archive.h"
#include "command.h"
#include "inputs.h"
#include "log.h"
#include "mcompress/mcompress.h"
#include "output.h"
#include "support/file.h"
#include "support/gzip_size.h"
#include "support/hash.h"
#include "support/temporary_files.h"
#include "user_folders.h"

namespace mcompress::tool {
namespace {

const std::map<std::string, Validate> kValidate{{"auto", Validate::kAuto},
                                                {"none", Validate::kNone},
                                                {"layers", Validate::kLayers},
                                                {"full", Validate::kFull}};
const std::map<std::string, ExternalData> kExternalData{{"auto", ExternalData::kAuto},
                                                        {"always", ExternalData::kAlways},
                                                        {"never", ExternalData::kNever}};

struct RunCommand {
  std::string model, recipe, output_file, keep_steps;
  std::string validate = "auto", external_data = "auto";
  bool dry_run = false, explain = false, force = false, measure = false;
  ModelOptions models;
  RecipeOptions recipes;
  ReportOptions reports;
  OutputOptions output;

  void declare(Arguments& arguments);
  int run() const;

 private:
  std::filesystem::path output_path(const Recipe& used) const;
  /// Compresses into `written`; where that is an archive, into a model beside it that is packed.
  RunReport run_into(const std::filesystem::path& input, const std::filesystem::path& written,
                     const Recipe& used, const RunOptions& options) const;
  /// Throws kUsage where one file would be written over another of this run.
  void refuse_report_as_output(const std::filesystem::path& written) const;
};

void RunCommand::declare(Arguments& arguments) {
  arguments.text("MODEL", model, "ONNX model to compress, or a packed one (.mcz); never touched", "", true);
  arguments.text("-r,--recipe", recipe,
                 "Recipe file, or the name of a built-in recipe (mcompress recipe list)", "RECIPE",
                 true);
  arguments.text("-o,--output", output_file,
                 "Where to write; MODEL.RECIPE.onnx in the current folder without it. NAME.mcz is "
                 "packed (mcompress unpack)",
                 "OUTPUT");
  arguments.flag("--force", force, "Overwrite OUTPUT and kept steps");
  recipes.declare_data(arguments, "");
  recipes.declare_recipe(arguments);
  models.declare(arguments);
  arguments.flag("--dry-run", dry_run, "Show the plan with predicted sizes, compute nothing");
  arguments.flag("--explain", explain, "List every layer left alone, and why");
  arguments.text("--keep-steps", keep_steps, "Keep the model after each step in a folder", "DIR");
  arguments.flag("--measure", measure,
                 "Measure what the cost table lacks of this model, and keep it in the table");
  arguments.choice(
      "--validate", validate,
      "Last check of the output in fresh sessions; auto: full below 1 GiB, else layers",
      {"auto", "none", "layers", "full"});
  arguments.choice("--external-data", external_data,
                   "Weights above 64 KiB in a file of their own; auto: where the model is above 1.8 GiB",
                   {"auto", "always", "never"});
  reports.declare(arguments);
  output.declare(arguments);
  arguments.footer(
      "Examples:\n"
      "  mcompress run model.onnx -r lossless\n"
      "  mcompress run model.onnx -r int8 --data calibration=calib.npz -o small.onnx\n"
      "  mcompress run model.onnx -r sparse --set prune-magnitude.sparsity=0.7 --report report.md\n"
      "Exit codes: 0 done, 1 a gate or constraint failed, 2 usage, 3 recipe, 4 model, 5 data,\n"
      "6 runtime, 70 a fault of mcompress, 130 interrupted; in training the best\n"
      "so far is written.");
}

// The current folder and not the model's: that one may be a shared or read-only place.
std::filesystem::path RunCommand::output_path(const Recipe& used) const {
  if (output_file == "-") {
    throw Error(ErrorCode::kUsage, "-o -: a model is not written to standard output")
        .hint("name a file; --json prints the report there");
  }
  if (!output_file.empty()) return output_file;
  return std::filesystem::path(model).stem().string() + "." + used.name + ".onnx";
}

void RunCommand::refuse_report_as_output(const std::filesystem::path& written) const {
  const auto place = std::filesystem::absolute(written).lexically_normal();
  for (const std::string& file : reports.files) {
    for (const auto& [path, what] : {std::pair{place, "the output"},
                                     std::pair{std::filesystem::absolute(model), "the input model"},
                                     std::pair{std::filesystem::absolute(recipe), "the recipe"}}) {
      if (std::filesystem::absolute(file).lexically_normal() != path.lexically_normal()) continue;
      throw Error(ErrorCode::kUsage, file + ": is " + what).hint("name another file with --report");
    }
  }
  std::error_code error;
  if (std::filesystem::equivalent(written, recipe, error)) {
    throw Error(ErrorCode::kUsage, written.string() + ": is the recipe")
        .hint("inputs are never touched: name another output with -o");
  }
}

RunReport RunCommand::run_into(const std::filesystem::path& input,
                               const std::filesystem::path& written, const Recipe& used,
                               const RunOptions& options) const {
  if (written.extension() != ".mcz") {
    return compress(input, written, used, builtin_passes(), options);
  }
  support::require_writable(written, force);
  const support::TemporaryFile folder = support::TemporaryFile::beside(written);
  const auto plain = folder.path() / written.filename().replace_extension(".onnx");
  if (!dry_run) std::filesystem::create_directory(folder.path());
  RunReport report = compress(input, dry_run ? written : plain, used, builtin_passes(), options);
  report.output = written.string();
  if (dry_run) return report;
  report.size_after.file_bytes = archive::pack(plain, written, force).packed_bytes;
  report.size_after.gzip_bytes = support::gzip_size(written);
  report.output_hash = support::hash_file(written).labelled();
  return report;
}

int RunCommand::run() const {
  output.apply();
  reports.check();
  const Recipe used = find_recipe(recipe, builtin_passes(), recipes.overrides());
  const std::filesystem::path written = output_path(used);
  refuse_report_as_output(written);
  const ModelFile input(model);
  std::error_code error;
  if (input.is_unpacked() && std::filesystem::equivalent(written, model, error)) {
    throw Error(ErrorCode::kUsage, written.string() + ": is the input model")
        .hint("inputs are never touched: name another output with -o");
  }
  RunOptions options;
  options.threads = models.thread_count();
  options.dry_run = dry_run;
  if (!dry_run) options.runtime = models.open_runtime();
  options.progress = output.make_progress();
  options.freeze_inputs = models.freeze_inputs;
  options.validate = kValidate.at(validate);
  options.cost_folder = cost_folder();
  options.measure_costs = measure;
  if (!keep_steps.empty()) options.keep_steps = keep_steps;
  options.self_program = "/proc/self/exe";
  options.save.external_data = kExternalData.at(external_data);
  options.save.overwrite = force;
  RunReport report = run_into(input.path(), written, used, options);
  if (dry_run) {
    report.input = model;  // its sizes are of models as they are before they are packed
  } else {
    input.tell(report.input, report.input_hash, report.size_before);
  }
  options.progress.reset();
  deliver(report, reports, output, explain);
  if (report.interrupted) return static_cast<int>(ErrorCode::kInterrupted);
  return report.failed ? static_cast<int>(ErrorCode::kGate) : 0;
}

}  // namespace

void add_run(CLI::App& app, Action& chosen) {
  add_command(app, "run", "Compress a model by a recipe", chosen, [](Arguments& arguments) {
    const auto command = std::make_shared<RunCommand>();
    command->declare(arguments);
    return [command] { return command->run(); };
  });
}

}  // namespace mcompress::tool
