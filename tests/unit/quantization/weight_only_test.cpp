// SPDX-License-Identifier: Apache-2.0
#include "quantization/weight_only.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "mcompress/error.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress::quantization {
namespace {

/// A layer y = `node` over x and w, with a weight of sines.
struct Case {
  Model model;
  Layer layer;
  std::vector<float> values;

  explicit Case(const std::string& node, const Shape& shape = {150, 97})
      : model(test::model_from_text(
            R"(<ir_version: 8, opset_import: ["" : 17]> g (float[N,M] x, float[N] w) => (float[N] y)
            { y = )" + node + " }")) {
    for (int64_t i = 0; i < element_count(shape); ++i) {
      values.push_back(std::sin(static_cast<float>(i)) * static_cast<float>(i % 89 + 1));
    }
    Graph& graph = model.graph();
    graph.replace_uses(graph.find("w"), graph.add_constant("weight", Tensor::from(shape, values)));
    layer = find_layers(model).at(0);
  }

  WeightOnly plain(const WeightOnlyOptions& options) const {
    return quantize_weight_only(layer, Tensor::from(layer.weight_shape, values), {}, options);
  }
  /// From an odd place, as in a file.
  std::optional<WeightOnly> mapped(const WeightOnlyOptions& options) const {
    std::vector<std::byte> bytes(values.size() * sizeof(float) + 1);
    std::memcpy(bytes.data() + 1, values.data(), bytes.size() - 1);
    return quantize_mapped(layer, std::span<const std::byte>(bytes).subspan(1), options);
  }
};

TEST(QuantizeMapped, GivesWhatTheTensorGives) {
  const Case cases[] = {Case("MatMul(x, w)"), Case("Gemm<transB = 1>(x, w)", {97, 150}),
                        Case("Gemm<transB = 1>(x, w)", {300, 1500})};
  for (const Case& one : cases) {
    for (const WeightBits bits :
         {WeightBits::k8, WeightBits::k4, WeightBits::k2, WeightBits::kTernary}) {
      for (const bool symmetric : {true, false}) {
        if (bits == WeightBits::kTernary && !symmetric) continue;
        const WeightOnlyOptions options{.bits = bits, .symmetric = symmetric};
        const auto mapped = one.mapped(options);
        const bool signs_of_columns = bits == WeightBits::kTernary && one.layer.output_axis == 1;
        ASSERT_EQ(mapped.has_value(), !signs_of_columns);
        if (!mapped) continue;
        const WeightOnly plain = one.plain(options);
        EXPECT_EQ(mapped->weight.codes, plain.weight.codes);
        EXPECT_EQ(mapped->weight.scales, plain.weight.scales);
        EXPECT_EQ(mapped->weight.zero_points, plain.weight.zero_points);
        EXPECT_EQ(mapped->weight.axis, plain.weight.axis);
      }
    }
  }
}

TEST(QuantizeMapped, LeavesTheRestToTheTensor) {
  const Case product("MatMul(x, w)");
  EXPECT_FALSE(product.mapped({.bits = WeightBits::kTernary}));
  EXPECT_FALSE(product.mapped({.method = WeightMethod::kNearest}));
  EXPECT_FALSE(product.mapped({.bits = WeightBits::k4, .block = 50}));
  EXPECT_FALSE(product.mapped({.per_tensor = true}));
  Case broken("MatMul(x, w)");
  broken.values[4711] = std::nanf("");
  EXPECT_FALSE(broken.mapped({}));
  EXPECT_THROW(broken.plain({}), Unsupported);
}

}  // namespace
}  // namespace mcompress::quantization
