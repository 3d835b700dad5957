// SPDX-License-Identifier: Apache-2.0
#include "support/temporary_files.h"

#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>
#include <string>

namespace mcompress::support {
namespace {

struct Registry {
  std::mutex mutex;
  std::set<std::filesystem::path> paths;
};

Registry& registry() {
  static Registry* const instance = new Registry;  // outlives every TemporaryFile
  return *instance;
}

std::string unique_name() {
  static std::atomic<unsigned> counter{0};
  return "mcompress-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
}

void remove_quietly(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

}  // namespace

TemporaryFile::TemporaryFile(std::string_view suffix)
    : TemporaryFile(AtPath{}, std::filesystem::canonical(std::filesystem::temp_directory_path()) /
                                  (unique_name() + std::string(suffix))) {}

TemporaryFile TemporaryFile::beside(const std::filesystem::path& target) {
  return {AtPath{},
          target.parent_path() / ("." + target.filename().string() + "." + unique_name())};
}

TemporaryFile::TemporaryFile(AtPath, std::filesystem::path path) : path_(std::move(path)) {
  const std::lock_guard lock(registry().mutex);
  registry().paths.insert(path_);
}

TemporaryFile::TemporaryFile(TemporaryFile&& other) noexcept : path_(std::move(other.path_)) {
  other.path_.clear();
}

TemporaryFile::~TemporaryFile() {
  if (path_.empty()) return;
  remove_quietly(path_);
  release();
}

void TemporaryFile::release() {
  const std::lock_guard lock(registry().mutex);
  registry().paths.erase(path_);
  path_.clear();
}

void remove_temporary_files() {
  const std::lock_guard lock(registry().mutex);
  for (const auto& path : registry().paths) remove_quietly(path);
  registry().paths.clear();
}

}  // namespace mcompress::support
