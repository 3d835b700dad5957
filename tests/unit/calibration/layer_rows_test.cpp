// SPDX-License-Identifier: Apache-2.0
#include "analysis/layer_rows.h"

#include <gtest/gtest.h>

#include <map>
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
  const Tensor x =
      Tensor::from<float>(x_shape, random_values(static_cast<size_t>(element_count(x_shape)), 1));
  const auto weight = random_values(static_cast<size_t>(element_count(w_shape)), 2);
  model.graph().set_constant(model.graph().find("w"), Tensor::from<float>(w_shape, weight));
  Products result;
  result.y = make_onnx_runtime()->open(model)->run({{"x", x}})[0];
  const auto layers = find_layers(model);
  EXPECT_EQ(layers.size(), 1U);
  const analysis::LayerRows rows(layers[0]);
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
  return R"(<ir_version: 8, opset_import: ["" : 13]> g ()" + x + ") => (" + y + ") <" + w + "> { " +
         node + " }";
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
  const auto result =
      products(one_node("y = MatMul(w, x)", "float[2,3,4] x", "float[5,3] w", "float[2,5,4] y"),
               {2, 3, 4}, {5, 3});
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
  const auto result =
      products(one_node("y = ConvTranspose<strides = [2], kernel_shape = [2]>(x, w)",
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

/// A random convolution that reads `x<i>` of the model below.
struct RandomConv {
  Shape x, w;
  std::vector<Attribute> attributes;
};

RandomConv random_conv(std::mt19937& engine) {
  const auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(engine() % static_cast<uint32_t>(high - low + 1));
  };
  const auto axes = static_cast<size_t>(pick(1, 2));
  const int64_t groups = pick(1, 3);
  const int64_t channels = groups * pick(1, 3);
  RandomConv conv;
  conv.x = {pick(1, 2), channels};
  conv.w = {groups * pick(1, 2), channels / groups};
  std::vector<int64_t> kernel, strides, dilations, pads(2 * axes);
  for (size_t axis = 0; axis < axes; ++axis) {
    conv.x.push_back(pick(5, 8));
    conv.w.push_back(kernel.emplace_back(pick(1, 3)));
    strides.push_back(pick(1, 3));
    dilations.push_back(pick(1, 2));
  }
  conv.attributes = {{"kernel_shape", kernel}, {"group", groups}};
  if (pick(0, 3) > 0) conv.attributes.push_back({"strides", strides});
  const char* const kinds[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
  const auto kind = static_cast<size_t>(pick(0, 5));
  if (kind >= 1 && kind < 4) {
    conv.attributes.push_back({"auto_pad", std::string(kinds[kind])});
  } else {
    for (int64_t& pad : pads) pad = pick(0, 2);
    if (pick(0, 3) > 0) conv.attributes.push_back({"pads", pads});
  }
  // The runtime refuses SAME pads with dilations.
  if (kind < 2 || kind >= 4) conv.attributes.push_back({"dilations", dilations});
  return conv;
}

/// The largest difference between X W + b and the output, over its largest magnitude.
double worst_difference(const Layer& layer, const Tensor& x, const Tensor& y) {
  const analysis::LayerRows rows(layer);
  const std::vector<float> weight = layer.weight.constant()->to_float();
  const std::vector<float> bias = layer.bias.constant()->to_float();
  const analysis::LayerMatrix matrix(layer, weight);
  const auto out = y.as<float>();
  const int64_t batch = x.shape()[0], positions = rows.count(x) / batch;
  if (y.count() != batch * positions * layer.outputs) return 1;
  double worst = 0, most = 1;
  for (int64_t g = 0; g < matrix.groups(); ++g) {
    const auto input = rows.rows(x, g, 1);
    const auto w = matrix.group(g);
    for (int64_t r = 0; r < rows.count(x); ++r) {
      for (int64_t o = 0; o < matrix.outputs(); ++o) {
        const int64_t channel = g * matrix.outputs() + o;
        double sum = bias[static_cast<size_t>(channel)];
        for (int64_t k = 0; k < matrix.inputs(); ++k) {
          sum += double{input[static_cast<size_t>(r * matrix.inputs() + k)]} *
                 w[static_cast<size_t>(k * matrix.outputs() + o)];
        }
        const double got = out[static_cast<size_t>(
            (r / positions * layer.outputs + channel) * positions + r % positions)];
        worst = std::max(worst, std::abs(got - sum));
        most = std::max(most, std::abs(got));
      }
    }
  }
  return worst / most;
}

TEST(LayerRows, AreWhatTheRuntimesConvolutionsMultiply) {
  constexpr size_t kConvs = 500;
  std::mt19937 engine(17);
  std::vector<RandomConv> convs;
  std::string inputs;
  for (size_t i = 0; i < kConvs; ++i) {
    convs.push_back(random_conv(engine));
    std::string dims;
    for (const int64_t d : convs[i].x) dims += (dims.empty() ? "" : ",") + std::to_string(d);
    inputs += (i == 0 ? "float[" : ", float[") + dims + "] x" + std::to_string(i);
  }
  Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]> g ()" + inputs +
                                      ") => (float[N] y) { y = Flatten(x0) }");
  Graph& graph = model.graph();
  Feeds feeds;
  SessionOptions options;
  options.only_extra = true;
  for (uint32_t i = 0; i < kConvs; ++i) {
    const RandomConv& conv = convs[i];
    const std::string x = "x" + std::to_string(i);
    const auto constant = [&](const Shape& shape, uint32_t seed) {
      return graph.add_constant(
          "c", Tensor::from<float>(shape,
                                   random_values(static_cast<size_t>(element_count(shape)), seed)));
    };
    const NodeRef node = graph.insert(
        {.op = "Conv",
         .inputs = {graph.find(x), constant(conv.w, 3 * i), constant({conv.w[0]}, 3 * i + 1)},
         .attributes = conv.attributes});
    feeds.push_back(
        {x, Tensor::from<float>(
                conv.x, random_values(static_cast<size_t>(element_count(conv.x)), 3 * i + 2))});
    options.extra_outputs.push_back(node.output_name());
  }
  const auto outputs = make_onnx_runtime()->open(model, options)->run(feeds);
  std::map<std::string, size_t> at;
  for (size_t i = 0; i < kConvs; ++i) at[options.extra_outputs[i]] = i;
  const auto layers = find_layers(model);
  ASSERT_EQ(layers.size(), kConvs);
  for (const Layer& layer : layers) {
    const size_t i = at.at(layer.output);
    EXPECT_LT(worst_difference(layer, feeds[i].tensor, outputs[i]), 1e-4)
        << "x " << to_string(convs[i].x) << " w " << to_string(convs[i].w);
  }
}

}  // namespace
}  // namespace mcompress
