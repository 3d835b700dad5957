// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace mcompress::runtime {

/// A folder that only we can read, removed with its contents. Throws kRuntime when it cannot be
/// made.
class PrivateFolder {
 public:
  PrivateFolder();
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  ~PrivateFolder();

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace mcompress::runtime
