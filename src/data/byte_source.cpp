// SPDX-License-Identifier: Apache-2.0
#include "data/byte_source.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>

#include <fmt/format.h>

#include "mcompress/error.h"

namespace mcompress::data {
namespace {

constexpr size_t kInputChunk = size_t{64} << 10;
constexpr uint64_t kSmallestSpacing = uint64_t{1} << 20;
constexpr size_t kMostSnapshots = 128;

class FileRange final : public ByteSource {
 public:
  FileRange(std::shared_ptr<const support::InputFile> file, uint64_t offset, uint64_t size,
            std::string name)
      : file_(std::move(file)), offset_(offset), size_(size), name_(std::move(name)) {}

  void read(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > size_ || out.size() > size_ - offset) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: truncated: {} bytes wanted at {}, there are {}", name_,
                              out.size(), offset, size_));
    }
    file_->read(offset_ + offset, out);
  }
  const std::string& name() const override { return name_; }

 private:
  std::shared_ptr<const support::InputFile> file_;
  uint64_t offset_, size_;
  std::string name_;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(std::vector<std::byte> bytes, std::string name)
      : bytes_(std::move(bytes)), name_(std::move(name)) {}

  void read(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: truncated: {} bytes wanted at {}, there are {}", name_,
                              out.size(), offset, bytes_.size()));
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }
  const std::string& name() const override { return name_; }

 private:
  std::vector<std::byte> bytes_;
  std::string name_;
};

class CheckedSource final : public ByteSource {
 public:
  CheckedSource(std::shared_ptr<const ByteSource> source, uint64_t size, uint32_t crc)
      : source_(std::move(source)), size_(size), wanted_(crc) {}

  void read(uint64_t offset, std::span<std::byte> out) const override {
    source_->read(offset, out);
    const std::lock_guard lock(mutex_);
    if (offset != next_ || out.empty()) return;
    crc_ = crc32_z(crc_, reinterpret_cast<const Bytef*>(out.data()), out.size());
    next_ += out.size();
    if (next_ == size_ && crc_ != wanted_) {
      throw Error(
          ErrorCode::kData,
          fmt::format("{}: corrupt: CRC {:08x}, the directory says {:08x}", name(), crc_, wanted_));
    }
  }
  const std::string& name() const override { return source_->name(); }

 private:
  std::shared_ptr<const ByteSource> source_;
  uint64_t size_;
  uint32_t wanted_;
  mutable std::mutex mutex_;
  mutable uint64_t next_ = 0;
  mutable uLong crc_ = 0;
};

/// Owns a z_stream; copies are made by inflateCopy, which takes the window along.
class Inflater {
 public:
  explicit Inflater(Compression compression) {
    constexpr int kRawDeflate = -15;
    constexpr int kGzipHeader = 15 + 16;
    open_ = inflateInit2(&stream_, compression == Compression::kGzip ? kGzipHeader : kRawDeflate) ==
            Z_OK;
  }
  Inflater(const Inflater& other) { copy(other); }
  Inflater& operator=(const Inflater& other) {
    if (this == &other) return *this;
    close();
    copy(other);
    return *this;
  }
  ~Inflater() { close(); }

  bool ok() const { return open_; }
  z_stream& stream() { return stream_; }

 private:
  void copy(const Inflater& other) {
    // zlib does not change the source; its signature is older than const.
    open_ = other.open_ && inflateCopy(&stream_, const_cast<z_stream*>(&other.stream_)) == Z_OK;
  }
  void close() {
    if (open_) inflateEnd(&stream_);
    open_ = false;
  }
  z_stream stream_ = {};
  bool open_ = false;
};

class InflatedSource final : public ByteSource {
 public:
  InflatedSource(std::shared_ptr<const support::InputFile> file, uint64_t offset, uint64_t size,
                 Compression compression, uint64_t expected_size, std::string name)
      : file_(std::move(file)),
        offset_(offset),
        size_(size),
        compression_(compression),
        spacing_(std::max(kSmallestSpacing, expected_size / kMostSnapshots)),
        name_(std::move(name)),
        input_(kInputChunk),
        discard_(kInputChunk) {}

  void read(uint64_t offset, std::span<std::byte> out) const override {
    const std::lock_guard lock(mutex_);
    seek(offset);
    produce(out);
  }
  const std::string& name() const override { return name_; }

 private:
  struct State {
    Inflater inflater;
    uint64_t in = 0;   ///< compressed bytes consumed
    uint64_t out = 0;  ///< bytes produced
  };

  void seek(uint64_t offset) const {
    const State* best = nullptr;
    for (const State& snapshot : snapshots_) {
      if (snapshot.out <= offset) best = &snapshot;
    }
    const bool forward = state_ && state_->out <= offset;
    if (!forward || (best != nullptr && best->out > state_->out)) {
      if (best != nullptr) {
        state_ = *best;
      } else {
        state_.emplace(State{Inflater(compression_)});
      }
      check_open();
      drop_input();
    }
    while (state_->out < offset) {
      const uint64_t left = offset - state_->out;
      produce(std::span(discard_).first(
          static_cast<size_t>(std::min<uint64_t>(left, discard_.size()))));
    }
  }

  void produce(std::span<std::byte> out) const {
    while (!out.empty()) {
      // Pieces end on multiples of the spacing, so snapshots fall where nobody has to choose.
      const uint64_t to_mark = spacing_ - state_->out % spacing_;
      const size_t piece = static_cast<size_t>(std::min<uint64_t>(out.size(), to_mark));
      produce_piece(out.first(piece));
      out = out.subspan(piece);
      maybe_snapshot();
    }
  }

  void produce_piece(std::span<std::byte> out) const {
    z_stream& stream = state_->inflater.stream();
    while (!out.empty()) {
      if (stream.avail_in == 0) refill(stream);
      const uInt room = static_cast<uInt>(std::min<size_t>(out.size(), kInputChunk));
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = room;
      const uInt before = stream.avail_in;
      const int status = inflate(&stream, Z_NO_FLUSH);
      const size_t made = room - stream.avail_out;
      state_->in += before - stream.avail_in;
      state_->out += made;
      out = out.subspan(made);
      if (out.empty()) return;
      if (status == Z_STREAM_END) {
        next_member(stream);
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        fail(stream.msg != nullptr ? stream.msg : "corrupt");
      } else if (made == 0 && stream.avail_in == 0 && state_->in >= size_) {
        fail("truncated");
      }
    }
  }

  /// A .gz file may be several one after the other.
  void next_member(z_stream& stream) const {
    if (compression_ != Compression::kGzip || state_->in >= size_) fail("truncated");
    if (inflateReset(&stream) != Z_OK) fail("corrupt");
  }

  void refill(z_stream& stream) const {
    const uint64_t left = size_ - std::min(size_, state_->in);
    const size_t count = static_cast<size_t>(std::min<uint64_t>(left, input_.size()));
    if (count != 0) file_->read(offset_ + state_->in, std::span(input_).first(count));
    stream.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream.avail_in = static_cast<uInt>(count);
  }

  /// A restored inflater points into a buffer that has moved on: it reads its input anew.
  void drop_input() const {
    state_->inflater.stream().avail_in = 0;
    state_->inflater.stream().next_in = nullptr;
  }

  void maybe_snapshot() const {
    if (state_->out % spacing_ != 0 || snapshots_.size() >= kMostSnapshots) return;
    if (!snapshots_.empty() && snapshots_.back().out >= state_->out) return;
    snapshots_.push_back(*state_);
  }

  void check_open() const {
    if (!state_->inflater.ok()) {
      throw Error(ErrorCode::kRuntime, fmt::format("{}: no memory to inflate", name_));
    }
  }

  [[noreturn]] void fail(const char* why) const {
    const uint64_t at = state_->out;
    state_.reset();
    throw Error(ErrorCode::kData,
                fmt::format("{}: compressed data is {} after {} bytes", name_, why, at));
  }

  std::shared_ptr<const support::InputFile> file_;
  uint64_t offset_, size_;
  Compression compression_;
  uint64_t spacing_;
  std::string name_;

  mutable std::mutex mutex_;
  mutable std::optional<State> state_;
  mutable std::vector<State> snapshots_;  ///< by rising position
  mutable std::vector<std::byte> input_, discard_;
};

}  // namespace

std::shared_ptr<const ByteSource> file_range(std::shared_ptr<const support::InputFile> file,
                                             uint64_t offset, uint64_t size, std::string name) {
  return std::make_shared<FileRange>(std::move(file), offset, size, std::move(name));
}

std::shared_ptr<const ByteSource> inflated(std::shared_ptr<const support::InputFile> file,
                                           uint64_t offset, uint64_t size, Compression compression,
                                           uint64_t expected_size, std::string name) {
  return std::make_shared<InflatedSource>(std::move(file), offset, size, compression, expected_size,
                                          std::move(name));
}

std::shared_ptr<const ByteSource> checked(std::shared_ptr<const ByteSource> source, uint64_t size,
                                          uint32_t crc) {
  return std::make_shared<CheckedSource>(std::move(source), size, crc);
}

std::shared_ptr<const ByteSource> in_memory(std::vector<std::byte> bytes, std::string name) {
  return std::make_shared<MemorySource>(std::move(bytes), std::move(name));
}

std::string read_whole_file(const std::filesystem::path& path, uint64_t limit) {
  const support::InputFile file(path, ErrorCode::kData);
  if (file.size() > limit) {
    throw Error(ErrorCode::kData, fmt::format("{}: {} bytes, at most {} are read", path.string(),
                                              file.size(), limit));
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace mcompress::data
