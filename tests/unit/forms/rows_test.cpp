// SPDX-License-Identifier: Apache-2.0
#include "forms/rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "form_test_support.h"

namespace mcompress::forms {
namespace {

QuantizedWeight table_of(int bits, int64_t rows, int64_t width) {
  QuantizedWeight table;
  table.codes = Tensor(DataType::kInt8, {rows, width});
  int i = 0;
  for (int8_t& code : table.codes.mutate_as<int8_t>()) {
    code = static_cast<int8_t>((i * 37 + i / 11) % (1 << bits) - (1 << (bits - 1)));
    ++i;
  }
  std::vector<float> scales;
  for (int64_t r = 0; r < rows; ++r) scales.push_back(0.01F * static_cast<float>(r + 1));
  table.scales = Tensor::from({rows}, scales);
  table.axis = 0;
  return table;
}

/// y = Gather(T, i), T rows x width.
Model lookup(int64_t opset, const Tensor& table) {
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  auto* import = proto.add_opset_import();
  import->set_version(opset);
  auto* graph = proto.mutable_graph();
  graph->set_name("g");
  testing::add_value(*graph->add_input(), "i", DataType::kInt64, 2);
  testing::add_value(*graph->add_output(), "y", DataType::kFloat);
  testing::fill(*graph->add_initializer(), "T", table);
  auto* node = graph->add_node();
  node->set_op_type("Gather");
  node->add_input("T");
  node->add_input("i");
  node->add_output("y");
  return Model::parse(proto.SerializeAsString());
}

TEST(Rows, StayIntegersAndAreWhatTheTableSays) {
  for (const int bits : {8, 4, 2}) {
    for (const int64_t opset : {int64_t{11}, int64_t{17}}) {
      const QuantizedWeight weight = table_of(bits, 50, 24);
      const Tensor plain = weight.dequantized();
      Model model = lookup(opset, plain);
      const Model before = model.clone();
      Graph& graph = model.graph();
      NodeRef gather;
      for (const NodeRef node : graph.nodes()) gather = node;
      const RowTable table = add_row_table(graph, "T", weight, bits);
      EXPECT_EQ(dequantized(table), plain);
      graph.supersede(gather.output(), emit_rows(table, gather));
      graph.erase(gather);
      graph.erase_initializer("T");
      EXPECT_LT(model.file_size(), before.file_size() * static_cast<uint64_t>(bits) / 32 + 900);
      const Feeds feeds{{"i", Tensor::from({2, 3}, std::vector<int64_t>{0, 49, 7, 7, 1, 30})}};
      for (const bool optimize : {true, false}) {
        const auto session = testing::runtime().open(model, {.optimize = optimize});
        const auto expected = testing::runtime().open(before, {})->run(feeds);
        EXPECT_EQ(session->run(feeds)[0], expected[0]) << bits;
      }
      const auto ops = testing::optimized_ops(model);
      EXPECT_EQ(std::count(ops.begin(), ops.end(), "Gather"), 2);
      int found = 0;
      for (const NodeRef node : graph.nodes()) {
        const auto match = match_rows(node);
        if (!match) continue;
        ++found;
        EXPECT_EQ(match->bits, bits);
        EXPECT_EQ(dequantized(*match), plain);
      }
      EXPECT_EQ(found, 1);
    }
  }
}

TEST(Rows, WidthsThatDoNotFit) {
  EXPECT_TRUE(fits_row_table(7, 8));
  EXPECT_FALSE(fits_row_table(7, 4));
  EXPECT_FALSE(fits_row_table(6, 2));
  EXPECT_TRUE(fits_row_table(8, 2));
}

}  // namespace
}  // namespace mcompress::forms
