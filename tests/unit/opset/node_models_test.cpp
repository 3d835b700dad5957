// SPDX-License-Identifier: Apache-2.0
// The models of Debian's libonnx-testdata, each run before and after its opset was raised.
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "before_after.h"
#include "opset/rules.h"

namespace mcompress {
namespace {

const std::filesystem::path kData = "/usr/share/libonnx-testdata/data";

std::optional<Feeds> read_feeds(const std::filesystem::path& folder,
                                const onnx::ModelProto& model) {
  Feeds feeds;
  for (int i = 0; i < model.graph().input_size(); ++i) {
    const auto& input = model.graph().input(i);
    std::ifstream file(folder / ("input_" + std::to_string(i) + ".pb"), std::ios::binary);
    onnx::TensorProto proto;
    if (!input.type().has_tensor_type() || !file || !proto.ParseFromIstream(&file)) {
      return std::nullopt;
    }
    const auto type = static_cast<DataType>(proto.data_type());
    if (proto.raw_data().empty() || type == DataType::kString) return std::nullopt;
    const Shape shape(proto.dims().begin(), proto.dims().end());
    const auto bytes = std::as_bytes(std::span(proto.raw_data().data(), proto.raw_data().size()));
    feeds.push_back({input.name(), Tensor(type, shape, bytes)});
  }
  return feeds;
}

// Some node's operator changed in between, whether it is rewritten or said to mean the same.
bool is_concerned(const onnx::ModelProto& model, int64_t from, int64_t to) {
  for (const auto& node : model.graph().node()) {
    for (int64_t version = from + 1; version <= to; ++version) {
      if (opset::find_rule(node.op_type(), version) != nullptr) return true;
    }
  }
  return false;
}

bool is_random(const onnx::ModelProto& model) {
  for (const auto& node : model.graph().node()) {
    if (node.op_type() == "Bernoulli" || node.op_type().rfind("Random", 0) == 0) return true;
    if (node.op_type() == "Dropout" && node.input_size() > 2) return true;  // in training
  }
  return false;
}

/// Whether the model could be compared.
bool compare(const std::filesystem::path& path, int64_t target) {
  onnx::ModelProto proto;
  std::ifstream file(path / "model.onnx", std::ios::binary);
  if (!proto.ParseFromIstream(&file) || is_random(proto)) return false;
  const auto feeds = read_feeds(path / "test_data_set_0", proto);
  if (!feeds) return false;
  Model model = Model::load(path / "model.onnx");
  if (model.opset() >= target || !is_concerned(proto, model.opset(), target)) return false;
  if (test::runtime()->load_error(model)) return false;
  std::vector<Tensor> before;
  try {
    before = test::run_plain(model, *feeds);
    raise_opset(model, target, test::runtime()->infer_types(model));
  } catch (const Unsupported&) {
    return false;
  } catch (const Error&) {
    return false;  // outputs that are no tensors
  }
  const auto after = test::run_plain(model, *feeds);
  EXPECT_EQ(before.size(), after.size());
  for (size_t i = 0; i < std::min(before.size(), after.size()); ++i) {
    test::expect_equal(before[i], after[i], target > 17 ? 1e-6F : 0.0F);
  }
  return true;
}

int compare_all(int64_t target) {
  int compared = 0;
  std::vector<std::filesystem::path> models;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kData)) {
    if (entry.path().filename() == "model.onnx") models.push_back(entry.path().parent_path());
  }
  std::sort(models.begin(), models.end());
  for (const auto& model : models) {
    SCOPED_TRACE(model.filename().string());
    compared += compare(model, target) ? 1 : 0;
  }
  testing::Test::RecordProperty("compared", compared);
  return compared;
}

TEST(NodeModels, GiveTheSameBitsAt17) {
  if (!std::filesystem::exists(kData)) GTEST_SKIP() << "libonnx-testdata is not installed";
  EXPECT_GT(compare_all(17), 60);
}

TEST(NodeModels, GiveTheSameBitsAtTheNewest) {
  if (!std::filesystem::exists(kData)) GTEST_SKIP() << "libonnx-testdata is not installed";
  EXPECT_GT(compare_all(kNewestOpset), 300);
}

}  // namespace
}  // namespace mcompress
