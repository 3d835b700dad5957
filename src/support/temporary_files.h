// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace mcompress::support {

/// A path that is removed when the object goes, and when the program is interrupted. Nothing is
/// created; the name is unique in this process.
class TemporaryFile {
 public:
  /// In the system's folder for temporary files.
  explicit TemporaryFile(std::string_view suffix);
  /// Beside `target`, so that a rename onto it is atomic; the name starts with a dot.
  static TemporaryFile beside(const std::filesystem::path& target);
  TemporaryFile(TemporaryFile&& other) noexcept;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile();

  const std::filesystem::path& path() const { return path_; }
  /// The file now belongs to someone else (it was renamed away).
  void release();

 private:
  struct AtPath {};
  TemporaryFile(AtPath, std::filesystem::path path);
  std::filesystem::path path_;
};

/// Removes every temporary file of the process; for the interrupt handler's thread.
void remove_temporary_files();

}  // namespace mcompress::support
