// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "small_models.h"

namespace mcompress {
namespace {

using test::floats;
using test::runtime;
using test::text_model;

ValueType type_of(const ValueTypes& types, Graph& graph, const std::string& name) {
  return types.find(ValueRef(&graph, name));
}

void expect_type(const ValueType& type, DataType element, const Shape& shape) {
  EXPECT_EQ(type.type, element);
  EXPECT_TRUE(type.known_rank);
  EXPECT_EQ(type.shape, shape);
}

TEST(Types, ComeFromTheRuntimeAndNotFromDeclarations) {
  auto proto = test::text_proto(R"(g (float[N, 4] x) => (float[7, 9] y) {
      w = Constant<value = float[4, 2] {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}>()
      a = MatMul(x, w) s = Shape(a) y = Relu(a) })");
  auto* lie = proto.mutable_graph()->add_value_info();
  lie->set_name("a");
  lie->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  lie->mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(5);
  proto.mutable_graph()->clear_output();
  auto* output = proto.mutable_graph()->add_output();
  output->set_name("y");
  output->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  const Model model = Model::parse(proto.SerializeAsString());
  const auto types = runtime()->infer_types(model);
  Graph& graph = model.graph();
  expect_type(type_of(types, graph, "x"), DataType::kFloat, {-1, 4});
  expect_type(type_of(types, graph, "a"), DataType::kFloat, {-1, 2});
  expect_type(type_of(types, graph, "y"), DataType::kFloat, {-1, 2});
  expect_type(type_of(types, graph, "s"), DataType::kInt64, {2});
}

TEST(Types, TellScalarsFromUnknownRanks) {
  const Model model = text_model(R"(g (float[2, 3] x, int64[R] s) => (float[K] z) {
      scalar = ReduceMax<keepdims = 0>(x) free = Reshape(x, s) z = Add(scalar, free) })");
  Graph& graph = model.graph();
  const auto types = runtime()->infer_types(model);
  expect_type(type_of(types, graph, "scalar"), DataType::kFloat, {});
  EXPECT_EQ(type_of(types, graph, "free").type, DataType::kFloat);
  EXPECT_FALSE(type_of(types, graph, "free").known_rank);
}

TEST(Types, LearnUnknownRanksFromASample) {
  const Model model = text_model(R"(g (float[2, 3] x, int64[R] s) => (float[K] z) {
      free = Reshape(x, s) z = Neg(free) })");
  const Feeds sample = {{"x", floats({2, 3}, {1, 2, 3, 4, 5, 6})},
                        {"s", Tensor::from(Shape{3}, std::vector<int64_t>{1, 6, 1})}};
  const auto types = runtime()->infer_types(model, &sample);
  expect_type(type_of(types, model.graph(), "free"), DataType::kFloat, {-1, -1, -1});
  expect_type(type_of(types, model.graph(), "z"), DataType::kFloat, {-1, -1, -1});
}

TEST(Types, SkipSequences) {
  const Model model = text_model(R"(g (float[2, 3] x) => (float[N, M] y) {
      a = Relu(x) s = SplitToSequence<axis = 0>(a) i = Constant<value = int64 {0}>()
      e = SequenceAt(s, i) y = Neg(e) })");
  const auto types = runtime()->infer_types(model);
  EXPECT_EQ(type_of(types, model.graph(), "s").type, DataType::kUndefined);
  expect_type(type_of(types, model.graph(), "a"), DataType::kFloat, {2, 3});
  EXPECT_EQ(type_of(types, model.graph(), "y").type, DataType::kFloat);
}

TEST(Types, ReachIfBranchesAndWhatTheyCapture) {
  const Model model = text_model(R"(g (float[N, 4] x, bool c) => (float[A, B] y) {
      w = Constant<value = float[4, 2] {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}>()
      a = Relu(x)
      y = If (c) <
        then_branch = t () => (float[A, B] p) {
          m = MatMul(a, w)
          p = If (c) <
            then_branch = tt () => (float[A, B] pp) { pp = Neg(m) },
            else_branch = te () => (float[A, B] pq) { pq = Exp(m) }
          > },
        else_branch = e () => (float[A, B] q) { q = Transpose(a) }
      > })");
  const auto types = runtime()->infer_types(model);
  int seen = 0;
  for (Graph* graph : model.graphs()) {
    if (graph->name() == "t") expect_type(type_of(types, *graph, "m"), DataType::kFloat, {-1, 2});
    if (graph->name() == "te") expect_type(type_of(types, *graph, "pq"), DataType::kFloat, {-1, 2});
    if (graph->name() == "e") expect_type(type_of(types, *graph, "q"), DataType::kFloat, {4, -1});
    ++seen;
  }
  EXPECT_EQ(seen, 5);
}

TEST(Types, ReachLoopAndScanBodies) {
  const Model model =
      text_model(R"(g (float[1, 4] x, float[5, 3] q) => (float[1, 4] y, float[3] s, float[5, 3] o) {
      n = Constant<value = int64 {3}>()
      c = Constant<value = bool {1}>()
      y = Loop (n, c, x) <body = lb (int64 i, bool p, float[1, 4] v) => (bool r, float[1, 4] t) {
        r = Identity(p) t = Neg(v) }>
      z = Constant<value = float[3] {0.0, 0.0, 0.0}>()
      s, o = Scan <num_scan_inputs = 1, body = sb (float[3] acc, float[3] row) => (float[3] next, float[3] out) {
        next = Add(acc, row) out = Relu(next) }> (z, q) })");
  const auto types = runtime()->infer_types(model);
  for (Graph* graph : model.graphs()) {
    if (graph->name() == "lb") {
      expect_type(type_of(types, *graph, "t"), DataType::kFloat, {1, 4});
      expect_type(type_of(types, *graph, "i"), DataType::kInt64, {});
    }
    if (graph->name() == "sb") expect_type(type_of(types, *graph, "out"), DataType::kFloat, {3});
  }
}

}  // namespace
}  // namespace mcompress
