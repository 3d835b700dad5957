// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "archive/archive.h"
#include "support/parallel_for.h"
#include "tests/support/pass_test.h"

namespace mcompress::archive {
namespace {

namespace fs = std::filesystem;

class Pack : public ::testing::Test {
 protected:
  Pack() {
    std::string pattern = (fs::temp_directory_path() / "mcompress-pack-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    fs::create_directory(path("back"));
  }
  ~Pack() override { fs::remove_all(folder_); }

  fs::path path(const std::string& name) const { return folder_ / name; }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  /// Packs, unpacks elsewhere, compares.
  PackFigures round_trip(const fs::path& file) const {
    const PackFigures figures = pack(file, path("a.mcz"), true);
    EXPECT_TRUE(is_archive(path("a.mcz")));
    EXPECT_EQ(fs::file_size(path("a.mcz")), figures.packed_bytes);
    const auto members = unpack(path("a.mcz"), path("back") / file.filename(), true);
    for (const Member& member : members) {
      EXPECT_EQ(read(path("back") / member.name), read(path(member.name))) << member.name;
    }
    return figures;
  }

 private:
  fs::path folder_;
};

std::string noise(size_t bytes) {
  std::string text;
  uint64_t state = bytes;
  while (text.size() < bytes) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    text.push_back(static_cast<char>(state >> 56));
  }
  return text;
}

TEST_F(Pack, AnyFile) {
  round_trip(write("empty", ""));
  round_trip(write("one", "x"));
  round_trip(write("text", std::string(100000, 'a') + "b"));
  round_trip(write("noise", noise(100000)));
  round_trip(write("big", noise(1 << 20) + std::string(40 << 20, '\0') + noise(1000)));
}

/// Weights of a few layers with few values, many of them zero.
Model pruned_model(int64_t values, int period) {
  Model model = test::parse_model(
      "g (float[3,96] x) => (float[3,96] y) <float W1 = {1.0}, float W2 = {1.0}, float b = {0.5}> "
      "{ h = Gemm (x, W1, b) r = Relu(h) y = MatMul(r, W2) }",
      17);
  uint64_t state = 1;
  for (const auto& [name, shape] : {std::pair{"W1", Shape{96, 200}}, {"W2", Shape{200, 96}}}) {
    std::vector<float> weight;
    for (int64_t i = 0; i < element_count(shape); ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      const auto r = static_cast<int64_t>(state >> 40);
      weight.push_back(r % period == 0 ? static_cast<float>(r % values - values / 2) * 0.25F
                                       : 0.0F);
    }
    model.graph().set_constant(model.graph().find(name), Tensor::from(shape, weight));
  }
  return model;
}

bool has_symbols(const PackFigures& figures) {
  return std::any_of(figures.parts.begin(), figures.parts.end(),
                     [](const PartFigure& part) { return part.symbols > 0; });
}

TEST_F(Pack, EncodedModelsOfEveryForm) {
  for (const char* form : {"codes", "bitmask", "gap"}) {
    for (const int period : {2, 9}) {
      for (const int64_t values : {1, 3, 15, 200}) {
        Model model = pruned_model(values, period);
        test::run_pass("encode-weights", model, {{"forms", form}});
        model.save(path("m.onnx"), {.overwrite = true});
        const auto figures = round_trip(path("m.onnx"));
        SCOPED_TRACE(std::string(form) + " " + std::to_string(values));
        EXPECT_TRUE(values != 15 || period != 9 || has_symbols(figures));
      }
    }
  }
}

TEST_F(Pack, PlainModelsAndTheirDataFiles) {
  Model model = pruned_model(200, 1);
  model.save(path("m.onnx"));
  const auto inside = round_trip(path("m.onnx"));
  EXPECT_LT(inside.packed_bytes, inside.plain_bytes);
  EXPECT_EQ(inside.members.size(), 1U);
  model.save(path("m.onnx"), {.external_data = ExternalData::kAlways, .overwrite = true});
  const auto outside = round_trip(path("m.onnx"));
  ASSERT_EQ(outside.members.size(), 2U);
  EXPECT_LT(outside.packed_bytes, outside.plain_bytes);
  fs::remove(path(outside.members[1].name));
  EXPECT_THROW(pack(path("m.onnx"), path("a.mcz"), true), Error);
}

TEST_F(Pack, EqualTensorsAreStoredOnce) {
  Model model = pruned_model(200, 1);
  const Tensor weight = *model.graph().find("W1").constant();
  model.save(path("m.onnx"));
  const auto once = round_trip(path("m.onnx"));
  model.graph().add_constant("copy", weight);
  model.save(path("m.onnx"), {.overwrite = true});
  const auto twice = round_trip(path("m.onnx"));
  EXPECT_GT(twice.plain_bytes, once.plain_bytes + 30000);
  EXPECT_LT(twice.packed_bytes, once.packed_bytes + 200);
}

TEST_F(Pack, UnknownFieldsAndTruncatedModelsSurvive) {
  Model model = pruned_model(15, 9);
  model.save(path("m.onnx"));
  const std::string bytes = read(path("m.onnx"));
  // Field 1000, length-delimited; and varints longer than needed.
  round_trip(write("unknown.onnx", bytes +
                                       std::string("\xC2\x3E\x03"
                                                   "abc",
                                                   6) +
                                       std::string("\x08\x88\x80\x00", 4)));
  round_trip(write("truncated.onnx", bytes.substr(0, bytes.size() / 2)));
}

TEST_F(Pack, SameArchiveForAnyNumberOfThreads) {
  Model model = pruned_model(200, 2);
  model.save(path("m.onnx"));
  set_thread_count(1);
  pack(path("m.onnx"), path("one.mcz"), false);
  set_thread_count(4);
  pack(path("m.onnx"), path("four.mcz"), false);
  set_thread_count(0);
  EXPECT_EQ(read(path("one.mcz")), read(path("four.mcz")));
}

TEST_F(Pack, DamagedArchivesAreRefused) {
  pruned_model(15, 9).save(path("m.onnx"));
  pack(path("m.onnx"), path("a.mcz"), true);
  const std::string bytes = read(path("a.mcz"));
  const auto refused = [&](const std::string& damaged, const std::string& what) {
    write("d.mcz", damaged);
    try {
      unpack(path("d.mcz"), path("d.onnx"), true);
      ADD_FAILURE() << what;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kModel) << error.what();
      EXPECT_FALSE(error.hint().empty());
    }
    EXPECT_FALSE(fs::exists(path("d.onnx"))) << what;
  };
  for (size_t i = 0; i < bytes.size(); i += 1 + bytes.size() / 50) {
    refused(bytes.substr(0, i), "cut at " + std::to_string(i));
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
    refused(flipped, "flipped at " + std::to_string(i));
  }
  refused(bytes + "x", "a byte too many");
  refused("", "nothing");
}

TEST_F(Pack, NothingIsOverwrittenUnasked) {
  const auto file = write("f", "text");
  write("a.mcz", "mine");
  EXPECT_THROW(pack(file, path("a.mcz"), false), Error);
  EXPECT_EQ(read(path("a.mcz")), "mine");
  pack(file, path("a.mcz"), true);
  EXPECT_THROW(unpack(path("a.mcz"), file, false), Error);
  EXPECT_THROW(unpack(path("a.mcz"), path("a.mcz"), true), Error);
}

}  // namespace
}  // namespace mcompress::archive
