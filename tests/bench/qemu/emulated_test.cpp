// SPDX-License-Identifier: Apache-2.0
//
// What target cpu promises: an INT8 model computes the same on processors with and without dot
// products of bytes. Haswell has none: its kernels add pairs of products in 16 bits, with
// saturation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "calibration/calibration.h"
#include "mcompress/dataset.h"
#include "opset/service.h"
#include "tests/support/memory_dataset.h"
#include "tests/support/noise.h"
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

constexpr size_t kSamples = 200;

/// One layer between Q and DQ, or a product whose output is float.
Model one_layer(const std::string& kind) {
  const bool is_conv = kind.find("conv") != std::string::npos;
  Model model = parse_model(is_conv ? R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[1,48,10,10] x) => (float[1,48,10,10] y) { y = Identity(x) })"
                                    : R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[12,96] x) => (float[12,40] y) { y = Identity(x) })");
  Graph& graph = model.graph();
  Noise noise(7);
  NodeSpec spec{.op = "Conv", .inputs = {graph.find("x")}, .name = kind};
  if (is_conv) {
    const bool depthwise = kind == "depthwise conv";
    const int64_t kernel = kind == "1x1 conv" ? 1 : 3;
    // Large weights of one sign are what saturates.
    const Tensor weight = noise.tensor({48, depthwise ? 1 : 48, kernel, kernel}, 0.3F);
    spec.inputs.push_back(graph.add_constant("w", weight));
    spec.inputs.push_back(graph.add_constant("b", noise.tensor({48}, 0.1F)));
    spec.attributes.push_back({"pads", std::vector<int64_t>(4, kernel / 2)});
    if (depthwise) spec.attributes.push_back({"group", int64_t{48}});
  } else {
    spec.op = kind == "gemm" ? "Gemm" : "MatMul";
    spec.inputs.push_back(graph.add_constant("w", noise.tensor({96, 40}, 0.3F)));
    if (kind == "gemm") spec.inputs.push_back(graph.add_constant("b", noise.tensor({40}, 0.1F)));
  }
  ValueRef last = graph.insert(spec).output();
  if (kind != "matmul") {
    last = graph.insert({.op = "Relu", .inputs = {last}}).output();
    // The integers leave through a node that is no graph output.
    last = graph
               .insert(
                   {.op = "Mul", .inputs = {last, graph.add_constant("one", Tensor::scalar(1.0F))}})
               .output();
  }
  const NodeRef identity = graph.find("y").producer();
  graph.supersede(graph.find("y"), last);
  graph.erase(identity);
  return model;
}

void quantize(Model& model, const std::shared_ptr<const Dataset>& data,
              TargetKind target = TargetKind::kCpu) {
  PassContext::Services services;
  services.runtime = runtime();
  services.opset = make_opset_service();
  services.calibration = make_calibration(runtime(), data, 1);
  services.target.kind = target;
  PassContext context(services);
  run_pass("quantize-static", model, {{"where", "everywhere"}, {"effort", "quick"}}, &context);
}

/// Sequences of 7 and two samples, both outputs' gates with weights that would saturate in pairs.
Model recurrent_layer() {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[7,2,96] x) => (float[7,1,2,64] y)
<float W = {1.0}, float R = {1.0}, float B = {1.0}> {
  y = LSTM <hidden_size = 64> (x, W, R, B)
})");
  Graph& graph = model.graph();
  Noise noise(7);
  graph.set_constant(graph.find("W"), noise.tensor({1, 256, 96}, 0.1F));
  graph.set_constant(graph.find("R"), noise.tensor({1, 256, 64}, 0.1F));
  graph.set_constant(graph.find("B"), noise.tensor({1, 512}, 0.1F));
  return model;
}

Model dynamic_product() {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
g (float[12,96] x) => (float[12,40] y) <float w = {1.0}> { y = MatMul(x, w) })");
  Noise noise(7);
  model.graph().set_constant(model.graph().find("w"), noise.tensor({96, 40}, 0.3F));
  return model;
}

void quantize_dynamically(Model& model, TargetKind target = TargetKind::kCpu) {
  PassContext::Services services;
  services.runtime = runtime();
  services.opset = make_opset_service();
  services.target.kind = target;
  PassContext context(std::move(services));
  EXPECT_TRUE(run_pass("quantize-dynamic", model, {{"min-macs", "0"}}, &context).changed);
}

/// Largest difference over the largest value.
double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0, largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    most = std::max(most, std::abs(double{a[i]} - b[i]));
    largest = std::max(largest, std::abs(double{a[i]}));
  }
  return a.size() == b.size() && largest > 0 ? most / largest : 1;
}

class Emulated : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::string(QEMU).empty()) {
      GTEST_SKIP() << "qemu-x86_64 is missing: apt-get install qemu-user";
    }
    std::string pattern =
        (std::filesystem::temp_directory_path() / "mcompress-qemu-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  /// Outputs on all samples, natively or emulated.
  std::vector<float> outputs(const Model& model, const Dataset& data, bool emulated) {
    const auto model_file = folder_ / "m.onnx", input = folder_ / "in", output = folder_ / "out";
    model.save(model_file, {.overwrite = true});
    std::ofstream in(input, std::ios::binary);
    for (size_t i = 0; i < data.size(); ++i) {
      const Tensor tensor = data.feeds(i, 1).front().tensor;
      in.write(reinterpret_cast<const char*>(tensor.bytes().data()),
               static_cast<std::streamsize>(tensor.byte_size()));
    }
    in.close();
    const std::string command = (emulated ? std::string(QEMU) + " -cpu Haswell " : "") +
                                QEMU_RUNNER + " " + model_file.string() + " " + input.string() +
                                " " + output.string() + (emulated ? " 2>/dev/null" : "");
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    std::ifstream out(output, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(out)), {});
    const auto* const values = reinterpret_cast<const float*>(bytes.data());
    return {values, values + bytes.size() / sizeof(float)};
  }

  std::filesystem::path folder_;
};

std::shared_ptr<const Dataset> noise_for(const Model& model, size_t count) {
  Noise noise(11);
  std::vector<Feeds> samples;
  for (size_t i = 0; i < count; ++i) {
    samples.push_back({{"x", noise.tensor(model.graph().inputs()[0].shape, 2)}});
  }
  return std::make_shared<MemoryDataset>(std::move(samples));
}

TEST_F(Emulated, EveryIntegerKernelIsBitEqual) {
  for (const char* const kind : {"1x1 conv", "3x3 conv", "depthwise conv", "gemm", "matmul"}) {
    Model model = one_layer(kind);
    const auto data = noise_for(model, 8);
    quantize(model, data);
    const auto native = outputs(model, *data, false);
    EXPECT_FALSE(native.empty());
    EXPECT_EQ(native, outputs(model, *data, true)) << kind;
  }
}

TEST_F(Emulated, WithoutThePairRuleKernelsSaturate) {
  Model model = one_layer("1x1 conv");
  const auto data = noise_for(model, 8);
  quantize(model, data, TargetKind::kCpuVnni);
  EXPECT_NE(outputs(model, *data, false), outputs(model, *data, true));
}

TEST_F(Emulated, ADynamicProductIsBitEqual) {
  Model model = dynamic_product();
  const auto data = noise_for(model, 8);
  quantize_dynamically(model);
  const auto native = outputs(model, *data, false);
  EXPECT_FALSE(native.empty());
  EXPECT_EQ(native, outputs(model, *data, true));
}

// The gates of the integer LSTM are floats, whose exponentials round differently from one
// instruction set to the next, and the state is quantized anew in each step: one code in 255 is
// what may differ, saturation is far more.
TEST_F(Emulated, AnLstmComputesTheSameUpToRounding) {
  Model model = recurrent_layer();
  const auto data = noise_for(model, 8);
  quantize_dynamically(model);
  std::vector<std::string> ops;
  for (const auto& node : runtime()->optimized_nodes(model)) ops.push_back(node.op);
  EXPECT_THAT(ops, ::testing::Contains("DynamicQuantizeLSTM"));
  const auto native = outputs(model, *data, false);
  EXPECT_FALSE(native.empty());
  EXPECT_LT(relative_difference(native, outputs(model, *data, true)), 1.0 / 255);
}

TEST_F(Emulated, AnLstmWithoutThePairRuleSaturates) {
  Model model = recurrent_layer();
  const auto data = noise_for(model, 8);
  quantize_dynamically(model, TargetKind::kCpuVnni);
  EXPECT_GT(relative_difference(outputs(model, *data, false), outputs(model, *data, true)),
            1.0 / 255);
}

TEST_F(Emulated, AWholeModelDecidesTheSame) {
  const std::filesystem::path example =
      std::filesystem::path(MCOMPRESS_SOURCE_DIR) / "examples" / "lenet";
  Model model = Model::load(example / "model.onnx");
  DataSource source;
  source.kind = "idx";
  source.path = example / "data" / "train-1000-images-idx3-ubyte.gz";
  source.files["images"] = source.path;
  source.options = {{"scale", "1/255"}, {"mean", "0.1307"}, {"std", "0.3081"}};
  const auto all = open_dataset(source, model.graph().inputs());
  std::vector<size_t> first(kSamples), last(kSamples);
  for (size_t i = 0; i < kSamples; ++i) first[i] = i, last[i] = all->size() - kSamples + i;
  quantize(model, subset(all, first, "first"));
  const auto unseen = subset(all, last, "last");
  const auto native = outputs(model, *unseen, false), emulated = outputs(model, *unseen, true);
  ASSERT_EQ(native.size(), emulated.size());
  ASSERT_FALSE(native.empty());
  const auto classes = static_cast<std::ptrdiff_t>(native.size() / kSamples);
  size_t same = 0;
  for (std::ptrdiff_t at = 0; at < static_cast<std::ptrdiff_t>(native.size()); at += classes) {
    const auto decision = [&](const std::vector<float>& y) {
      return std::max_element(y.begin() + at, y.begin() + at + classes) - y.begin();
    };
    same += decision(native) == decision(emulated) ? 1U : 0U;
  }
  EXPECT_GE(same * 1000, 995 * kSamples);
}

}  // namespace
}  // namespace mcompress::test
