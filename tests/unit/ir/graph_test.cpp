// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/model_impl.h"
#include "ir_test_support.h"

namespace mcompress {
namespace {

using test::model_from_text;
using ::testing::ElementsAre;

std::vector<std::string> ops(Model& model) {
  std::vector<std::string> names;
  for (const NodeRef node : model.graph().nodes()) names.push_back(node.op());
  return names;
}

constexpr const char* kChain = R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[N] x) => (float[N] y) {
  a = Relu(x)
  b = Sigmoid(a)
  y = Add(b, a)
})";

TEST(Graph, KnowsProducersAndUses) {
  Model model = model_from_text(kChain);
  const ValueRef a = model.graph().find("a");
  ASSERT_TRUE(a);
  EXPECT_EQ(a.producer().op(), "Relu");
  ASSERT_EQ(a.uses().size(), 2u);
  EXPECT_EQ(a.uses()[0].node.op(), "Sigmoid");
  EXPECT_EQ(a.uses()[1].input, 1);
  EXPECT_TRUE(model.graph().find("y").is_graph_output());
  EXPECT_TRUE(model.graph().find("x").is_graph_input());
  EXPECT_FALSE(model.graph().find("nothing"));
}

TEST(Graph, InsertedNodesStandBeforeTheirReaders) {
  Model model = model_from_text(kChain);
  Graph& graph = model.graph();
  const NodeRef add = graph.find("y").producer();
  const NodeRef tanh = graph.insert({.op = "Tanh", .inputs = {graph.find("a")}});
  graph.set_input(add, 0, tanh.output());
  EXPECT_THAT(ops(model), ElementsAre("Relu", "Sigmoid", "Tanh", "Add"));
  graph.erase(graph.find("b").producer());
  EXPECT_THAT(ops(model), ElementsAre("Relu", "Tanh", "Add"));
}

TEST(Graph, ErasingWhatIsReadIsABug) {
  Model model = model_from_text(kChain);
  EXPECT_THROW(model.graph().erase(model.graph().find("a").producer()), Error);
  EXPECT_THROW(model.graph().erase(model.graph().find("y").producer()), Error);
}

TEST(Graph, IterationSkipsErasedAndIgnoresInserted) {
  Model model = model_from_text(kChain);
  Graph& graph = model.graph();
  int visited = 0;
  for (const NodeRef node : graph.nodes()) {
    ++visited;
    if (node.op() != "Relu") continue;
    const NodeRef sigmoid = graph.find("b").producer();
    graph.replace_uses(graph.find("b"), graph.find("a"));
    graph.erase(sigmoid);
    graph.insert({.op = "Tanh", .inputs = {graph.find("x")}});
    EXPECT_FALSE(sigmoid.alive());
  }
  EXPECT_EQ(visited, 2);
}

TEST(Graph, GraphOutputKeepsItsName) {
  Model model = model_from_text(kChain);
  Graph& graph = model.graph();
  const NodeRef mul = graph.insert({.op = "Mul", .inputs = {graph.find("b"), graph.find("a")}});
  const NodeRef add = graph.find("y").producer();
  const ValueRef now = graph.replace_uses(graph.find("y"), mul.output());
  EXPECT_EQ(now.name(), "y");
  graph.erase(add);
  EXPECT_EQ(graph.find("y").producer().op(), "Mul");
}

TEST(Graph, GraphOutputFromAnInputNeedsAnIdentity) {
  Model model = model_from_text(kChain);
  Graph& graph = model.graph();
  const NodeRef add = graph.find("y").producer();
  graph.replace_uses(graph.find("y"), graph.find("x"));
  graph.erase(add);
  EXPECT_EQ(graph.find("y").producer().op(), "Identity");
}

TEST(Graph, SupersedeTakesTheNameOver) {
  Model model = model_from_text(kChain);
  Graph& graph = model.graph();
  const NodeRef relu = graph.find("a").producer();
  const NodeRef clip = graph.insert({.op = "Clip", .inputs = {graph.find("x")}}, relu);
  graph.supersede(graph.find("a"), clip.output());
  graph.erase(relu);
  EXPECT_EQ(graph.find("a").producer().op(), "Clip");
  EXPECT_EQ(graph.find("a").uses().size(), 2u);
}

constexpr const char* kBody = R"(<ir_version: 8, opset_import: ["" : 13]>
g (bool c, float[N] x) => (float[N] y) {
  w = Constant <value = float[1] {2.0}> ()
  a = Relu(x)
  y = If(c) <then_branch = t () => (float[N] r) { r = Mul(a, w) },
             else_branch = e () => (float[N] r) { r = Neg(a) }>
})";

TEST(Graph, BodiesReadOuterValues) {
  Model model = model_from_text(kBody);
  ASSERT_EQ(model.graphs().size(), 3u);
  const ValueRef a = model.graph().find("a");
  ASSERT_EQ(a.uses().size(), 2u);
  EXPECT_EQ(a.uses()[0].node.op(), "Mul");
  EXPECT_EQ(&a.uses()[0].node.graph(), model.graphs()[1]);
  EXPECT_EQ(a.uses()[0].node.input(0), a);
  EXPECT_TRUE(a.uses()[0].node.input(1).is_constant());
  const NodeRef owner = model.graphs()[2]->owner();
  EXPECT_EQ(owner.op(), "If");
  EXPECT_EQ(owner.subgraphs().size(), 2u);
}

TEST(Graph, ErasingAnOwnerFreesWhatItsBodiesRead) {
  Model model = model_from_text(kBody);
  Graph& graph = model.graph();
  const NodeRef owner = graph.find("y").producer();
  graph.replace_uses(graph.find("y"), graph.find("a"));
  graph.erase(owner);
  EXPECT_EQ(model.graphs().size(), 1u);
  EXPECT_TRUE(graph.find("w").uses().empty());
  graph.erase(graph.find("w").producer());
}

TEST(Graph, AnEditOfAnOuterValueReachesTheBodiesOrder) {
  Model model = model_from_text(kBody);
  Graph& graph = model.graph();
  const NodeRef late = graph.insert({.op = "Abs", .inputs = {graph.find("x")}});
  const Use use = graph.find("a").uses()[0];
  use.node.graph().set_input(use.node, use.input, late.output());
  EXPECT_THAT(ops(model), ElementsAre("Constant", "Relu", "Abs", "If"));
}

TEST(Graph, ConstantsAreReadAndSplit) {
  Model model = model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[N] x) => (float[N] y, float[N] z) {
  w = Constant <value = float[1] {2.0}> ()
  y = Mul(x, w)
  z = Add(x, w)
})");
  Graph& graph = model.graph();
  const NodeRef mul = graph.find("y").producer();
  const ValueRef split =
      graph.set_constant_input(mul, 1, Tensor::from<float>({1}, std::vector<float>{3}));
  EXPECT_NE(split.name(), "w");
  EXPECT_EQ(graph.find("w").constant()->to_float()[0], 2);
  EXPECT_EQ(mul.input(1).constant()->to_float()[0], 3);
  const ValueRef alone =
      graph.set_constant_input(mul, 1, Tensor::from<float>({1}, std::vector<float>{4}));
  EXPECT_EQ(alone, split);
}

TEST(Graph, InitializersThatAreInputsAreNotConstantFromIr4On) {
  auto proto = test::proto_from_text(kChain);
  auto* const w = proto.mutable_graph()->add_initializer();
  w->set_name("w");
  w->set_data_type(onnx::TensorProto::FLOAT);
  w->add_float_data(1);
  auto* const input = proto.mutable_graph()->add_input();
  *input = proto.graph().input(0);
  input->set_name("w");
  Model model = Model::parse(proto.SerializeAsString());
  EXPECT_FALSE(model.graph().find("w").is_constant());
  EXPECT_EQ(model.freeze_inputs(), 1);
  EXPECT_TRUE(model.graph().find("w").is_constant());
  EXPECT_EQ(model.graph().inputs().size(), 1u);

  proto.set_ir_version(3);
  Model old = Model::parse(proto.SerializeAsString());
  EXPECT_TRUE(old.graph().find("w").is_constant());
  old.graph().add_constant("v", Tensor::scalar(1.0f));
  EXPECT_EQ(old.ir_version(), 4);
  EXPECT_EQ(old.graph().inputs().size(), 1u);
}

TEST(Graph, FreshNamesAreNew) {
  Model model = model_from_text(kChain);
  EXPECT_EQ(model.graph().fresh_name("a"), "a_1");
  EXPECT_EQ(model.graph().fresh_name("a"), "a_2");
  EXPECT_EQ(model.graph().fresh_name("unheard"), "unheard");
}

TEST(Graph, ACycleIsNamed) {
  auto proto = test::proto_from_text(kChain);
  proto.mutable_graph()->mutable_node(0)->set_input(0, "b");
  try {
    Model::parse(proto.SerializeAsString());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("cycle"));
  }
}

TEST(Graph, CloneIsIndependent) {
  Model model = model_from_text(kBody);
  Model copy = model.clone();
  EXPECT_EQ(copy.fingerprint(), model.fingerprint());
  Graph& graph = copy.graph();
  graph.set_constant(graph.find("w"), Tensor::from<float>({1}, std::vector<float>{7}));
  EXPECT_NE(copy.fingerprint(), model.fingerprint());
  EXPECT_EQ(model.graph().find("w").constant()->to_float()[0], 2);
}

}  // namespace
}  // namespace mcompress
