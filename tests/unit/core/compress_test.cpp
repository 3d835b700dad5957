// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "mcompress/mcompress.h"
#include "support/file.h"
#include "tests/support/json_schema.h"
#include "tests/support/pass_test.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress {
namespace {

using test::TemporaryFolder;
using ::testing::Contains;
using ::testing::HasSubstr;

/// A small classifier of 1x1x28x28-like rows, with weights large enough to be compressed.
void write_model(const std::filesystem::path& path) {
  Model model = test::parse_model("g (float[N,64] x) => (float[N,10] y) { y = Identity(x) }");
  Graph& graph = model.graph();
  uint64_t state = 5;
  const auto weight = [&](const char* name, int64_t rows, int64_t columns) {
    std::vector<float> values(static_cast<size_t>(rows * columns));
    for (float& v : values) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      v = static_cast<float>(state >> 40) / static_cast<float>(1 << 24) - 0.5f;
      v = v * v * v;
    }
    return graph.add_constant(name, Tensor::from<float>({rows, columns}, values));
  };
  const ValueRef hidden =
      graph
          .insert(
              {.op = "MatMul", .inputs = {graph.find("x"), weight("w1", 64, 128)}, .name = "first"})
          .output();
  const ValueRef relu = graph.insert({.op = "Relu", .inputs = {hidden}}).output();
  const ValueRef last =
      graph.insert({.op = "MatMul", .inputs = {relu, weight("w2", 128, 10)}, .name = "last"})
          .output();
  const NodeRef identity = graph.find("y").producer();
  graph.supersede(graph.find("y"), last);
  graph.erase(identity);
  model.save(path);
}

/// Rows of noise as an npy file.
void write_data(const std::filesystem::path& path, int rows) {
  std::string header =
      "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", 64), }";
  header.resize(117, ' ');
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file.push_back(static_cast<char>(header.size()));
  file.push_back('\0');
  file += header;
  uint64_t state = 9;
  for (int i = 0; i < rows * 64; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const float v = static_cast<float>(state >> 40) / static_cast<float>(1 << 24) - 0.5f;
    file.append(reinterpret_cast<const char*>(&v), sizeof v);
  }
  support::write_file_atomically(path, file);
}

class Compress : public ::testing::Test {
 protected:
  Compress() : folder_(::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    write_model(folder_ / "in.onnx");
    write_data(folder_ / "data.npy", 40);
  }

  RunReport run(const std::string& recipe, const std::function<void(RunOptions&)>& change = {}) {
    RunOptions options;
    options.runtime = test::runtime();
    options.measure_latency = false;
    options.save.overwrite = true;
    if (change) change(options);
    const Recipe parsed = parse_recipe(recipe, "recipe.yaml", folder_.path(), builtin_passes());
    return compress(folder_ / "in.onnx", folder_ / "out.onnx", parsed, builtin_passes(), options);
  }

  std::string output() const { return support::read_file(folder_ / "out.onnx", ErrorCode::kModel); }
  bool has_output() const { return std::filesystem::exists(folder_ / "out.onnx"); }
  size_t files() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(folder_.path()), {}));
  }

  TemporaryFolder folder_;
};

constexpr const char* kPruneAndShare = R"(
version: 1
data: {validation: data.npy}
steps:
  - prune-magnitude: {sparsity: 0.9}
  - share-weights: {values: 15}
)";

TEST_F(Compress, MakesTheFileSmallAndSaysSo) {
  const std::string input = support::read_file(folder_ / "in.onnx", ErrorCode::kModel);
  const RunReport report = run(kPruneAndShare);
  EXPECT_EQ(support::read_file(folder_ / "in.onnx", ErrorCode::kModel), input);
  EXPECT_LT(output().size(), input.size() / 5);
  EXPECT_EQ(report.size_after.file_bytes, output().size());
  ASSERT_EQ(report.layers.size(), 2u);
  EXPECT_NEAR(report.layers[0].sparsity, 0.9, 0.001);
  EXPECT_LT(report.layers[0].bits_after, 4);
  EXPECT_THAT(report.layers[0].method, HasSubstr("codebook of 15"));
  ASSERT_TRUE(report.layers[0].sqnr_db);
  EXPECT_LT(*report.layers[0].sqnr_db, 40);
  ASSERT_TRUE(report.metric_after);
  EXPECT_FALSE(report.failed);
  // The sizes of the steps are those of the file that would be written then, encoding included.
  EXPECT_LT(report.steps[0].size.file_bytes, input.size() / 3);
}

TEST_F(Compress, TheReportObeysItsSchema) {
  const RunReport report = run(kPruneAndShare);
  const auto schema = nlohmann::json::parse(report_json_schema());
  const auto problems =
      testing::JsonSchema(schema).problems(nlohmann::json::parse(render_json(report)));
  EXPECT_TRUE(problems.empty()) << problems[0];
}

TEST_F(Compress, GivesTheSameBytesAgainAndWithTwoThreads) {
  run(kPruneAndShare);
  const std::string first = output();
  run(kPruneAndShare);
  EXPECT_EQ(output(), first);
  run(kPruneAndShare, [](RunOptions& options) { options.threads = 2; });
  EXPECT_EQ(output(), first);
}

TEST_F(Compress, TheEffectiveRecipeReproducesTheRun) {
  const RunReport report = run(kPruneAndShare);
  const std::string first = output();
  run(report.effective_recipe);
  Model a = Model::parse(first);
  Model b = Model::parse(output());
  for (Model* const model : {&a, &b}) model->set_metadata("mcompress.recipe", "");
  EXPECT_EQ(a.fingerprint(), b.fingerprint());
}

TEST_F(Compress, EncodingCanBeLeftOut) {
  run(std::string(kPruneAndShare) + "encode: false\n");
  EXPECT_GT(output().size(), std::filesystem::file_size(folder_ / "in.onnx") * 9 / 10);
}

TEST_F(Compress, WarnsWhereTheModelBecomesLarger) {
  EXPECT_THAT(run(kPruneAndShare).warnings, ::testing::Not(Contains(HasSubstr("larger"))));
  support::write_file_atomically(folder_ / "in.onnx", output());
  const RunReport report = run("version: 1\nencode: false\nsteps: [decode-weights]");
  ASSERT_GT(output().size(), support::read_file(folder_ / "in.onnx", ErrorCode::kModel).size());
  EXPECT_THAT(report.warnings, Contains(HasSubstr("larger than the input")));
  EXPECT_THAT(report.steps[0].warnings, Contains(HasSubstr("makes the file larger")));
}

TEST_F(Compress, GzipOfAFileWhoseWeightsLieElsewhereIsNoFigure) {
  constexpr const char* kRecipe = "version: 1\nencode: false\nsteps: [eliminate-dead]";
  Model model = test::parse_model("g (float[N,64] x) => (float[N,300] y) { y = Identity(x) }");
  Graph& graph = model.graph();
  const ValueRef w = graph.add_constant(
      "w", Tensor::from<float>({64, 300}, std::vector<float>(size_t{64} * 300, 0.5F)));
  const ValueRef h = graph.insert({.op = "MatMul", .inputs = {graph.find("x"), w}}).output();
  graph.set_input(graph.find("y").producer(), 0, h);
  model.save(folder_ / "in.onnx", {.overwrite = true});
  EXPECT_GT(run(kRecipe).size_after.gzip_bytes, 0U);
  const RunReport report =
      run(kRecipe, [](RunOptions& o) { o.save.external_data = ExternalData::kAlways; });
  EXPECT_EQ(report.size_after.gzip_bytes, 0U);
}

TEST_F(Compress, TheMetricOfFewSamplesCountsThem) {
  write_data(folder_ / "data.npy", 1);
  const RunReport report =
      run("version: 1\ndata: {calibration: data.npy}\nsteps: [eliminate-identity]");
  EXPECT_THAT(report.warnings, Contains(HasSubstr("of 1 calibration sample:")));
}

TEST_F(Compress, DataThatIsReadInTwoWaysIsTold) {
  // Class 0 where the pixel is bright.
  test::parse_model(R"(g (float[N,1,1,1] x) => (float[N,2] y) <float[1] half = {0.5}>
    { a = Flatten(x) b = Sub(half, a) y = Concat<axis = 1>(a, b) })")
      .save(folder_ / "in.onnx", {.overwrite = true});
  std::string images("\0\0\x08\x03\0\0\0\x0a\0\0\0\x01\0\0\0\x01", 16);
  std::string labels("\0\0\x08\x01\0\0\0\x0a", 8);
  for (int i = 0; i < 10; ++i) {
    images.push_back(static_cast<char>(i * 28));
    labels.push_back(i * 28 > 64 ? '\0' : '\1');
  }
  support::write_file_atomically(folder_ / "images", images);
  support::write_file_atomically(folder_ / "labels", labels);
  const auto told = [&](const std::string& scale) {
    const std::string data = "{idx: {images: images, labels: labels}, scale: ";
    return run("version: 1\nmetric: top1\ndata:\n  validation: " + data + scale +
               "}\n  evaluation: " + data + "1/255}\nsteps: [eliminate-identity]")
        .warnings;
  };
  EXPECT_THAT(told("0.0001"), Contains(HasSubstr("are scale, mean and std of both")));
  EXPECT_THAT(told("1/255"), ::testing::Not(Contains(HasSubstr("are scale, mean"))));
}

TEST_F(Compress, AFailedGateWritesTheBestSoFar) {
  const RunReport report = run(R"(
version: 1
data: {validation: data.npy}
steps:
  - eliminate-dead
  - prune-magnitude: {sparsity: 0.99}
    gate: {metric-drop: "<= 0.1 pt"}
)");
  EXPECT_TRUE(report.failed);
  EXPECT_TRUE(report.steps[1].rolled_back);
  EXPECT_EQ(report.layers[0].sparsity, 0);
  EXPECT_TRUE(has_output());
}

TEST_F(Compress, AFailedConstraintFailsTheRun) {
  const std::string steps = "version: 1\nsteps: [{prune-magnitude: {sparsity: 0.5}}]\n";
  EXPECT_TRUE(run(steps + "constraints: {size: \"<= 5 %\"}\n").failed);
  EXPECT_FALSE(run(steps + "constraints: {size: \"<= 95 %\"}\n").failed);
}

TEST_F(Compress, TheSeedChangesWhatIsHeldOut) {
  const std::string recipe = R"(
version: 1
data: {calibration: data.npy}
steps:
  - prune-magnitude: {sparsity: 0.9}
    gate: {metric-drop: "<= 90 pt", on-fail: warn}
)";
  const auto figure = [&](int seed) {
    return run(recipe + "seed: " + std::to_string(seed) + "\n").metric_baseline;
  };
  ASSERT_TRUE(figure(1));
  EXPECT_EQ(figure(1)->samples, 8u);
}

TEST_F(Compress, ADryRunComputesAndWritesNothing) {
  const RunReport report = run(kPruneAndShare, [](RunOptions& options) {
    options.dry_run = true;
    options.runtime = nullptr;
  });
  EXPECT_TRUE(report.dry_run);
  EXPECT_EQ(report.steps.size(), 2u);
  EXPECT_TRUE(report.steps[0].size_is_bound);
  const RunReport integers =
      run("steps: [quantize-weights, encode-weights]\n", [](RunOptions& options) {
        options.dry_run = true;
        options.runtime = nullptr;
      });
  for (const StepReport& step : integers.steps) {
    EXPECT_FALSE(step.size_is_bound) << "scales, and layers that stay, are not known";
  }
  EXPECT_FALSE(has_output());
}

TEST_F(Compress, KeepsTheStepsWhereAsked) {
  run(kPruneAndShare, [&](RunOptions& options) { options.keep_steps = folder_ / "steps"; });
  EXPECT_TRUE(std::filesystem::exists(folder_ / "steps/1-prune-magnitude.onnx"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "steps/2-share-weights.onnx"));
}

TEST_F(Compress, RefusesToWriteOverTheInputOrAnExistingFile) {
  const Recipe recipe =
      parse_recipe(kPruneAndShare, "recipe.yaml", folder_.path(), builtin_passes());
  RunOptions options;
  options.runtime = test::runtime();
  options.save.overwrite = true;
  EXPECT_THROW(
      compress(folder_ / "in.onnx", folder_ / "in.onnx", recipe, builtin_passes(), options), Error);
  options.save.overwrite = false;
  support::write_file_atomically(folder_ / "out.onnx", "precious");
  EXPECT_THROW(
      compress(folder_ / "in.onnx", folder_ / "out.onnx", recipe, builtin_passes(), options),
      Error);
  EXPECT_EQ(output(), "precious");
}

TEST_F(Compress, AnErrorLeavesNoFileBehind) {
  const size_t before = files();
  support::write_file_atomically(folder_ / "bad.npy", "not an array");
  EXPECT_THROW(run("version: 1\ndata: {validation: bad.npy}\nsteps: [eliminate-dead]\n"), Error);
  EXPECT_EQ(files(), before + 1);
}

TEST_F(Compress, ModelsThatDoNotLoadGetDataFreePassesOnly) {
  Model model = Model::load(folder_ / "in.onnx");
  Graph& graph = model.graph();
  const NodeRef relu = graph.find("y").producer().input(0).producer();
  graph.set_op(relu, "Unheard", "nobody");
  model.import_domain("nobody", 1);
  model.save(folder_ / "in.onnx", {.overwrite = true});
  const RunReport report = run("version: 1\nsteps: [{prune-magnitude: {sparsity: 0.9}}]\n");
  EXPECT_THAT(report.warnings, ::testing::Contains(HasSubstr("not run")));
  EXPECT_NEAR(report.layers[0].sparsity, 0.9, 0.001);
  try {
    run(kPruneAndShare);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel);
  }
}

}  // namespace
}  // namespace mcompress
