// SPDX-License-Identifier: Apache-2.0
#include "runtime/look_inside.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "runtime/private_folder.h"
#include "small_models.h"

namespace mcompress {
namespace {

using test::floats;
using test::runtime;
using test::text_model;

const char* const kFused = R"(g (float[2, 4] x) => (float[2, 3] z) {
    w = Constant<value = float[4, 3] {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1.0, 2.0, 3.0}>()
    b = Constant<value = float[3] {1.0, 2.0, 3.0}>()
    y = Gemm(x, w, b) r = Relu(y) z = Exp(r) })";

TEST(OptimizedNodes, ShowWhatWasFused) {
  const auto nodes = runtime()->optimized_nodes(text_model(kFused));
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].op, "FusedGemm");
  EXPECT_EQ(nodes[0].domain, "com.microsoft");
  EXPECT_EQ(nodes[1].op, "Exp");
  EXPECT_THAT(nodes[1].outputs, testing::ElementsAre("z"));
}

TEST(Profile, NamesNodesAndTheValuesTheyCompute) {
  const auto nodes =
      runtime()->profile(text_model(kFused), {{"x", floats({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8})}}, 3);
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].op, "FusedGemm");
  EXPECT_EQ(nodes[0].value, "r");
  EXPECT_EQ(nodes[1].name, "Exp:z");
  EXPECT_EQ(nodes[1].value, "z");
  EXPECT_GE(nodes[0].microseconds + nodes[1].microseconds, 0);
}

TEST(Profile, DropsTheWarmUpAndAverages) {
  const runtime::PrivateFolder folder;
  const auto path = folder.path() / "profile.json";
  std::ofstream(path) << R"([
      {"cat": "Session", "name": "model_loading_array", "ts": 0, "dur": 5},
      {"cat": "Node", "name": "a_kernel_time", "ts": 10, "dur": 1000, "args": {"op_name": "Conv"}},
      {"cat": "Session", "name": "model_run", "ts": 9, "dur": 1500},
      {"cat": "Node", "name": "a_fence_before", "ts": 2000, "dur": 9, "args": {"op_name": "Conv"}},
      {"cat": "Node", "name": "a_kernel_time", "ts": 2000, "dur": 10, "args": {"op_name": "Conv"}},
      {"cat": "Session", "name": "model_run", "ts": 2000, "dur": 30},
      {"cat": "Node", "name": "a_kernel_time", "ts": 3000, "dur": 20, "args": {"op_name": "Conv"}},
      {"cat": "Node", "name": "b_kernel_time", "ts": 3010, "dur": 8, "args": {"op_name": "Relu"}},
      {"cat": "Session", "name": "model_run", "ts": 3000, "dur": 30}])";
  const auto nodes = runtime::read_profile(path);
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].name, "a");
  EXPECT_DOUBLE_EQ(nodes[0].microseconds, 15);
  EXPECT_EQ(nodes[1].op, "Relu");
  EXPECT_DOUBLE_EQ(nodes[1].microseconds, 4);
}

TEST(Profile, SaysWhenItCannotBeRead) {
  const runtime::PrivateFolder folder;
  std::ofstream(folder.path() / "profile.json") << "[{";
  EXPECT_THROW(runtime::read_profile(folder.path() / "profile.json"), Error);
  EXPECT_THROW(runtime::read_optimized(folder.path() / "absent.onnx"), Error);
}

TEST(PrivateFolder, IsRemovedWithItsContents) {
  std::filesystem::path path;
  {
    const runtime::PrivateFolder folder;
    path = folder.path();
    std::ofstream(path / "file") << "x";
    EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms::owner_all);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace mcompress
