// SPDX-License-Identifier: Apache-2.0
//
// The same bytes from run to run and with any number of threads, where solvers see data: a network
// of convolutions wide enough for several threads to solve one layer, and products beside them.
#include <gmock/gmock.h>

#include <cmath>

#include "models.h"
#include "tests/support/cli_test.h"
#include "tests/support/noise.h"

namespace mcompress {
namespace {

using ::testing::Ne;

/// Two convolutions, pooling and two products. The first class wins on every sample, so that each
/// gate holds and each step leaves its bytes in the file.
void write_network(const std::filesystem::path& path, test::Noise& numbers) {
  Model model = test::parse_model("g (float[N,2,10,10] x) => (float[N,6] y) { y = Identity(x) }");
  Graph& graph = model.graph();
  const auto weight = [&](const Shape& shape) {
    const auto fan = static_cast<float>(element_count(shape)) / static_cast<float>(shape[0]);
    return graph.add_constant("w", numbers.tensor(shape, 1.2F / std::sqrt(fan)));
  };
  const auto node = [&](const char* op, std::vector<ValueRef> inputs,
                        std::vector<Attribute> attributes = {}) {
    return graph
        .insert({.op = op, .inputs = std::move(inputs), .attributes = std::move(attributes)})
        .output();
  };
  const Attribute pads{"pads", std::vector<int64_t>{1, 1, 1, 1}};
  const Attribute rows_are_outputs{"transB", int64_t{1}};
  ValueRef x = graph.find("x");
  x = node("Relu", {node("Conv", {x, weight({16, 2, 3, 3}), weight({16})}, {pads})});
  x = node("Relu", {node("Conv", {x, weight({136, 16, 3, 3}), weight({136})}, {pads})});
  x = node("Flatten", {node("GlobalAveragePool", {x})});
  x = node("Relu", {node("Gemm", {x, weight({64, 136}), weight({64})}, {rows_are_outputs})});
  const ValueRef first_wins =
      graph.add_constant("b", Tensor::from<float>({6}, std::vector<float>{50, 0, 0, 0, 0, 0}));
  x = node("Gemm", {x, weight({6, 64}), first_wins}, {rows_are_outputs});
  const NodeRef identity = graph.find("y").producer();
  graph.supersede(graph.find("y"), x);
  graph.erase(identity);
  model.save(path);
}

/// [samples, 2, 10, 10] as .npy.
void write_samples(const std::filesystem::path& path, int64_t samples, test::Noise& numbers) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                       std::to_string(samples) + ", 2, 10, 10), }";
  header.resize(117, ' ');
  const std::vector<float> values = numbers.tensor({samples, 2, 10, 10}, 1).to_float();
  std::string bytes = std::string("\x93NUMPY\x01\x00", 8) + '\x76' + '\0' + header + '\n';
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  testing::write_bytes(path, bytes);
}

class Determinism : public testing::CliTest, public ::testing::WithParamInterface<const char*> {
 protected:
  std::string compressed(const std::string& threads) {
    const testing::CliResult result =
        run({"run", "m.onnx", "-r", GetParam(), "--data", "calibration=calib.npy", "--threads",
             threads, "-o", "out.onnx", "--force", "--validate", "none"});
    EXPECT_EQ(result.code, 0) << result.err;
    return testing::read_bytes(path("out.onnx"));
  }
};

TEST_P(Determinism, OfARunWithData) {
  test::Noise numbers(5);
  write_network(path("m.onnx"), numbers);
  write_samples(path("calib.npy"), 120, numbers);
  const std::string first = compressed("1");
  EXPECT_THAT(first, Ne(testing::read_bytes(path("m.onnx"))));
  // EQ would print the bytes.
  EXPECT_TRUE(compressed("1") == first) << "other bytes from one run to the next";
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(compressed("4") == first) << "other bytes with 4 threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Presets, Determinism,
                         ::testing::Values("deep-compression", "smallest", "int8", "low-rank"),
                         [](const auto& preset) {
                           std::string name = preset.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mcompress
