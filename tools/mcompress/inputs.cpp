// SPDX-License-Identifier: Apache-2.0
#include "inputs.h"

#include <algorithm>
#include <filesystem>
#include <thread>

#include "archive/archive.h"
#include "mcompress/error.h"
#include "mcompress/report.h"
#include "support/file.h"
#include "support/gzip_size.h"
#include "support/hash.h"
#include "support/parallel_for.h"

namespace mcompress::tool {
namespace {

constexpr int kMostThreads = 1024;
const std::vector<std::string> kRoles{"calibration", "validation", "evaluation", "training"};

bool names_role(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return false;
  return std::find(kRoles.begin(), kRoles.end(), text.substr(0, equals)) != kRoles.end();
}

}  // namespace

ModelFile::ModelFile(const std::string& given) : given_(given), path_(given) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path_, ignored) || !archive::is_archive(path_)) return;
  folder_.emplace("");
  std::filesystem::create_directory(folder_->path());
  std::filesystem::permissions(folder_->path(), std::filesystem::perms::owner_all);
  const auto unpacked = folder_->path() / path_.filename().replace_extension(".onnx");
  archive::unpack(path_, unpacked, false);
  path_ = unpacked;
}

void ModelFile::tell(std::string& name, std::string& hash, SizeFigure& size) const {
  name = given_.string();
  if (!is_unpacked()) return;
  hash = support::hash_file(given_).labelled();
  size.file_bytes = std::filesystem::file_size(given_);
  if (size.gzip_bytes > 0) size.gzip_bytes = support::gzip_size(given_);
}

void ModelOptions::declare(Arguments& arguments) {
  arguments.group("Options");
  arguments.number("--threads", threads,
                   "Threads to work with; 0: one per core. Results do not depend on it", 0,
                   kMostThreads);
  arguments.flag("--freeze-inputs", freeze_inputs,
                 "Graph inputs that have a value in the file become constants");
  arguments.text("--ops-library", ops_library, "Shared library of custom operators", "FILE");
}

int ModelOptions::thread_count() const {
  const int count =
      threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  set_thread_count(count);
  return count;
}

std::shared_ptr<RuntimeService> ModelOptions::open_runtime() const {
  return make_onnx_runtime("", ops_library);
}

Model ModelOptions::load(const std::filesystem::path& path) const {
  Model model = Model::load(path);
  if (freeze_inputs) model.freeze_inputs();
  return model;
}

void RecipeOptions::declare_data(Arguments& arguments, const std::string& default_role) {
  arguments.group("Options");
  arguments.texts("--data", data,
                  default_role.empty()
                      ? "Data for calibration, validation, evaluation or training; the reader is "
                        "chosen by what is there"
                      : "Data, ROLE is " + default_role + "; the reader is chosen by what is there",
                  default_role.empty() ? "ROLE=PATH" : "[ROLE=]PATH");
  arguments.texts("--set", settings,
                  default_role.empty() ? "Set an option: STEP.OPTION=VALUE (STEP: pass or number), "
                                         "data.ROLE.KEY=VALUE or KEY=VALUE"
                                       : "Set an option of the data: data.ROLE.KEY=VALUE",
                  "NAME=VALUE");
  arguments.text("--metric", metric, "What to judge by; decided from the data without it",
                 "METRIC");
}

void RecipeOptions::declare_recipe(Arguments& arguments) {
  arguments.group("Options");
  arguments.text("--target", target, "Hardware: cpu, cpu-vnni, cpu-avx2, cpu-arm, gpu", "TARGET");
  arguments.text("--seed", seed, "Seed of everything random", "N");
  arguments.text("--effort", effort,
                 "Budget for recovery after quantization: quick, normal, thorough", "EFFORT");
  arguments.text("--costs", costs,
                 "Cost table that decisions about time read; that of this machine without it",
                 "FILE");
}

std::vector<std::string> RecipeOptions::overrides(const std::string& default_role) const {
  std::vector<std::string> result;
  for (const std::string& source : data) {
    const bool complete = default_role.empty() || names_role(source);
    result.push_back("--data " + (complete ? source : default_role + "=" + source));
  }
  result.insert(result.end(), settings.begin(), settings.end());
  if (!metric.empty()) result.push_back("--metric " + metric);
  if (!seed.empty()) result.push_back("--seed " + seed);
  if (!target.empty()) result.push_back("--target " + target);
  if (!effort.empty()) result.push_back("--effort " + effort);
  if (!costs.empty()) result.push_back("--costs " + costs);
  return result;
}

Recipe recipe_of_command_line(const RecipeOptions& options, const std::string& default_role) {
  // A recipe needs a step; this one never runs.
  return parse_recipe("steps: [eliminate-dead]", "command line", "", builtin_passes(),
                      options.overrides(default_role));
}

void ReportOptions::declare(Arguments& arguments) {
  arguments.group("Options");
  arguments.texts("--report", files, "Write the report, too: .json or .md by the name (repeatable)",
                  "FILE");
  arguments.flag("--json", json, "Print the report as JSON");
}

void ReportOptions::check() const {
  for (const std::string& file : files) {
    if (const std::string problem = check_report_path(file); !problem.empty()) {
      throw Error(ErrorCode::kUsage, problem);
    }
    support::require_writable(file, true);
  }
}

}  // namespace mcompress::tool
