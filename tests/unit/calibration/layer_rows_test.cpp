// SPDX-License-Identifier: Apache-2.0
#include "calibration/layer_rows.h"

#include <gtest/gtest.h>

#include <random>

#include "analysis/layer_matrix.h"
#include "mcompress/runtime_service.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress {
namespace {

std::vector<float> random_values(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<float> values(count);
  for (float& v : values) v = static_cast<float>(engine() % 2001) / 1000.0F - 1.0F;
  return values;
}

/// The outputs of the only layer of a model `x`, `w` -> `y`, and the same from rows and matrix:
/// [groups][rows, outputs].
struct Products {
  Tensor y;
  std::vector<std::vector<float>> groups;
  int64_t rows = 0, outputs = 0;
};

/// `text` without the values of w, whose declaration ends in " w".
Products products(std::string text, const Shape& x_shape, const Shape& w_shape) {
  const std::string zeros = [&] {
    std::string list = " w = {0";
    for (int64_t i = 1; i < element_count(w_shape); ++i) list += ",0";
    return list + "}>";
  }();
  text.replace(text.find(" w>"), 3, zeros);
  Model model = test::model_from_text(text);
  const Tensor x = Tensor::from<float>(
      x_shape, random_values(static_cast<size_t>(element_count(x_shape)), 1));
  const auto weight = random_values(static_cast<size_t>(element_count(w_shape)), 2);
  model.graph().set_constant(model.graph().find("w"), Tensor::from<float>(w_shape, weight));
  Products result;
  result.y = make_onnx_runtime()->open(model)->run({{"x", x}})[0];
  const auto layers = find_layers(model);
  EXPECT_EQ(layers.size(), 1U);
  const calibration::LayerRows rows(layers[0]);
  EXPECT_EQ(rows.obstacle(), "");
  const analysis::LayerMatrix matrix(layers[0], weight);
  EXPECT_EQ(matrix.weight(), weight);
  EXPECT_EQ(matrix.inputs(), rows.columns());
  result.outputs = matrix.outputs();
  for (int64_t g = 0; g < matrix.groups(); ++g) {
    const auto input = rows.rows(x, g, 1);
    const auto w = matrix.group(g);
    result.rows = rows.count(x);
    auto& out = result.groups.emplace_back();
    for (int64_t r = 0; r < result.rows; ++r) {
      for (int64_t o = 0; o < result.outputs; ++o) {
        double sum = 0;
        for (int64_t k = 0; k < matrix.inputs(); ++k) {
          sum += input[static_cast<size_t>(r * matrix.inputs() + k)] *
                 w[static_cast<size_t>(k * result.outputs + o)];
        }
        out.push_back(static_cast<float>(sum));
      }
    }
  }
  return result;
}

void expect_near(std::span<const float> a, std::span<const float> b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5) << i;
}

std::string one_node(const std::string& node, const std::string& x, const std::string& w,
                     const std::string& y) {
  return R"(<ir_version: 8, opset_import: ["" : 13]> g ()" + x + ") => (" + y + ") <" + w +
         "> { " + node + " }";
}

struct ProductCase {
  const char* node;
  Shape x, w;
};

TEST(LayerRows, TimesTheMatrixAreWhatEveryGemmAndMatMulGives) {
  const ProductCase cases[] = {{"y = MatMul(x, w)", {4, 3}, {3, 5}},
                               {"y = Gemm(x, w)", {4, 3}, {3, 5}},
                               {"y = Gemm<transB = 1>(x, w)", {4, 3}, {5, 3}},
                               {"y = Gemm<transA = 1>(x, w)", {3, 4}, {3, 5}},
                               {"y = Gemm<transA = 1, transB = 1>(x, w)", {3, 4}, {5, 3}}};
  for (const auto& [node, x, w] : cases) {
    SCOPED_TRACE(node);
    const auto shape = [](const Shape& s) {
      return "[" + std::to_string(s[0]) + "," + std::to_string(s[1]) + "]";
    };
    const auto result = products(
        one_node(node, "float" + shape(x) + " x", "float" + shape(w) + " w", "float[4,5] y"), x, w);
    ASSERT_EQ(result.rows, 4);
    expect_near(result.groups[0], result.y.as<float>());
  }
}

TEST(LayerRows, AWeightOnTheLeftReadsColumns) {
  const auto result = products(
      one_node("y = MatMul(w, x)", "float[2,3,4] x", "float[5,3] w", "float[2,5,4] y"), {2, 3, 4},
      {5, 3});
  ASSERT_EQ(result.rows, 8);
  const auto y = result.y.as<float>();
  for (size_t batch = 0; batch < 2; ++batch) {
    for (size_t o = 0; o < 5; ++o) {
      for (size_t m = 0; m < 4; ++m) {
        EXPECT_NEAR(result.groups[0][(batch * 4 + m) * 5 + o], y[(batch * 5 + o) * 4 + m], 1e-5);
      }
    }
  }
}

TEST(LayerRows, GroupsOfAConvolutionHaveTheirOwn) {
  const auto result = products(
      one_node("y = Conv<group = 2, kernel_shape = [3, 3], auto_pad = \"SAME_UPPER\">(x, w)",
               "float[1,4,4,5] x", "float[6,2,3,3] w", "float[1,6,4,5] y"),
      {1, 4, 4, 5}, {6, 2, 3, 3});
  ASSERT_EQ(result.rows, 20);
  ASSERT_EQ(result.groups.size(), 2U);
  const auto y = result.y.as<float>();
  for (size_t g = 0; g < 2; ++g) {
    for (size_t o = 0; o < 3; ++o) {
      for (size_t p = 0; p < 20; ++p) {
        EXPECT_NEAR(result.groups[g][p * 3 + o], y[(g * 3 + o) * 20 + p], 1e-5);
      }
    }
  }
}

TEST(LayerRows, TransposedConvolutionSpreadsEachRowOverItsTaps) {
  // Stride = kernel: every output position belongs to one row and tap.
  const auto result = products(one_node("y = ConvTranspose<strides = [2], kernel_shape = [2]>(x, w)",
                                        "float[1,3,4] x", "float[3,2,2] w", "float[1,2,8] y"),
                               {1, 3, 4}, {3, 2, 2});
  ASSERT_EQ(result.rows, 4);
  const auto y = result.y.as<float>();
  for (size_t r = 0; r < 4; ++r) {
    for (size_t c = 0; c < 2; ++c) {
      for (size_t t = 0; t < 2; ++t) {
        EXPECT_NEAR(result.groups[0][r * 4 + c * 2 + t], y[c * 8 + r * 2 + t], 1e-5);
      }
    }
  }
}

}  // namespace
}  // namespace mcompress
