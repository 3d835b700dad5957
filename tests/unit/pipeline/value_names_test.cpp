// SPDX-License-Identifier: Apache-2.0
#include "pipeline/value_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/short_names.h"
#include "mcompress/layer.h"
#include "mcompress/runtime_service.h"
#include "pipeline/layer_table.h"
#include "tests/support/memory_dataset.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress {
namespace {

using ::testing::IsEmpty;

constexpr const char* kTwoLayers = R"(<ir_version: 8, opset_import: ["" : 13]>
    g (float[1,1,1,2] x) => (float[1,1,1,2] y)
    <float[2,1,1,1] A = {1.0, 2.0}, float[1,2,1,1] B = {3.0, 4.0}, float s = {2.0}> {
      first = Conv(x, A)
      scaled = Mul(first, s)
      active = Relu(scaled)
      y = Conv(active, B)
    })";

class ShortNames : public ::testing::Test {
 protected:
  Model before_ = test::model_from_text(kTwoLayers);
  Model after_ = before_.clone();
  const test::MemoryDataset data_{
      {{{"x", Tensor::from<float>({1, 1, 1, 2}, std::vector<float>{1, 2})}}}};
  std::shared_ptr<RuntimeService> runtime_ = make_onnx_runtime();
};

TEST_F(ShortNames, LeadBackToTheLayersOfTheInputModel) {
  ir::shorten_names(after_);
  std::vector<PassContext::Decision> decisions(1);
  decisions[0].output = "first";
  decisions[0].decision.method = "pruned";
  std::vector<StepReport> steps;
  const auto rows = layer_table({.before = &before_,
                                 .after = &after_,
                                 .decisions = &decisions,
                                 .steps = &steps,
                                 .runtime = runtime_.get(),
                                 .data = &data_,
                                 .sample = data_.feeds(0, 1)});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].output, "first");
  EXPECT_EQ(rows[0].method, "pruned");
  for (const LayerReport& row : rows) {
    EXPECT_EQ(row.bytes_before, row.bytes_after) << row.output;
    EXPECT_GT(row.sqnr_db.value_or(0), 1e6) << row.output;
    EXPECT_TRUE(row.microseconds_after.has_value()) << row.output;
  }
}

// A layer that took a factor in computes what came out behind it, under that name, before it is
// renamed again.
TEST_F(ShortNames, LeadBackThroughAnEarlierRenaming) {
  Graph& graph = after_.graph();
  const ValueRef first = graph.find("first"), scaled = graph.find("scaled");
  graph.set_constant(graph.find("A"), Tensor::from<float>({2, 1, 1, 1}, std::vector<float>{2, 4}));
  const NodeRef multiply = scaled.producer();
  graph.set_input(multiply, 0, graph.find("x"));
  graph.supersede(scaled, first);
  graph.erase(multiply);
  ir::shorten_names(after_);
  const ValueNames names(before_, after_);
  const std::string now = names.now("first");
  EXPECT_EQ(now.size(), 1U);
  EXPECT_EQ(names.layer_before(now), "first");
  EXPECT_EQ(names.value_before(now), "scaled");
  const auto parity = value_parity(*runtime_, before_, after_, {"first", "y"}, data_, 1);
  EXPECT_TRUE(parity.at("first").exact);
}

TEST_F(ShortNames, OfAFileAreRecognisedByTheOrderOfLayers) {
  ir::shorten_names(after_);
  after_.state() = {};
  EXPECT_TRUE(recognise_by_order(before_, after_));
  const std::string now = find_layers(after_)[0].output;
  EXPECT_EQ(ValueNames(before_, after_).layer_before(now), "first");

  Model other = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
    g (float[1,1,1,2] x) => (float[1,1,1,2] y) <float[1,1,1,1] A = {1.0}> { a = Conv(x, A)  y = Conv(a, A) })");
  EXPECT_FALSE(recognise_by_order(before_, other));
  EXPECT_THAT(other.state().origin, IsEmpty());
}

TEST_F(ShortNames, AreNotGuessedWhereLayersHaveTheirNames) {
  Model renamed = test::model_from_text(kTwoLayers);
  EXPECT_FALSE(recognise_by_order(before_, renamed));
  EXPECT_THAT(renamed.state().origin, IsEmpty());
}

}  // namespace
}  // namespace mcompress
