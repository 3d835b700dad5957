// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "mcompress/runtime_service.h"
#include "pipeline/layer_table.h"
#include "tests/support/memory_dataset.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress {
namespace {

Model two_layers(const std::string& first, const std::string& second) {
  return test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
    g (float[1,1,1,2] x) => (float[1,1,1,2] y)
    <float[2,1,1,1] A = {)" + first +
                               "}, float[1,2,1,1] B = {" + second + R"(}> {
      c = Conv(x, A)
      r = Relu(c)
      y = Conv(r, B)
    })");
}

// What equalize-ranges does to inner values is no damage: the layer that reads them makes up for
// it.
TEST(Parity, DividedValuesAreComparedAsWhatTheyStandFor) {
  Model before = two_layers("8.0, 2.0", "1.0, 4.0");
  Model after = two_layers("4.0, 4.0", "2.0, 2.0");
  const test::MemoryDataset data(
      {{{"x", Tensor::from<float>({1, 1, 1, 2}, std::vector<float>{1, 2})}}});
  const auto runtime = make_onnx_runtime();
  const std::vector<std::string> names{"c", "y"};
  const auto plain = value_parity(*runtime, before, after, names, data, 1);
  EXPECT_LT(plain.at("c").sqnr_db, 20);
  after.state().divided["c"] = {1, {2.0, 0.5}};
  const auto told = value_parity(*runtime, before, after, names, data, 1);
  EXPECT_TRUE(told.at("c").exact);
  EXPECT_TRUE(told.at("y").exact);
}

// Numbers that are lost are not left out of the sum, and of what never was a number nothing is
// exact.
TEST(Parity, NumbersThatAreLostAreTheWorst) {
  Model before = two_layers("3e38, 2.0", "1.0, 4.0");
  Model after = two_layers("3.4e38, 2.0", "1.0, 4.0");
  const auto data_of = [](float x) {
    return test::MemoryDataset(
        {{{"x", Tensor::from<float>({1, 1, 1, 2}, std::vector<float>{x, x})}}});
  };
  const auto runtime = make_onnx_runtime();
  const std::vector<std::string> names{"c", "y"};
  const auto lost = value_parity(*runtime, before, after, names, data_of(1.1F), 1);
  EXPECT_EQ(lost.at("c").sqnr_db, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(lost.at("c").cosine, 0);
  EXPECT_FALSE(lost.at("c").exact);
  const auto never = value_parity(*runtime, before, after, names, data_of(2), 1);
  EXPECT_TRUE(std::isnan(never.at("c").sqnr_db));
}

}  // namespace
}  // namespace mcompress
