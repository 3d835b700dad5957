// SPDX-License-Identifier: Apache-2.0
#include "quantization/rounding.h"

#include <gtest/gtest.h>

#include <random>

#include "analysis/layer_matrix.h"
#include "mcompress/error.h"
#include "numerics/moments.h"
#include "numerics/pair_rule.h"
#include "quantization/bias_correction.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress::quantization {
namespace {

using test::model_from_text;

/// A layer, its weight, and moments of 400 correlated rows per group.
struct Case {
  Model model;
  Layer layer;
  Tensor weight;
  std::vector<LayerMoments> moments, held_out;

  Case(const std::string& node, const Shape& shape)
      : model(
            model_from_text("<ir_version: 8, opset_import: [\"\" : 17]> g (float[N,M] x, float[N] "
                            "w) => (float[N] y) { y = " +
                            node + " }")) {
    std::mt19937 engine(5);
    std::normal_distribution<float> normal(0.0F, 1.0F);
    std::vector<float> values(static_cast<size_t>(element_count(shape)));
    for (float& v : values) v = normal(engine) * 0.1F;
    weight = Tensor::from<float>(shape, values);
    Graph& graph = model.graph();
    graph.replace_uses(graph.find("w"), graph.add_constant("weight", weight));
    layer = find_layers(model).at(0);
    const analysis::LayerMatrix matrix(layer, weight.as<float>());
    for (int64_t g = 0; g < matrix.groups(); ++g) {
      // Two samples of the same inputs: what is common to the inputs of the layer stays.
      std::vector<float> common(static_cast<size_t>(matrix.inputs()));
      for (float& c : common) c = normal(engine);
      moments.push_back(of_rows(matrix.inputs(), common, engine));
      held_out.push_back(of_rows(matrix.inputs(), common, engine));
    }
  }

  static LayerMoments of_rows(int64_t inputs, const std::vector<float>& common,
                              std::mt19937& engine) {
    std::normal_distribution<float> normal(0.0F, 1.0F);
    constexpr int64_t kRows = 400;
    std::vector<float> rows;
    for (int64_t r = 0; r < kRows; ++r) {
      const float shared = 2 * normal(engine);
      float carried = normal(engine);
      for (int64_t k = 0; k < inputs; ++k) {
        carried = 0.9F * carried + 0.4F * normal(engine);
        rows.push_back(carried + shared * common[static_cast<size_t>(k)] + 0.5F);
      }
    }
    numerics::InputMoments sums(inputs);
    sums.add(rows);
    return {inputs, kRows, sums.gram(), sums.mean()};
  }

  double error(const RoundingOptions& options, bool unseen = false) const {
    const RoundedWeight rounded = round_weight(layer, weight, moments, options);
    return relative_output_error(layer, weight, dequantized(layer, rounded, options.block),
                                 unseen ? held_out : moments);
  }
};

RoundingOptions with(Rounding method, int bits, int64_t block = 0, bool symmetric = true) {
  RoundingOptions options;
  options.method = method;
  options.range = numerics::int_range(bits, true, symmetric);
  options.symmetric = symmetric;
  options.block = block;
  return options;
}

const std::vector<std::pair<std::string, Shape>>& layers() {
  static const std::vector<std::pair<std::string, Shape>> kLayers{
      {"MatMul(x, w)", {48, 24}},
      {"Gemm <transB = 1> (x, w)", {24, 48}},
      {"MatMul(w, x)", {24, 48}},
      {"Conv(x, w)", {24, 8, 3, 2}},
      {"Conv <group = 2> (x, w)", {12, 8, 3, 2}},
      {"Conv <group = 12> (x, w)", {12, 1, 3, 3}},
      {"ConvTranspose <group = 2> (x, w)", {32, 6, 2, 2}},
  };
  return kLayers;
}

TEST(RoundWeight, EveryMethodInTheLayoutOfEveryLayer) {
  for (const auto& [node, shape] : layers()) {
    SCOPED_TRACE(node);
    const Case c(node, shape);
    const double nearest = c.error(with(Rounding::kNearest, 4));
    EXPECT_GT(nearest, 0);
    EXPECT_LT(c.error(with(Rounding::kNearest, 8)), 0.02 * nearest);
    EXPECT_LT(c.error(with(Rounding::kMse, 4)), 1.1 * nearest);
    EXPECT_LT(c.error(with(Rounding::kGptq, 4)), 0.6 * nearest);
    RoundingOptions adaptive = with(Rounding::kAdaptive, 4);
    adaptive.steps = 100;
    EXPECT_LT(c.error(adaptive), 0.6 * nearest);
    const RoundedWeight rounded = round_weight(c.layer, c.weight, c.moments, adaptive);
    EXPECT_EQ(rounded.codes.size(), static_cast<size_t>(c.weight.count()));
    EXPECT_EQ(rounded.scale_shape, (Shape{shape[static_cast<size_t>(c.layer.output_axis)]}));
  }
}

// Of wide layers moments are taken of parts of the inputs: as good as all of them where the parts have nothing in common.
TEST(RoundWeight, PartsOfTheInputsHaveMomentsOfTheirOwn) {
  const Case c("Conv(x, w)", {24, 8, 3, 2});
  constexpr size_t kInputs = 48, kPart = 24;
  LayerMoments whole = c.moments[0];
  std::vector<LayerMoments> parts(2, {kPart, whole.rows, {}, {}});
  for (size_t i = 0; i < kInputs; ++i) {
    parts[i / kPart].mean.push_back(whole.mean[i]);
    for (size_t j = 0; j < kInputs; ++j) {
      double& value = whole.gram[i * kInputs + j];
      if (i / kPart == j / kPart) parts[i / kPart].gram.push_back(value);
      if (i / kPart != j / kPart) value = 0;
    }
  }
  const auto error = [&](const RoundingOptions& options, std::span<const LayerMoments> moments) {
    const RoundedWeight rounded = round_weight(c.layer, c.weight, moments, options);
    return relative_output_error(c.layer, c.weight, dequantized(c.layer, rounded), {&whole, 1});
  };
  for (const Rounding method : {Rounding::kGptq, Rounding::kAdaptive}) {
    EXPECT_LT(error(with(method, 4), parts), 1.1 * error(with(method, 4), {&whole, 1}));
    EXPECT_LT(error(with(method, 4), parts), 0.6 * error(with(Rounding::kNearest, 4), parts));
  }
  RoundingOptions paired = with(Rounding::kGptq, 8);
  paired.pair_rule = true;
  const RoundedWeight rounded = round_weight(c.layer, c.weight, parts, paired);
  EXPECT_EQ(numerics::count_pair_violations(rounded.codes, analysis::reduction_layout(c.layer)), 0);
  const auto changed = dequantized(c.layer, rounded);
  const auto values = c.weight.as<float>();
  EXPECT_EQ(mean_output_shift(c.layer, values, changed, parts),
            mean_output_shift(c.layer, values, changed, {&whole, 1}));
}

TEST(RoundWeight, BlocksOfInputs) {
  for (const auto& [node, shape] : layers()) {
    SCOPED_TRACE(node);
    const Case c(node, shape);
    if (c.layer.kind == LayerKind::kConvTranspose) {
      EXPECT_THROW(c.error(with(Rounding::kNearest, 4, 16)), Unsupported);
      continue;
    }
    for (const bool symmetric : {true, false}) {
      const RoundingOptions nearest = with(Rounding::kNearest, 4, 4, symmetric);
      const RoundedWeight rounded = round_weight(c.layer, c.weight, {}, nearest);
      const bool outputs_first =
          c.layer.kind == LayerKind::kConv || c.layer.output_axis < c.layer.input_axis;
      const int64_t inputs = c.moments[0].inputs, blocks = (inputs + 3) / 4;
      EXPECT_EQ(rounded.scale_shape, outputs_first ? (Shape{c.layer.outputs, blocks})
                                                   : (Shape{blocks, c.layer.outputs}));
      EXPECT_EQ(rounded.zero_points.empty(), symmetric);
      EXPECT_LT(c.error(nearest), c.error(with(Rounding::kNearest, 4, 0, symmetric)));
      EXPECT_LT(c.error(with(Rounding::kGptq, 4, 4, symmetric)), 0.7 * c.error(nearest));
    }
  }
}

// Issue 4: INT4 GPTQ against rounding to nearest on rows that it has not seen; 2 bits lose less
// than a quarter.
TEST(RoundWeight, GptqHoldsOnUnseenRows) {
  const Case c("MatMul(x, w)", {96, 48});
  EXPECT_LT(c.error(with(Rounding::kGptq, 4), true),
            0.6 * c.error(with(Rounding::kNearest, 4), true));
  EXPECT_LT(c.error(with(Rounding::kGptq, 2), true),
            0.25 * c.error(with(Rounding::kNearest, 2), true));
}

TEST(RoundWeight, ObeysThePairRule) {
  for (const auto& [node, shape] : layers()) {
    const Case c(node, shape);
    if (c.layer.is_depthwise()) continue;
    SCOPED_TRACE(node);
    for (const Rounding method :
         {Rounding::kNearest, Rounding::kMse, Rounding::kGptq, Rounding::kAdaptive}) {
      RoundingOptions options = with(method, 8);
      options.pair_rule = true;
      options.steps = 60;
      const auto rounded = round_weight(c.layer, c.weight, c.moments, options);
      EXPECT_EQ(numerics::count_pair_violations(rounded.codes, analysis::reduction_layout(c.layer)),
                0)
          << static_cast<int>(method);
    }
    RoundingOptions paired = with(Rounding::kGptq, 8), nearest = with(Rounding::kNearest, 8);
    paired.pair_rule = nearest.pair_rule = true;
    EXPECT_LT(c.error(paired), 0.8 * c.error(nearest));
  }
}

TEST(RoundWeight, KeepsScalesThatAreGiven) {
  const Case c("Conv(x, w)", {6, 8, 3, 3});
  RoundingOptions options = with(Rounding::kGptq, 8);
  options.pair_rule = true;
  std::vector<float> scales = round_weight(c.layer, c.weight, c.moments, options).scales;
  for (float& s : scales) s *= 3;
  options.scales = scales;
  EXPECT_EQ(round_weight(c.layer, c.weight, c.moments, options).scales, scales);
}

TEST(RoundWeight, SaysWhatIsMissing) {
  Case c("MatMul(x, w)", {48, 24});
  EXPECT_NE(round_weight(c.layer, c.weight, {}, with(Rounding::kGptq, 4)).note.find("no moments"),
            std::string::npos);
  c.moments[0].rows = 20;
  EXPECT_EQ(round_weight(c.layer, c.weight, c.moments, with(Rounding::kGptq, 4)).note,
            "20 rows for 48 inputs: damped");
}

TEST(RoundWeight, TheBiasTakesTheMean) {
  const Case c("MatMul(x, w)", {48, 24});
  const auto error_beside_mean = [&](bool bias_takes_mean) {
    RoundingOptions options = with(Rounding::kGptq, 3);
    options.bias_takes_mean = bias_takes_mean;
    const auto changed = dequantized(c.layer, round_weight(c.layer, c.weight, c.moments, options));
    const auto shift = mean_output_shift(c.layer, c.weight.as<float>(), changed, c.moments);
    EXPECT_EQ(shift.size(), 24U);
    double mean = 0;  // of the squared mean error of the outputs
    for (const float s : shift) mean += static_cast<double>(s) * s;
    const double total = relative_output_error(c.layer, c.weight, changed, c.moments);
    const std::vector<float> zeros(static_cast<size_t>(c.weight.count()), 0.0F);
    double signal = 0;
    const auto w = c.weight.as<float>();
    for (size_t i = 0; i < 48; ++i) {
      for (size_t j = 0; j < 48; ++j) {
        for (size_t o = 0; o < 24; ++o) {
          signal += w[i * 24 + o] * c.moments[0].gram[i * 48 + j] * w[j * 24 + o];
        }
      }
    }
    return total * signal - mean;
  };
  EXPECT_LE(error_beside_mean(true), error_beside_mean(false));
}

TEST(MeanOutputShift, IsTheChangeTimesTheMean) {
  const Case c("Conv <group = 2> (x, w)", {4, 2, 1, 1});
  std::vector<float> changed(c.weight.as<float>().begin(), c.weight.as<float>().end());
  changed[5] += 1;  // output 2, the second input of group 1
  const auto shift = mean_output_shift(c.layer, c.weight.as<float>(), changed, c.moments);
  ASSERT_EQ(shift.size(), 4U);
  EXPECT_NEAR(shift[2], -c.moments[1].mean[1], 1e-5);
  EXPECT_EQ(shift[0], 0.0F);
  EXPECT_TRUE(mean_output_shift(c.layer, c.weight.as<float>(), changed, {}).empty());
}

}  // namespace
}  // namespace mcompress::quantization
