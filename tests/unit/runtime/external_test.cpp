// SPDX-License-Identifier: Apache-2.0
// Large tensors reach the runtime as ranges of files, wherever the model holds them (rules.md 10).
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "runtime/private_folder.h"
#include "small_models.h"

namespace mcompress {
namespace {

using test::runtime;

constexpr int64_t kCount = 20000;  // 80,000 bytes, above the 64 KiB that stay in the skeleton

onnx::TensorProto large_tensor(const std::string& name, float first) {
  std::vector<float> values(kCount);
  std::iota(values.begin(), values.end(), first);
  onnx::TensorProto tensor;
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_dims(kCount);
  const auto bytes = std::as_bytes(std::span(values));
  tensor.set_raw_data(bytes.data(), bytes.size());
  return tensor;
}

void add_constant_node(onnx::GraphProto* graph, const onnx::TensorProto& tensor) {
  auto* node = graph->add_node();
  node->set_op_type("Constant");
  node->add_output(tensor.name());
  auto* value = node->add_attribute();
  value->set_name("value");
  value->set_type(onnx::AttributeProto::TENSOR);
  *value->mutable_t() = tensor;
  for (int i = graph->node_size() - 1; i > 0; --i) graph->mutable_node()->SwapElements(i, i - 1);
}

// x + w where w is stored by `place`.
void expect_sum(const onnx::ModelProto& proto, float added) {
  const runtime::PrivateFolder folder;
  const auto path = folder.path() / "model.onnx";
  {
    std::ofstream file(path, std::ios::binary);
    ASSERT_TRUE(proto.SerializeToOstream(&file));
  }
  const Model model = Model::load(path);
  EXPECT_LT(model.proto().ByteSizeLong(), 10000U);
  for (const bool optimize : {false, true}) {
    Feeds feeds = {{"x", Tensor::from(Shape{1}, std::vector<float>{0.5F})}};
    const auto session = test::runtime()->open(model, {.optimize = optimize});
    if (session->inputs().size() > 1) {
      feeds.push_back({"c", Tensor(DataType::kBool, {}, std::vector<std::byte>{std::byte{1}})});
    }
    const auto y = session->run(feeds)[0].to_float();
    ASSERT_EQ(y.size(), static_cast<size_t>(kCount));
    EXPECT_EQ(y[0], 0.5F + added);
    EXPECT_EQ(y[kCount - 1], 0.5F + added + kCount - 1);
  }
}

TEST(External, Initializer) {
  auto proto = test::text_proto("g (float[1] x) => (float[N] y) { y = Add(x, w) }");
  *proto.mutable_graph()->add_initializer() = large_tensor("w", 3);
  expect_sum(proto, 3);
}

TEST(External, ConstantNode) {
  auto proto = test::text_proto("g (float[1] x) => (float[N] y) { y = Add(x, w) }");
  add_constant_node(proto.mutable_graph(), large_tensor("w", 4));
  expect_sum(proto, 4);
}

const char* const kIf = R"(g (float[1] x, bool c) => (float[N] y) {
    y = If (c) <
      then_branch = t () => (float[N] p) { p = Add(x, w) },
      else_branch = e () => (float[N] q) { q = Identity(x) }
    > })";

TEST(External, InitializerCapturedByABranch) {
  auto proto = test::text_proto(kIf);
  *proto.mutable_graph()->add_initializer() = large_tensor("w", 5);
  expect_sum(proto, 5);
}

TEST(External, InitializerInsideABranch) {
  auto proto = test::text_proto(kIf);
  for (auto& attribute : *proto.mutable_graph()->mutable_node(0)->mutable_attribute()) {
    if (attribute.name() == "then_branch") {
      *attribute.mutable_g()->add_initializer() = large_tensor("w", 6);
    }
  }
  expect_sum(proto, 6);
}

TEST(External, ConstantInsideALoopBody) {
  auto proto = test::text_proto(R"(g (float[1] x) => (float[N] y) {
      n = Constant<value = int64 {1}>()
      c = Constant<value = bool {1}>()
      z = Constant<value = float[1] {0.0}>()
      y = Loop (n, c, z) <body = b (int64 i, bool p, float[K] s) => (bool r, float[M] t) {
        r = Identity(p) u = Add(x, w) t = Add(u, s) }> })");
  auto* loop = proto.mutable_graph()->mutable_node(3);
  add_constant_node(loop->mutable_attribute(0)->mutable_g(), large_tensor("w", 7));
  expect_sum(proto, 7);
}

TEST(External, ConstantInsideAFunctionBody) {
  auto proto = test::text_proto("g (float[1] x) => (float[N] y) { y = local.plus(x) }");
  proto.set_ir_version(8);
  auto* import = proto.add_opset_import();
  import->set_domain("local");
  import->set_version(1);
  auto* function = proto.add_functions();
  function->set_name("plus");
  function->set_domain("local");
  function->add_input("a");
  function->add_output("b");
  auto* own = function->add_opset_import();
  own->set_domain("");
  own->set_version(13);
  onnx::GraphProto body;
  auto* add = body.add_node();
  add->set_op_type("Add");
  add->add_input("a");
  add->add_input("w");
  add->add_output("b");
  add_constant_node(&body, large_tensor("w", 8));
  *function->mutable_node() = body.node();
  expect_sum(proto, 8);
}

}  // namespace
}  // namespace mcompress
