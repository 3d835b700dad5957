// SPDX-License-Identifier: Apache-2.0
// The module with libtorch, opened for recipes that train (rules.md 26).
#include <dlfcn.h>
#include <fmt/format.h>

#include <string_view>
#include <system_error>

#include "mcompress/trainer.h"

namespace mcompress {
namespace {

constexpr const char* kName = "libmcompress-train.so";
constexpr const char* kHint =
    "run tools/setup --training and build again: training needs libtorch (Debian: libtorch-dev)";

/// Beside the program's folder (installed, and in a build tree), or beside the program.
std::filesystem::path find_module() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const std::filesystem::path folder = program.parent_path();
  for (const auto& candidate : {folder.parent_path() / "lib" / kName, folder / kName}) {
    if (std::filesystem::exists(candidate, error)) return candidate;
  }
#ifdef MCOMPRESS_TRAIN_MODULE
  if (std::filesystem::exists(MCOMPRESS_TRAIN_MODULE, error)) return MCOMPRESS_TRAIN_MODULE;
#endif
  return {};
}

[[noreturn]] void fail(const std::string& message) {
  throw Error(ErrorCode::kRuntime, message).hint(kHint);
}

}  // namespace

std::shared_ptr<Trainer> open_trainer(const std::filesystem::path& library) {
  const std::filesystem::path path = library.empty() ? find_module() : library;
  if (path.empty()) fail(fmt::format("this mcompress has no trainer: {} was not found", kName));
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = dlerror();
    fail(fmt::format("the trainer cannot be opened: {}", reason == nullptr ? path.string() : reason));
  }
  using Version = const char* (*)();
  using Make = void (*)(std::shared_ptr<Trainer>*);
  const auto module_version = reinterpret_cast<Version>(dlsym(handle, "mcompress_trainer_version"));
  const auto make = reinterpret_cast<Make>(dlsym(handle, "mcompress_make_trainer"));
  if (module_version == nullptr || make == nullptr) {
    fail(fmt::format("{}: not a trainer of mcompress", path.string()));
  }
  if (std::string_view(module_version()) != MCOMPRESS_VERSION) {
    fail(fmt::format("{}: of mcompress {}, this is {}", path.string(), module_version(), MCOMPRESS_VERSION));
  }
  std::shared_ptr<Trainer> trainer;
  make(&trainer);
  return trainer;  // the module stays open: code of libtorch runs until the program's end
}

}  // namespace mcompress
