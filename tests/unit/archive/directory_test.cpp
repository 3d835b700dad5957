// SPDX-License-Identifier: Apache-2.0
#include "archive/directory.h"

#include <gtest/gtest.h>

#include "mcompress/error.h"

namespace mcompress::archive {
namespace {

/// Two files: a model of 100 bytes with a range of 60 in planes, its data of 60 as a copy.
Directory sound() {
  Directory directory;
  directory.members = {{"m.onnx", 100, {1, 2}}, {"d/m.data", 60, {3, 4}}};
  Part planes;
  planes.kind = PartKind::kPlanes;
  planes.element_bytes = 4;
  planes.row_length = 5;
  planes.ranges = {{0, 30, 60}};
  planes.streams.assign(4, {Coder::kRaw, 15, 7, 0});
  Part rest;
  rest.rest_length = 40;
  rest.streams = {{Coder::kZstd, 20, 8, 0}};
  Part copy;
  copy.kind = PartKind::kCopy;
  copy.ranges = {{1, 0, 60}};
  directory.parts = {planes, rest, copy};
  return directory;
}

constexpr uint64_t kEnd = kHeaderBytes + 80;

void expect_refused(const Directory& directory, const char* why) {
  EXPECT_THROW(read_directory(write_directory(directory), kEnd), Error) << why;
}

TEST(Directory, ReadsBack) {
  const std::string text = write_directory(sound());
  const Directory back = read_directory(text, kEnd);
  EXPECT_EQ(write_directory(back), text);
  EXPECT_EQ(back.parts[1].streams[0].offset, kHeaderBytes + 60);
}

TEST(Directory, EveryLieIsRefused) {
  Directory d = sound();
  d.members[0].size = 101;
  expect_refused(d, "a byte that nothing holds");
  d = sound();
  d.parts[0].ranges[0].offset = 41;
  expect_refused(d, "beyond the end");
  d = sound();
  d.parts[1].rest_length = uint64_t{1} << 40;
  expect_refused(d, "a huge piece");
  d = sound();
  d.parts[0].streams[0].length = 16;
  expect_refused(d, "a raw stream of another length");
  d = sound();
  d.parts[0].element_bytes = 0;
  d.parts[0].streams.clear();
  expect_refused(d, "no bytes to an element");
  d = sound();
  d.parts[2].source = 1;
  expect_refused(d, "a copy of the rest");
  d = sound();
  d.parts[2].ranges[0].length = 59;
  expect_refused(d, "a copy of another length");
  d = sound();
  d.parts[2].ranges[0] = {0, 20, 60};
  expect_refused(d, "overlapping ranges");
  d = sound();
  d.members[1].name = "../m.data";
  expect_refused(d, "a name that leads elsewhere");
  d = sound();
  d.members[1].name = "m.onnx";
  expect_refused(d, "two files of one name");
  EXPECT_THROW(read_directory(write_directory(sound()), kEnd - 1), Error);
  EXPECT_THROW(read_directory(write_directory(sound()), kEnd + 1), Error);
  const std::string text = write_directory(sound());
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_THROW(read_directory(text.substr(0, i), kEnd), Error) << i;
  }
}

TEST(Directory, SymbolsNeedAStreamOfTheirSize) {
  Directory d;
  d.members = {{"m", 1000, {0, 0}}};
  Part part;
  part.kind = PartKind::kSymbols;
  part.layout = {
      .form = SymbolForm::kGap, .digits = {1, 16, 2}, .codes = 4, .count = 5000, .width = 10};
  part.ranges = {{0, 0, 1000}};
  part.streams = {{Coder::kMixing, 80, 0, 0}};
  d.parts = {part};
  EXPECT_NO_THROW(read_directory(write_directory(d), kEnd));
  d.parts[0].layout.count = uint64_t{1} << 28;
  expect_refused(d, "more symbols than bits");
  d.parts[0].layout.count = 10;
  expect_refused(d, "more bytes than symbols");
}

TEST(Directory, Names) {
  for (const char* name : {"a", "a.onnx", "a/b", "..a", "a b"}) EXPECT_TRUE(is_safe_name(name));
  for (const char* name : {"", "/a", "a/", "a//b", "..", "a/../b", ".", "a\\b", "a\nb"}) {
    EXPECT_FALSE(is_safe_name(name)) << name;
  }
}

}  // namespace
}  // namespace mcompress::archive
