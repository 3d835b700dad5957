// SPDX-License-Identifier: Apache-2.0
#include "support/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace mcompress::support {
namespace {

constexpr size_t kCopyBlock = size_t{1} << 20;

std::string system_words() {
  std::string text = std::strerror(errno);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const auto folder = path.parent_path();
  return folder.empty() ? std::filesystem::path(".") : folder;
}

[[noreturn]] void already_exists(const std::filesystem::path& target) {
  throw Error(ErrorCode::kUsage, target.string() + ": exists already")
      .hint("choose another output with -o, or overwrite it with --force");
}

int open_for_reading(const std::filesystem::path& path, ErrorCode code, uint64_t& size) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw Error(code, path.string() + ": " + system_words());
  struct stat info = {};
  if (::fstat(descriptor, &info) != 0 || S_ISDIR(info.st_mode)) {
    const std::string words = S_ISDIR(info.st_mode) ? "is a folder, not a file" : system_words();
    ::close(descriptor);
    throw Error(code, path.string() + ": " + words);
  }
  size = static_cast<uint64_t>(info.st_size);
  return descriptor;
}

/// Before a file gets its name. Waiting for the disk takes several times as long as all else that a
/// large model needs. Without it a new name may stand for an incomplete file if the power fails
/// within half a minute; an older file that would be lost, too, is worth the wait. False: failed.
bool settle(int descriptor, const std::filesystem::path& target, uint64_t bytes) {
  constexpr uint64_t kWaitBelow = uint64_t{32} << 20;
  std::error_code error;
  const bool waits = bytes < kWaitBelow || std::filesystem::exists(target, error);
  return !waits || ::fsync(descriptor) == 0;
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path, ErrorCode code) : path_(path), code_(code) {
  uint64_t size = 0;
  descriptor_ = open_for_reading(path, code, size);
}

uint64_t InputFile::size() const {
  struct stat info = {};
  if (::fstat(descriptor_, &info) != 0) throw Error(code_, path_.string() + ": " + system_words());
  return static_cast<uint64_t>(info.st_size);
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(uint64_t offset, std::span<std::byte> into) const {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = ::pread(descriptor_, into.data() + done, into.size() - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(code_, path_.string() + ": " + system_words());
    if (got == 0) {
      throw Error(code_, path_.string() + ": ends at byte " + std::to_string(offset + done) +
                             ", needed up to byte " + std::to_string(offset + into.size()));
    }
    done += static_cast<size_t>(got);
  }
}

MappedFile::MappedFile(const std::filesystem::path& path, ErrorCode code) {
  uint64_t size = 0;
  const int descriptor = open_for_reading(path, code, size);
  size_ = size;
  if (size_ == 0) {
    ::close(descriptor);
    return;
  }
  void* const data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const std::string words = data == MAP_FAILED ? system_words() : "";
  ::close(descriptor);
  if (data == MAP_FAILED) throw Error(code, path.string() + ": " + words);
  data_ = static_cast<const char*>(data);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

AtomicFile::AtomicFile(const std::filesystem::path& target, bool overwrite)
    : target_(target), temporary_(TemporaryFile::beside(target)), overwrite_(overwrite) {
  require_writable(target, overwrite);
  descriptor_ = ::open(temporary_.path().c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("cannot create");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void AtomicFile::fail(const char* doing) const {
  throw Error(ErrorCode::kRuntime, target_.string() + ": " + doing + ": " + system_words())
      .hint("free some space, or choose another place");
}

void AtomicFile::write(std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("cannot write");
    done += static_cast<size_t>(put);
  }
  position_ += bytes.size();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void AtomicFile::copy(const InputFile& source, uint64_t offset, uint64_t length) {
  if (offset > source.size() || length > source.size() - offset) {
    throw Error(ErrorCode::kModel, source.path().string() + ": has " +
                                       std::to_string(source.size()) + " bytes, needed up to " +
                                       std::to_string(offset + length));
  }
  auto from = static_cast<off_t>(offset);
  uint64_t left = length;
  while (left > 0) {
    const ssize_t moved =
        ::copy_file_range(source.descriptor(), &from, descriptor_, nullptr, left, 0);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
      fail("cannot write");
    }
    if (moved <= 0) break;  // this file system cannot: through memory below
    left -= static_cast<uint64_t>(moved);
    position_ += static_cast<uint64_t>(moved);
  }
  std::vector<std::byte> block(std::min<uint64_t>(left, kCopyBlock));
  while (left > 0) {
    const std::span<std::byte> part(block.data(), std::min<uint64_t>(left, block.size()));
    source.read(offset + (length - left), part);
    write(part);
    left -= part.size();
  }
}

void AtomicFile::commit() {
  if (!settle(descriptor_, target_, position_)) fail("cannot write");
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0) fail("cannot write");
  if (!overwrite_) {
    // link fails where the name exists, so nobody who came meanwhile is overwritten.
    if (::link(temporary_.path().c_str(), target_.c_str()) == 0) return;
    if (errno == EEXIST) already_exists(target_);
  }
  if (::rename(temporary_.path().c_str(), target_.c_str()) != 0) fail("cannot rename");
  temporary_.release();
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text,
                           bool overwrite) {
  AtomicFile file(path, overwrite);
  file.write(text);
  file.commit();
}

std::string read_file(const std::filesystem::path& path, ErrorCode code) {
  const InputFile file(path, code);
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

void require_writable(const std::filesystem::path& target, bool overwrite) {
  const auto folder = folder_of(target);
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    throw Error(ErrorCode::kUsage,
                target.string() + ": the folder " + folder.string() + " does not exist")
        .hint("mkdir -p " + folder.string());
  }
  if (std::filesystem::is_directory(target, error)) {
    throw Error(ErrorCode::kUsage, target.string() + ": is a folder").hint("name a file with -o");
  }
  if (std::filesystem::exists(target, error) && !std::filesystem::is_regular_file(target, error)) {
    throw Error(ErrorCode::kUsage, target.string() + ": is a device or a pipe, not a file")
        .hint("name a file with -o");
  }
  if (::access(folder.c_str(), W_OK) != 0) {
    throw Error(ErrorCode::kUsage,
                target.string() + ": the folder " + folder.string() + " is not writable")
        .hint("choose another output with -o");
  }
  if (!overwrite && std::filesystem::exists(target, error)) already_exists(target);
}

}  // namespace mcompress::support
