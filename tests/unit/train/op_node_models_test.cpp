// SPDX-License-Identifier: Apache-2.0
// onnx's own tests of its operators (Debian's libonnx-testdata), run by the trainer: inputs,
// outputs and tolerance are those of onnx. What is not covered must say so; nothing may be wrong.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>

#include "train/program.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

namespace fs = std::filesystem;

const fs::path kData = "/usr/share/libonnx-testdata/data";

/// Nothing for what is no tensor or of a type that is not covered.
std::optional<at::Tensor> read_tensor(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  onnx::TensorProto proto;
  if (!file || !proto.ParseFromIstream(&file)) return std::nullopt;
  const Shape shape(proto.dims().begin(), proto.dims().end());
  const auto type = static_cast<DataType>(proto.data_type());
  if (proto.raw_data().size() != packed_bytes(type, element_count(shape))) return std::nullopt;
  const auto bytes = std::as_bytes(std::span(proto.raw_data().data(), proto.raw_data().size()));
  try {
    return to_torch(Tensor(type, shape, bytes));
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// Outputs that are drawn at random.
bool is_random(const Model& model) {
  for (const NodeRef node : model.graph().nodes()) {
    if (node.op() == "Bernoulli" || node.op().starts_with("Random")) return true;
    if (node.op() == "Dropout" && node.input_count() > 2) return true;  // in training
    if (node.op() == "Dropout" && model.opset() < 7) return true;
  }
  return false;
}

/// As onnx's runner compares: |a - b| <= 1e-7 + 1e-3 |b|, in single precision.
std::string difference(const at::Tensor& actual, const at::Tensor& expected) {
  if (!actual.defined()) return "no output";
  if (actual.sizes() != expected.sizes()) return "another shape";
  if (actual.is_floating_point() != expected.is_floating_point()) return "another type";
  const double atol = expected.scalar_type() == at::kHalf ? 1e-3 : 1e-7;
  const at::Tensor a = actual.to(at::kDouble), b = expected.to(at::kDouble);
  if (at::allclose(a, b, 1e-3, atol, true)) return "";
  return "differs by " + std::to_string((a - b).abs().max().item<double>());
}

/// Expected values of onnx 1.12 that it corrected later: they count with a size of the output that
/// is no whole number. ONNX Runtime gives what we give (op_table_test.cpp).
bool is_corrected_later(const std::string& name) {
  return name == "test_resize_downsample_scales_cubic_align_corners" ||
         name == "test_resize_downsample_scales_linear_align_corners";
}

struct Outcome {
  std::string refused;  ///< why it was not run
  std::string wrong;
};

Outcome run(const fs::path& folder) {
  if (is_corrected_later(folder.filename().string())) return {"corrected by onnx", ""};
  const Model model = Model::load(folder / "model.onnx");
  if (is_random(model)) return {"random", ""};
  for (const NodeRef node : model.graph().nodes()) {
    if (find_op(node) == nullptr) return {"no " + node.op(), ""};
    const OpInfo& info = *find_op(node);
    if (info.obstacle != nullptr && !info.obstacle(node).empty()) return {info.obstacle(node), ""};
  }
  Values values;
  std::vector<std::string> fed, outputs;
  Graph& graph = model.graph();
  const fs::path data = folder / "test_data_set_0";
  const auto initializers = graph.initializers();
  int number = 0;
  for (const auto& input : graph.inputs()) {
    const std::string name = "input_" + std::to_string(number++) + ".pb";
    const bool initial = std::count(initializers.begin(), initializers.end(), input.name) > 0;
    if (initial && !fs::exists(data / name)) continue;
    const auto value = read_tensor(data / name);
    if (!value) return {"type of an input", ""};
    fed.push_back(input.name);
    values[input.name] = *value;
  }
  Tensors expected;
  for (const auto& output : graph.outputs()) {
    const auto value = read_tensor(data / ("output_" + std::to_string(expected.size()) + ".pb"));
    if (!value) return {"type of an output", ""};
    outputs.push_back(output.name);
    expected.push_back(*value);
  }
  Tensors actual;
  try {
    Execution execution;
    actual = Program(model, fed, outputs).run(values, execution);
  } catch (const Unsupported& reason) {
    return {reason.reason(), ""};
  } catch (const Error& error) {
    return {"", error.message()};
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    const std::string wrong = difference(actual[i], expected[i]);
    if (!wrong.empty()) return {"", outputs[i] + " " + wrong};
  }
  return {};
}

TEST(OpNodeModels, GiveWhatOnnxSays) {
  if (!fs::exists(kData)) GTEST_SKIP() << "libonnx-testdata is not installed";
  at::set_num_threads(1);
  std::vector<fs::path> folders;
  for (const char* const part : {"node", "simple", "pytorch-operator", "pytorch-converted"}) {
    for (const auto& entry : fs::directory_iterator(kData / part)) {
      if (fs::exists(entry.path() / "model.onnx")) folders.push_back(entry.path());
    }
  }
  std::sort(folders.begin(), folders.end());
  int right = 0, wrong = 0;
  std::map<std::string, int> refused;
  for (const fs::path& folder : folders) {
    const Outcome outcome = run(folder);
    EXPECT_EQ(outcome.wrong, "") << folder.filename();
    if (!outcome.wrong.empty()) {
      ++wrong;
    } else if (!outcome.refused.empty()) {
      ++refused[outcome.refused];
    } else {
      ++right;
    }
  }
  std::cout << right << " right, " << wrong << " wrong of " << folders.size() << "; not covered:\n";
  for (const auto& [reason, count] : refused) std::cout << "  " << count << " " << reason << "\n";
  EXPECT_GT(right, 820);
}

}  // namespace
}  // namespace mcompress::train
