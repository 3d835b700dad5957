// SPDX-License-Identifier: Apache-2.0
#include "ir/contents.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "ir_test_support.h"

namespace mcompress::test {
namespace {

std::vector<float> counting(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0F);
  return values;
}

/// Two constants of 800 kB, which are spilled, and a small one.
Model large_model() {
  Model model = model_from_text(R"(
    <ir_version: 8, opset_import: ["": 17]>
    g (float[2] x) => (float[2] y) <float[2] a = {1.0, 2.0}> { y = Add(x, a) })");
  model.graph().add_constant("large", Tensor::from(Shape{200000}, counting(200000)));
  auto other = counting(200000);
  other[100000] = 0;
  model.graph().add_constant("alike", Tensor::from(Shape{200000}, other));
  return model;
}

TEST(Contents, ClonesAreTheSameUntilOneIsEdited) {
  const Model model = large_model();
  Model other = model.clone();
  EXPECT_EQ(ir::place_key(model), ir::place_key(other));
  EXPECT_TRUE(ir::same_contents(model, other));
  other.set_metadata("key", "value");
  EXPECT_NE(ir::place_key(model), ir::place_key(other));
  EXPECT_FALSE(ir::same_contents(model, other));
}

TEST(Contents, PayloadsAreComparedWhereOnlyTheirPlacesDiffer) {
  const Model model = large_model();
  Model other = model.clone();
  auto values = counting(200000);
  values[5] = -1;
  other.graph().set_constant(other.graph().find("large"), Tensor::from(Shape{200000}, values));
  EXPECT_FALSE(ir::same_contents(model, other));
  other.graph().set_constant(other.graph().find("large"),
                             Tensor::from(Shape{200000}, counting(200000)));
  EXPECT_TRUE(ir::same_contents(model, other));
  // The same values in another file: the places differ, the contents do not.
  const Model again = large_model();
  EXPECT_NE(ir::place_key(model), ir::place_key(again));
  EXPECT_TRUE(ir::same_contents(model, again));
}

TEST(Contents, HashOfEndsTellsMostConstantsApart) {
  const Model model = large_model();
  Graph& graph = model.graph();
  // The middle is not looked at.
  EXPECT_EQ(ir::hash_of_ends(graph.find("large")), ir::hash_of_ends(graph.find("alike")));
  EXPECT_NE(ir::hash_of_ends(graph.find("large")), ir::hash_of_ends(graph.find("a")));
  EXPECT_FALSE(ir::hash_of_ends(graph.find("x")));
}

TEST(Contents, PiecesAreTheWholeConstant) {
  const Model model = large_model();
  std::atomic<size_t> bytes = 0;
  std::atomic<int64_t> sum = 0;
  EXPECT_TRUE(ir::for_each_piece(model.graph().find("large"), [&](std::span<const std::byte> part) {
    bytes += part.size();
    for (size_t at = 0; at < part.size(); at += sizeof(float)) {
      float value = 0;
      std::memcpy(&value, part.data() + at, sizeof value);
      sum += static_cast<int64_t>(value);
    }
  }));
  EXPECT_EQ(bytes, 800000U);
  EXPECT_EQ(sum, int64_t{200000} * 199999 / 2);
  EXPECT_FALSE(ir::for_each_piece(model.graph().find("a"), [](auto) { FAIL(); }));
}

/// The large model as a file, and where that is.
class WrittenFile {
 public:
  WrittenFile() : path_(std::filesystem::path(::testing::TempDir()) / "contents_test.onnx") {
    large_model().save(path_, {.overwrite = true});
  }
  WrittenFile(const WrittenFile&) = delete;
  WrittenFile& operator=(const WrittenFile&) = delete;
  ~WrittenFile() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(Contents, OneReadingHashesTheFileAndVisitsEveryLargeInitializer) {
  const WrittenFile file;
  const Model model = Model::load(file.path());
  std::map<std::string, std::vector<float>> seen;
  const auto hash = ir::read_file_once(
      model, file.path(), [&](const ValueRef& constant, std::span<const std::byte> piece) {
        std::vector<float>& values = seen[constant.name()];
        const size_t at = values.size();
        values.resize(at + piece.size() / sizeof(float));
        std::memcpy(values.data() + at, piece.data(), piece.size());
      });
  EXPECT_EQ(hash, support::hash_file(file.path()));
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen["large"], counting(200000));
  EXPECT_EQ(seen["alike"][100000], 0.0F);
}

TEST(Contents, HashOfPayloadsIsThatOfReadingThemAlone) {
  const WrittenFile file;
  const Model model = Model::load(file.path());
  EXPECT_EQ(ir::hash_with_payloads(model, file.path()), support::hash_file(file.path()));
  EXPECT_EQ(model.fingerprint(), Model::load(file.path()).fingerprint());
  // A payload that changes behind the model's back is noticed by whoever reads it.
  {
    std::fstream bytes(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file.path()) / 4));
    bytes.put('\x55');
  }
  const Model other = Model::load(file.path());
  ir::hash_with_payloads(other, file.path());
  EXPECT_NE(other.fingerprint(), model.fingerprint());
}

TEST(Contents, ACountIsRememberedForAllWhoShareThePayload) {
  const Model model = large_model();
  EXPECT_FALSE(ir::known_nonzeros(model.graph().find("large")));
  ir::remember_nonzeros(model.graph().find("large"), 7);
  ir::remember_nonzeros(model.graph().find("a"), 7);  // has no payload of its own
  Model other = model.clone();
  EXPECT_EQ(ir::known_nonzeros(other.graph().find("large")), 7U);
  EXPECT_FALSE(ir::known_nonzeros(other.graph().find("a")));
  EXPECT_FALSE(ir::known_nonzeros(other.graph().find("alike")));
  other.graph().set_constant(other.graph().find("large"),
                             Tensor::from(Shape{200000}, std::vector<float>(200000, 3)));
  EXPECT_FALSE(ir::known_nonzeros(other.graph().find("large")));
}

constexpr size_t kMillion = 1000000;

TEST(Spill, LargeTensorsAreReadAsTheyWereGiven) {
  Model model = large_model();
  Graph& graph = model.graph();
  std::vector<ValueRef> constants;
  for (int i = 0; i < 4; ++i) {
    auto values = counting(kMillion);
    values[7] = static_cast<float>(i / 2);  // each twice
    constants.push_back(graph.add_constant("c", Tensor::from(Shape{kMillion}, values)));
    // Also while the one before is on its way.
    EXPECT_EQ(constants.back().constant()->as<float>()[7], values[7]);
    EXPECT_EQ(constants[0].constant()->to_float(), [] {
      auto first = counting(kMillion);
      first[7] = 0;
      return first;
    }());
  }
  EXPECT_EQ(ir::hash_of_ends(constants[2]), ir::hash_of_ends(constants[3]));
  const auto path = std::filesystem::path(::testing::TempDir()) / "spill_test.onnx";
  model.save(path, {.overwrite = true});
  EXPECT_EQ(Model::load(path).fingerprint(), model.fingerprint());
  std::filesystem::remove(path);
}

/// The files of this process do not grow past so many bytes while it lives.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit old_{};
  void (*handler_)(int);
};

TEST(Spill, WhatCannotBeWrittenIsToldWheneverTheModelIsUsed) {
  Model model = large_model();
  {
    const FileLimit limit(2000000);
    model.graph().add_constant("c", Tensor::from(Shape{kMillion}, counting(kMillion)));
    EXPECT_THROW(model.proto(), Error);
  }
  EXPECT_THROW(model.fingerprint(), Error);
  EXPECT_THROW(model.graph().find("c").constant(), Error);
}

}  // namespace
}  // namespace mcompress::test
