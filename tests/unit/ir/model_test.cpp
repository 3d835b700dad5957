// SPDX-License-Identifier: Apache-2.0
#include "mcompress/model.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <fstream>

#include "ir/visit.h"
#include "ir_test_support.h"
#include "support/file.h"

namespace mcompress {
namespace {

using google::protobuf::util::MessageDifferencer;
using test::TemporaryFolder;

void fill(onnx::TensorProto& tensor, const std::string& name, int count, float scale, bool raw) {
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_dims(count);
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = scale * static_cast<float>(i % 1000);
  if (raw) {
    tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  } else {
    tensor.mutable_float_data()->Add(values.begin(), values.end());
  }
}

/// Large tensors as initializer (raw and float_data), Constant, in an If body, a Loop body's nested
/// branch stands for depth, in a function body; one small one.
onnx::ModelProto odd_model() {
  auto proto = test::proto_from_text(R"(<ir_version: 8, opset_import: ["" : 13, "local" : 1]>
g (bool c, float[N] x) => (float[N] y) {
  y = If(c) <then_branch = t () => (float[N] r) { r = Identity(x) },
             else_branch = e () => (float[N] q) { q = Identity(x) }>
})");
  auto* const graph = proto.mutable_graph();
  fill(*graph->add_initializer(), "raw", 40000, 1, true);
  fill(*graph->add_initializer(), "typed", 40000, 2, false);
  fill(*graph->add_initializer(), "small", 10, 3, true);
  auto* const body = graph->mutable_node(0)->mutable_attribute(0)->mutable_g();
  fill(*body->add_initializer(), "inner", 40000, 4, true);
  auto* const constant = body->add_node();
  constant->set_op_type("Constant");
  constant->add_output("constant");
  auto* const value = constant->add_attribute();
  value->set_name("value");
  value->set_type(onnx::AttributeProto::TENSOR);
  fill(*value->mutable_t(), "", 40000, 5, true);
  auto* const function = proto.add_functions();
  function->set_name("F");
  function->set_domain("local");
  auto* const in_function = function->add_node();
  *in_function = *constant;
  // What this protobuf does not know must survive, too.
  proto.GetReflection()->MutableUnknownFields(&proto)->AddVarint(999, 5);
  auto& first = *graph->mutable_initializer(2);
  first.GetReflection()->MutableUnknownFields(&first)->AddLengthDelimited(777, "kept");
  auto* const entry = proto.add_metadata_props();
  entry->set_key("author");
  entry->set_value("somebody");
  return proto;
}

TEST(Model, LoadThenSaveKeepsEverything) {
  const TemporaryFolder folder("model-keeps");
  const auto original = odd_model();
  support::write_file_atomically(folder / "a.onnx", original.SerializeAsString());
  const Model model = Model::load(folder / "a.onnx");
  EXPECT_LT(model.proto().SerializeAsString().size(), 10000u);  // payloads stay in the file
  model.save(folder / "b.onnx");
  EXPECT_EQ(std::filesystem::file_size(folder / "b.onnx"), model.file_size());
  onnx::ModelProto written;
  ASSERT_TRUE(written.ParseFromString(support::read_file(folder / "b.onnx", ErrorCode::kModel)));
  EXPECT_TRUE(MessageDifferencer::Equals(original, written));
  EXPECT_EQ(written.SerializeAsString(), original.SerializeAsString());
}

TEST(Model, ExternalDataIsReadAndWritten) {
  const TemporaryFolder folder("model-external");
  support::write_file_atomically(folder / "a.onnx", odd_model().SerializeAsString());
  const Model model = Model::load(folder / "a.onnx");
  model.save(folder / "b.onnx", {.external_data = ExternalData::kAlways});
  EXPECT_LT(std::filesystem::file_size(folder / "b.onnx"), 10000u);
  const Model again = Model::load(folder / "b.onnx");
  EXPECT_EQ(again.graph().find("raw").constant(), model.graph().find("raw").constant());
  again.save(folder / "c.onnx");
  onnx::ModelProto written;
  ASSERT_TRUE(written.ParseFromString(support::read_file(folder / "c.onnx", ErrorCode::kModel)));
  EXPECT_EQ(written.graph().initializer(0).raw_data(),
            odd_model().graph().initializer(0).raw_data());
}

TEST(Model, ExternalDataOutsideTheFolderIsRefused) {
  const TemporaryFolder folder("model-escape");
  auto proto = odd_model();
  auto* const tensor = proto.mutable_graph()->mutable_initializer(0);
  tensor->clear_raw_data();
  tensor->set_data_location(onnx::TensorProto::EXTERNAL);
  auto* const entry = tensor->add_external_data();
  entry->set_key("location");
  for (const char* const location : {"../secret", "/etc/passwd", "missing.bin"}) {
    entry->set_value(location);
    support::write_file_atomically(folder / "a.onnx", proto.SerializeAsString());
    try {
      Model::load(folder / "a.onnx");
      FAIL() << location;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kModel);
      EXPECT_THAT(error.message(), ::testing::HasSubstr("raw"));
    }
  }
}

TEST(Model, EveryTruncationIsAModelError) {
  const TemporaryFolder folder("model-truncated");
  const std::string whole = odd_model().SerializeAsString();
  for (size_t length = 0; length < whole.size(); length += length < 300 ? 1 : 9973) {
    support::write_file_atomically(folder / "a.onnx", std::string_view(whole).substr(0, length));
    try {
      Model::load(folder / "a.onnx");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kModel) << length;
      continue;
    }
    // Cut between two fields of the model it is still a model, if the graph is whole.
    EXPECT_GT(length, whole.size() - 200000) << length;
  }
}

TEST(Model, RandomBytesAreAModelError) {
  const TemporaryFolder folder("model-random");
  uint64_t state = 1;
  for (int round = 0; round < 200; ++round) {
    std::string bytes;
    for (int i = 0; i < 100 + round; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      bytes.push_back(static_cast<char>(state >> 56));
    }
    support::write_file_atomically(folder / "a.onnx", bytes);
    EXPECT_THROW(Model::load(folder / "a.onnx"), Error);
  }
}

TEST(Model, EditedLargeConstantsGoToTheSpillAndBack) {
  const TemporaryFolder folder("model-spill");
  support::write_file_atomically(folder / "a.onnx", odd_model().SerializeAsString());
  Model model = Model::load(folder / "a.onnx");
  const auto before = model.fingerprint();
  const Tensor ones = Tensor::from<float>({40000}, std::vector<float>(40000, 1.0f));
  const Tensor old = *model.graph().find("typed").constant();
  model.graph().set_constant(model.graph().find("typed"), ones);
  EXPECT_NE(model.fingerprint(), before);
  EXPECT_EQ(*model.graph().find("typed").constant(), ones);
  const Model copy = model.clone();
  model.graph().set_constant(model.graph().find("typed"), old);
  EXPECT_EQ(*copy.graph().find("typed").constant(), ones);
  EXPECT_EQ(*model.graph().find("typed").constant(), old);
  copy.save(folder / "b.onnx");
  EXPECT_EQ(*Model::load(folder / "b.onnx").graph().find("typed").constant(), ones);
}

TEST(Model, SaveRefusesToOverwriteUnlessTold) {
  const TemporaryFolder folder("model-overwrite");
  support::write_file_atomically(folder / "a.onnx", odd_model().SerializeAsString());
  const Model model = Model::load(folder / "a.onnx");
  model.save(folder / "b.onnx");
  EXPECT_THROW(model.save(folder / "b.onnx"), Error);
  model.save(folder / "b.onnx", {.overwrite = true});
  EXPECT_THROW(model.save(folder / "missing" / "b.onnx"), Error);
}

TEST(Model, RaisingTheOpsetRaisesTheIr) {
  auto proto = odd_model();
  proto.set_ir_version(3);
  Model model = Model::parse(proto.SerializeAsString());
  model.set_opset("", 17);
  EXPECT_EQ(model.opset(), 17);
  EXPECT_EQ(model.opset("ai.onnx"), 17);
  EXPECT_EQ(model.ir_version(), 8);
  model.import_domain("com.microsoft", 1);
  EXPECT_EQ(model.opset("com.microsoft"), 1);
}

}  // namespace
}  // namespace mcompress
