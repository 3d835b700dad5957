// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "mcompress/error.h"
#include "mcompress/layer.h"
#include "tests/support/model_text.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

constexpr const char* kLayers = R"(
  # name c stem
  # name d depth
  # name t up
  # name p proj
  # name q mul
  # name e embed
  g (float[1,2,4,4] x, float[3,4] z, int64[2] ids) => (float[1,2,4,4] d, float[1,2,4,4] t, float[3,5] p, float[3,6] q, float[2,3] e, float[5,4] l)
  <float[2,1,1,1] Wd = {1.0, 2.0}, float[2,2,1,1] Wc = {1.0, 2.0, 3.0, 4.0}, float[2,1,1,1] Wt = {1.0, 2.0},
   float[5,4] Wp = {1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0},
   float[4,6] Wq = {1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0},
   float[7,3] We = {1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0},
   float[5,3] Wl = {1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0}, float[5] b = {1.0,1.0,1.0,1.0,1.0}> {
    c = Conv(x, Wc)
    d = Conv <group = 2> (c, Wd)
    t = ConvTranspose <group = 2> (x, Wt)
    p = Gemm <transB = 1> (z, Wp, b)
    q = MatMul(z, Wq)
    e = Gather(We, ids)
    l = MatMul(Wl, z)
  })";

TEST(FindLayers, KnowsTheAxesOfEveryKind) {
  Model model = parse_model(kLayers);
  const std::vector<Layer> layers = find_layers(model);
  ASSERT_EQ(layers.size(), 7U);
  const auto expect = [&layers](size_t i, LayerKind kind, int out_axis, int in_axis,
                                int64_t outputs, int64_t inputs, int64_t groups) {
    SCOPED_TRACE(layers[i].name);
    EXPECT_EQ(layers[i].kind, kind);
    EXPECT_EQ(layers[i].output_axis, out_axis);
    EXPECT_EQ(layers[i].input_axis, in_axis);
    EXPECT_EQ(layers[i].outputs, outputs);
    EXPECT_EQ(layers[i].inputs, inputs);
    EXPECT_EQ(layers[i].groups, groups);
  };
  expect(0, LayerKind::kConv, 0, 1, 2, 2, 1);
  expect(1, LayerKind::kConv, 0, 1, 2, 2, 2);
  EXPECT_TRUE(layers[1].is_depthwise());
  expect(2, LayerKind::kConvTranspose, 1, 0, 2, 2, 2);
  expect(3, LayerKind::kGemm, 0, 1, 5, 4, 1);
  EXPECT_TRUE(static_cast<bool>(layers[3].bias));
  expect(4, LayerKind::kMatMul, 1, 0, 6, 4, 1);
  expect(5, LayerKind::kEmbedding, 1, 0, 3, 7, 1);
  expect(6, LayerKind::kMatMul, 0, 1, 5, 3, 1);
  EXPECT_EQ(layers[6].weight_input, 0);
}

TEST(FindLayers, SeesRecurrentWeights) {
  Model model = parse_model(R"(
    # initializer float16 W [1, 4, 2] 0 0 0 0 0 0 0 0
    # initializer float16 R [1, 4, 1] 0 0 0 0
    g (float16[3,1,2] x) => (float16[3,1,1,1] y) { y = LSTM <hidden_size = 1> (x, W, R) })");
  const std::vector<Layer> layers = find_layers(model);
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_EQ(layers[0].kind, LayerKind::kRecurrent);
  EXPECT_EQ(layers[0].inputs, 2);
  EXPECT_EQ(layers[1].weight_input, 2);
  EXPECT_NE(layers[0].name, layers[1].name);
}

TEST(FindLayers, EveryStoring) {
  const Model model = parse_model(R"(
    g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {1.0, 2.0, 3.0, 4.0}> { y = MatMul(x, W) })");
  for (Storing& storing : six_storings(model, "W")) {
    SCOPED_TRACE(storing.how);
    const std::vector<Layer> layers = find_layers(storing.model);
    const bool in_bodies = storing.how.find("bodies") != std::string::npos;
    ASSERT_EQ(layers.size(), in_bodies ? 2U : 1U);
    EXPECT_EQ(layers[0].shared_weight,
              storing.how == "shared" || storing.how == "captured by bodies");
    EXPECT_EQ(layers[0].weight.constant()->to_float(), (std::vector<float>{1, 2, 3, 4}));
  }
}

TEST(FindLayers, SkipsWhatIsNoConstant) {
  Model model = parse_model(R"(
    g (float[3,2] x, float[2,2] W = {1.0, 2.0, 3.0, 4.0}) => (float[3,2] y, float[3,3] z) {
      y = MatMul(x, W)
      t = Transpose <perm = [1, 0]> (x)
      z = MatMul(x, t)
    })");
  EXPECT_TRUE(find_layers(model).empty());
}

TEST(LayerSelection, GlobsNamesOpsAndPositions) {
  Model model = parse_model(kLayers);
  const std::vector<Layer> layers = find_layers(model);
  const auto selected = [&layers](std::vector<std::string> only, std::vector<std::string> skip) {
    const LayerSelection selection(std::move(only), std::move(skip));
    std::string names;
    for (size_t i = 0; i < layers.size(); ++i) {
      if (selection.reason_to_skip(layers, i).empty()) names += layers[i].output;
    }
    return names;
  };
  EXPECT_EQ(selected({}, {}), "cdtpqel");
  EXPECT_EQ(selected({"op:Conv*"}, {}), "cdt");
  EXPECT_EQ(selected({}, {"first", "last", "depthwise"}), "pqe");
  EXPECT_EQ(selected({"*e*"}, {"embed"}), "cd");
  EXPECT_EQ(selected({"st?m", "q"}, {}), "cq");
  EXPECT_EQ(LayerSelection({"op:Conv"}, {"op:Relu", "nobody"}).unmatched(layers),
            (std::vector<std::string>{"op:Relu", "nobody"}));
  EXPECT_THROW(LayerSelection({""}, {}), Error);
  EXPECT_THROW(LayerSelection({}, {"op:"}), Error);
}

}  // namespace
}  // namespace mcompress::test
