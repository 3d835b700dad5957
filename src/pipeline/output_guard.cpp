// SPDX-License-Identifier: Apache-2.0
#include "pipeline/output_guard.h"

#include <string>
#include <system_error>

#include "mcompress/error.h"

namespace mcompress {

void refuse_inputs_as_output(const std::filesystem::path& input,
                             const std::filesystem::path& output, const Recipe& recipe) {
  const auto refuse = [&](const std::filesystem::path& path, const std::string& what) {
    std::error_code error;
    if (!std::filesystem::equivalent(path, output, error)) return;
    throw Error(ErrorCode::kUsage, output.string() + ": is " + what)
        .hint("inputs are never touched: name another output with -o");
  };
  refuse(input, "the input model");
  for (const auto& [role, source] : recipe.data) {
    refuse(source.path, "the " + role + " data");
    for (const auto& [name, file] : source.files) refuse(file, "the " + role + " data");
  }
}

void prepare_kept_models(const std::filesystem::path& folder, bool overwrite) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw Error(ErrorCode::kUsage, folder.string() + ": cannot be made: " + error.message())
        .hint("name another folder with --keep-steps");
  }
  if (overwrite) return;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".onnx") continue;
    throw Error(ErrorCode::kUsage, entry.path().string() + ": exists already")
        .hint("--force overwrites it, or name another folder with --keep-steps");
  }
}

}  // namespace mcompress
