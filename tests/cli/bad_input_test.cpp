// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>

#include "models.h"
#include "tests/support/cli_test.h"

namespace mcompress {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class BadInput : public testing::CliTest {
 protected:
  BadInput() { testing::write_model(path("m.onnx")); }

  std::string random_bytes(size_t count) {
    std::mt19937 random(7);
    std::string bytes;
    while (bytes.size() < count) bytes += static_cast<char>(random());
    return bytes;
  }
  void expect_error(const std::vector<std::string>& arguments, int code,
                    const std::string& message) {
    const testing::CliResult result = run(arguments);
    EXPECT_EQ(result.code, code) << arguments.front() << ": " << result.err;
    EXPECT_THAT(result.err, StartsWith("mcompress: error: "));
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_THAT(result.err, Not(HasSubstr("unexpected")));
    EXPECT_THAT(result.out, IsEmpty());
  }
};

TEST_F(BadInput, ModelsThatAreNone) {
  const std::string model = testing::read_bytes(path("m.onnx"));
  testing::write_bytes(path("empty.onnx"), "");
  testing::write_bytes(path("cut.onnx"), model.substr(0, model.size() / 2));
  testing::write_bytes(path("noise.onnx"), random_bytes(5000));
  testing::write_bytes(path("text.onnx"), "this is no model\n");
  const std::vector<std::string> before = files();
  for (const char* name :
       {"empty.onnx", "cut.onnx", "noise.onnx", "text.onnx", "missing.onnx", "."}) {
    expect_error({"run", name, "-r", "lossless", "-o", "out.onnx"}, 4, name);
    expect_error({"inspect", name}, 4, name);
    expect_error({"compare", "m.onnx", name}, 4, name);
  }
  EXPECT_EQ(files(), before);
  EXPECT_THAT(run({"inspect", "."}).err, ::testing::Not(HasSubstr(".: .: ")));
}

TEST_F(BadInput, NodesOfOneNameAreToldTheWayOut) {
  Model model =
      test::parse_model("g (float[N,2] x) => (float[N,2] y) { h = Identity(x)\n y = Identity(h) }");
  Graph& graph = model.graph();
  const ValueRef h =
      graph.insert({.op = "Relu", .inputs = {graph.find("x")}, .name = "same_a"}).output();
  const ValueRef g = graph.insert({.op = "Relu", .inputs = {h}, .name = "same_b"}).output();
  graph.set_input(graph.find("y").producer(), 0, g);
  model.save(path("same.onnx"));
  std::string bytes = testing::read_bytes(path("same.onnx"));
  bytes.replace(bytes.find("\x1a\x06same_b"), 8, "\x1a\x06same_a");  // name of a node
  testing::write_bytes(path("same.onnx"), bytes);
  expect_error({"run", "same.onnx", "-r", "int8", "--set", "data.calibration.random.count=4"}, 4,
               "shorten-names alone");
  testing::write_bytes(path("names.yaml"), "steps: [shorten-names]\n");
  ASSERT_EQ(run({"run", "same.onnx", "-r", "names.yaml", "-o", "none.onnx"}).code, 0);
  EXPECT_EQ(run({"evaluate", "none.onnx", "--set", "data.evaluation.random.count=4"}).code, 0);
}

TEST_F(BadInput, InspectNamesWeightsThatAreNoNumbers) {
  const auto weight = [](float value) { return Tensor::from<float>({2, 2}, {1, 2, value, 4}); };
  Model model =
      test::parse_model("g (float[N,2] x) => (float[N,2] y) { h = Identity(x)\n y = Identity(h) }");
  Graph& graph = model.graph();
  const float infinity = std::numeric_limits<float>::infinity();
  const ValueRef a = graph.add_constant("first", weight(std::nanf("")));
  const ValueRef b = graph.add_constant("second", weight(infinity));
  const ValueRef h = graph.insert({.op = "MatMul", .inputs = {graph.find("x"), a}}).output();
  const ValueRef g = graph.insert({.op = "MatMul", .inputs = {h, b}}).output();
  graph.set_input(graph.find("y").producer(), 0, g);
  model.save(path("nan.onnx"));
  const testing::CliResult result = run({"inspect", "nan.onnx"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("its weight 'first' holds NaN"));
  EXPECT_THAT(result.out, HasSubstr("its weight 'second' holds infinity"));
  EXPECT_THAT(run({"inspect", "m.onnx"}).out, ::testing::Not(HasSubstr("holds")));
}

TEST_F(BadInput, RecipesThatAreNone) {
  testing::write_bytes(path("empty.yaml"), "");
  testing::write_bytes(path("noise.yaml"), random_bytes(5000));
  testing::write_bytes(path("cut.yaml"), "steps:\n  - prune-magnitude: {spars");
  for (const char* name : {"empty.yaml", "noise.yaml", "cut.yaml"}) {
    expect_error({"run", "m.onnx", "-r", name}, 3, name);
  }
  expect_error({"run", "m.onnx", "-r", "m.onnx"}, 3, "m.onnx");
  expect_error({"run", "m.onnx", "-r", "."}, 3, "folder");
  expect_error({"run", "m.onnx", "-r", "losless"}, 3, "did you mean 'lossless'?");
}

TEST_F(BadInput, DataThatIsNone) {
  testing::write_bytes(path("empty.npz"), "");
  testing::write_bytes(path("noise.npz"), random_bytes(5000));
  for (const char* name : {"empty.npz", "noise.npz", "missing.npz"}) {
    expect_error({"run", "m.onnx", "-r", "int8", "--data", std::string("calibration=") + name}, 5,
                 name);
    expect_error({"evaluate", "m.onnx", "--data", name}, 5, name);
  }
  expect_error({"evaluate", "m.onnx"}, 5, "--data");
  EXPECT_THAT(files(), ElementsAre("empty.npz", "m.onnx", "noise.npz"));
}

TEST_F(BadInput, WrongOverridesAreUsage) {
  expect_error({"run", "m.onnx", "-r", "sparse", "--set", "prune-magnitude.sparsity=2"}, 2,
               "outside 0..1");
  expect_error({"run", "m.onnx", "-r", "sparse", "--target", "cup"}, 2, "--target: ");
  expect_error({"run", "m.onnx", "-r", "sparse", "--seed", "x"}, 2, "--seed: ");
}

TEST_F(BadInput, OutputsThatCannotBe) {
  testing::write_bytes(path("there.onnx"), "mine");
  expect_error({"run", "m.onnx", "-r", "lossless", "-o", "there.onnx"}, 2, "--force");
  EXPECT_EQ(testing::read_bytes(path("there.onnx")), "mine");
  expect_error({"run", "m.onnx", "-r", "lossless", "-o", "none/out.onnx"}, 2, "does not exist");
  expect_error({"run", "m.onnx", "-r", "lossless", "-o", "m.onnx", "--force"}, 2,
               "is the input model");
  expect_error({"run", "m.onnx", "-r", "lossless", "-o", "."}, 2, ".");
}

}  // namespace
}  // namespace mcompress
