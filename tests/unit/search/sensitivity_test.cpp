// SPDX-License-Identifier: Apache-2.0
#include "search/sensitivity.h"

#include <gmock/gmock.h>

#include <fmt/format.h>

#include "tests/support/memory_dataset.h"
#include "tests/support/pass_test.h"

namespace mcompress::search {
namespace {

using ::testing::HasSubstr;

std::string weights(size_t count, size_t outlier_every, double outlier) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    const double small = static_cast<double>(i * 37 % 101) / 100 - 0.5;
    const double value = outlier_every > 0 && i % outlier_every == 0 ? outlier : small;
    text += fmt::format("{}{:.4f}", i == 0 ? "" : ", ", value);
  }
  return text;
}

/// Three products; the weights of the second are small beside one of each column that is huge and
/// meets an input that is always 0: no scale fits both.
Model with_bad_layer() {
  return test::parse_model(
      "g (float[2,16] x) => (float[2,8] y) <float[16,16] w1 = {" + weights(256, 0, 0) +
      "}, float[17,16] w2 = {" + weights(16, 1, 900) + ", " + weights(256, 0, 0) +
      "}, float[16,8] w3 = {" + weights(128, 0, 0) +
      "}, float[2,1] none = {0, 0}> {\n"
      "# name a block/one\n# name b block/two\n# name y last\n"
      " a = MatMul(x, w1)\n r = Relu(a)\n c = Concat<axis = 1>(none, r)\n b = MatMul(c, w2)\n"
      " s = Relu(b)\n y = MatMul(s, w3)\n}");
}

class SensitivityTest : public ::testing::Test {
 protected:
  SensitivityTest()
      : model_(with_bad_layer()),
        context_(test::make_data_context(model_)),
        manager_(builtin_passes(), context_),
        outputs_(*test::runtime(), model_, context_.calibration().data(), 4, 1) {}

  std::vector<SensitivityLayer> measure(std::vector<Choice> choices, bool by_block = false) {
    return measure_sensitivity({.base = &model_,
                                .manager = &manager_,
                                .context = &context_,
                                .outputs = &outputs_,
                                .costs = &costs_,
                                .choices = &choices,
                                .by_block = by_block,
                                .encode = false});
  }
  static Choice choice(const std::string& name, const std::string& pass) {
    Choice one;
    one.name = name;
    one.step.pass = pass;
    return one;
  }

  Model model_;
  PassContext context_;
  PassManager manager_;
  OutputDamage outputs_;
  const quantization::CostModel costs_{Target{}};
};

TEST_F(SensitivityTest, ABadLayerRanksFirst) {
  const Fingerprint before = model_.fingerprint();
  const auto rows = measure({choice("int8-weights", "quantize-weights")});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].name, "block/two");
  EXPECT_GT(*rows[0].changes[0].damage, 100 * *rows[1].changes[0].damage);
  EXPECT_LT(*rows[0].changes[0].sqnr_db, *rows[1].changes[0].sqnr_db);
  EXPECT_GT(*rows[0].changes[0].bytes_saved, 0);
  EXPECT_EQ(model_.fingerprint(), before);
}

TEST_F(SensitivityTest, WhatAPassLeavesAloneHasItsReason) {
  Choice one = choice("int8-dynamic", "quantize-dynamic");
  one.step.skip = {"last"};
  const auto rows = measure({one});
  ASSERT_EQ(rows.size(), 3u);
  for (const SensitivityLayer& row : rows) {
    EXPECT_FALSE(row.changes[0].applied);
    EXPECT_THAT(row.changes[0].reason,
                HasSubstr(row.name == "last" ? "skip: 'last'" : "too few to gain"));
  }
}

TEST_F(SensitivityTest, BlocksAreChangedTogether) {
  const auto rows = measure({choice("int8-weights", "quantize-weights")}, true);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].name, "block");
  EXPECT_EQ(rows[0].members, (std::vector<std::string>{"block/one", "block/two"}));
  EXPECT_EQ(rows[1].members, (std::vector<std::string>{"last"}));
  EXPECT_EQ(block_of("/a/b/MatMul"), "/a/b");
  EXPECT_EQ(block_of("fc.weight"), "fc");
  EXPECT_EQ(block_of("/Conv"), "/Conv");
  EXPECT_EQ(block_of("Conv_3"), "Conv_3");
}

}  // namespace
}  // namespace mcompress::search
