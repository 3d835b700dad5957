// SPDX-License-Identifier: Apache-2.0
//
// Mutations of the corpus: of the bytes as they are, and of what checksums would catch, with the
// checksums made right again.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "archive/archive.h"
#include "support/hash.h"
#include "tests/support/noise.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace mcompress::archive {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

/// Small, near a power of two, or anything.
uint64_t odd_number(test::Noise& numbers) {
  switch (numbers.below(4)) {
    case 0:
      return numbers.below(20);
    case 1:
      return (uint64_t{1} << numbers.below(64)) - numbers.below(2);
    case 2:
      return numbers.below(100000);
    default:
      return numbers.below(uint64_t{1} << 31) << numbers.below(34);
  }
}

std::vector<Bytes> corpus() {
  std::set<fs::path> paths;
  for (const auto& entry :
       fs::directory_iterator(fs::path(MCOMPRESS_SOURCE_DIR) / "tests/fuzz/corpus/archive")) {
    paths.insert(entry.path());
  }
  std::vector<Bytes> files;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return files;
}

void run(const Bytes& bytes) { LLVMFuzzerTestOneInput(bytes.data(), bytes.size()); }

uint64_t number_at(const Bytes& bytes, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value |= uint64_t{bytes[at + i]} << (8 * i);
  return value;
}

/// An archive in its parts, to be put together again with right checksums.
struct Open {
  explicit Open(const Bytes& bytes) {
    const size_t end = bytes.size() - kTrailerBytes;
    const size_t at = number_at(bytes, end);
    streams.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    text.assign(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                bytes.begin() + static_cast<std::ptrdiff_t>(end));
    directory = read_directory(text, at);
  }

  void repair_streams() {
    for (Part& part : directory.parts) {
      for (Stream& stream : part.streams) {
        if (stream.offset > streams.size() || stream.length > streams.size() - stream.offset) {
          continue;
        }
        stream.checksum = stream_checksum(
            std::as_bytes(std::span(streams).subspan(stream.offset, stream.length)));
      }
    }
    text = write_directory(directory);
  }

  Bytes close() const {
    Bytes bytes = streams;
    bytes.insert(bytes.end(), text.begin(), text.end());
    const auto put = [&](uint64_t value) {
      for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
    };
    put(streams.size());
    put(support::hash128(text).low);
    put(bytes.size() + 12);
    bytes.insert(bytes.end(), kTrailerMagic.begin(), kTrailerMagic.end());
    return bytes;
  }

  Bytes streams;
  std::string text;
  Directory directory;
};

/// One number of a directory becomes another one.
void lie(Directory& directory, test::Noise& numbers) {
  Part& part = directory.parts[numbers.below(directory.parts.size())];
  std::vector<uint64_t*> fields{&part.rest_member,  &part.rest_length,  &part.element_bytes,
                                &part.row_length,   &part.source,       &part.layout.codes,
                                &part.layout.count, &part.layout.width, &part.layout.digits.radix};
  for (ByteRange& range : part.ranges) {
    fields.insert(fields.end(), {&range.member, &range.offset, &range.length});
  }
  for (Stream& stream : part.streams) fields.push_back(&stream.length);
  for (Member& member : directory.members) fields.push_back(&member.size);
  *fields[numbers.below(fields.size())] = odd_number(numbers);
  if (numbers.below(4) == 0) part.layout.digits.per_word = static_cast<uint32_t>(numbers.below(70));
  if (numbers.below(8) == 0) part.kind = static_cast<PartKind>(numbers.below(5));
  if (!part.streams.empty() && numbers.below(8) == 0) {
    part.streams[0].coder = static_cast<Coder>(numbers.below(5));
  }
}

TEST(ArchiveFuzz, TheCorpusIsSound) {
  ASSERT_FALSE(corpus().empty());
  for (const Bytes& bytes : corpus()) {
    const Archive archive(source_of(std::as_bytes(std::span(bytes))));
    for (size_t m = 0; m < archive.members().size(); ++m) {
      EXPECT_NO_THROW(archive.extract(m, [](std::span<const std::byte>) {}));
    }
    EXPECT_EQ(Open(bytes).close(), bytes);
  }
}

TEST(ArchiveFuzz, CutAndFlippedBytes) {
  test::Noise numbers(1);
  for (const Bytes& bytes : corpus()) {
    for (int i = 0; i < 1000; ++i) {
      Bytes mutated = bytes;
      for (uint64_t flips = 1 + numbers.below(4); flips > 0; --flips) {
        mutated[numbers.below(mutated.size())] = static_cast<uint8_t>(numbers.below(256));
      }
      if (numbers.below(4) == 0) mutated.resize(numbers.below(mutated.size()));
      run(mutated);
    }
  }
}

TEST(ArchiveFuzz, StreamsThatLieUnderRightChecksums) {
  test::Noise numbers(2);
  for (const Bytes& bytes : corpus()) {
    for (int i = 0; i < 300; ++i) {
      Open open(bytes);
      if (open.streams.size() == kHeaderBytes) continue;
      for (uint64_t flips = 1 + numbers.below(4); flips > 0; --flips) {
        open.streams[kHeaderBytes + numbers.below(open.streams.size() - kHeaderBytes)] =
            static_cast<uint8_t>(numbers.below(256));
      }
      open.repair_streams();
      run(open.close());
    }
  }
}

TEST(ArchiveFuzz, DirectoriesThatLieUnderRightChecksums) {
  test::Noise numbers(3);
  for (const Bytes& bytes : corpus()) {
    for (int i = 0; i < 1000; ++i) {
      Open open(bytes);
      if (numbers.below(3) == 0) {
        open.text[numbers.below(open.text.size())] = static_cast<char>(numbers.below(256));
      } else {
        for (uint64_t lies = 1 + numbers.below(3); lies > 0; --lies) lie(open.directory, numbers);
        open.repair_streams();
      }
      run(open.close());
    }
  }
}

}  // namespace
}  // namespace mcompress::archive
