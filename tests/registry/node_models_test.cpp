// SPDX-License-Identifier: Apache-2.0
//
// The passes that cost no accuracy over Debian's operator models (package libonnx-testdata): none
// may crash, and what comes out must compute the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "mcompress/error.h"
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

namespace fs = std::filesystem;

const char* const kPasses[] = {"eliminate-dead",     "eliminate-identity", "fold-constants",
                               "fold-batch-norm",    "fuse-activations",   "fold-affine",
                               "eliminate-identity", "share-initializers", "eliminate-dead",
                               "shorten-names"};

/// Random operators are random, and these read nothing that random_feeds can make up.
bool is_left_out(const std::string& name) {
  for (const char* part :
       {"bernoulli", "random", "training_dropout", "sequence", "optional", "string"}) {
    if (name.find(part) != std::string::npos) return true;
  }
  return false;
}

class NodeModels : public testing::TestWithParam<const char*> {};

/// Outputs, or nothing where the model does not run on made-up inputs.
std::optional<std::vector<Tensor>> run(const Model& model, const Feeds& feeds) {
  try {
    SessionOptions options;
    options.optimize = false;
    return runtime()->open(model, options)->run(feeds);
  } catch (const Error&) {
    return std::nullopt;
  }
}

TEST_P(NodeModels, ComputeTheSame) {
  const fs::path folder = fs::path("/usr/share/libonnx-testdata/data") / GetParam();
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is not installed";
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "model.onnx")) files.push_back(entry.path() / "model.onnx");
  }
  std::sort(files.begin(), files.end());
  int changed = 0, compared = 0;
  for (const fs::path& file : files) {
    const std::string name = file.parent_path().filename().string();
    if (is_left_out(name)) continue;
    SCOPED_TRACE(name);
    try {
      Model model = Model::load(file);
      if (runtime()->load_error(model)) continue;
      const Model before = model.clone();
      bool any = false;
      for (const char* pass : kPasses) any = run_pass(pass, model).changed || any;
      changed += any ? 1 : 0;
      if (!any) continue;
      const Feeds feeds = random_feeds(before, 3);
      const auto expected = run(before, feeds);
      if (!expected) continue;
      const auto actual = run(model, feeds);
      ASSERT_TRUE(actual.has_value()) << "does not run any more";
      EXPECT_EQ(difference(*expected, *actual, 1e-4), "");
      ++compared;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kBug) ADD_FAILURE() << error.message();
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
  RecordProperty("changed", changed);
  RecordProperty("compared", compared);
}

INSTANTIATE_TEST_SUITE_P(Debian, NodeModels,
                         testing::Values("node", "simple", "pytorch-converted", "pytorch-operator"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mcompress::test
