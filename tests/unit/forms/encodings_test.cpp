// SPDX-License-Identifier: Apache-2.0
#include "forms/encodings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "form_test_support.h"
#include "forms/cast.h"

namespace mcompress::forms {
namespace {

using ::testing::ElementsAre;
using testing::holder;

struct Case {
  std::string name;
  Tensor value;
};

/// A tensor of `type` with `distinct` values, a share of `zeros`, from a fixed seed.
Tensor random_tensor(DataType type, const Shape& shape, int distinct, double zeros,
                     bool finite = true) {
  std::mt19937 random(static_cast<uint32_t>(distinct) * 7919U + static_cast<uint32_t>(zeros * 100));
  std::vector<float> book;
  for (int i = 0; i < distinct; ++i) {
    book.push_back(finite ? static_cast<float>(i - distinct / 2) + 0.5F
                          : std::ldexp(static_cast<float>(random() % 65536), -20));
  }
  const int64_t count = element_count(shape);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    const bool zero = static_cast<double>(random() % 10000) < zeros * 10000;
    values.push_back(zero ? 0.0F : book[random() % book.size()]);
  }
  return Tensor::from(shape, values).cast(type);
}

Tensor full_range_floats(const Shape& shape, double zeros) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> values;
  for (int64_t i = 0; i < element_count(shape); ++i) {
    values.push_back(static_cast<double>(random() % 1000) < zeros * 1000 ? 0.0F : normal(random));
  }
  return Tensor::from(shape, values);
}

Tensor strange_floats() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  float payload = nan;
  uint32_t bits = 0x7FC12345;
  std::memcpy(&payload, &bits, 4);
  std::vector<float> values;
  const std::vector<float> book = {0.0F,
                                   -0.0F,
                                   nan,
                                   payload,
                                   -nan,
                                   std::numeric_limits<float>::infinity(),
                                   std::numeric_limits<float>::denorm_min(),
                                   1.0F};
  for (size_t i = 0; i < 333; ++i)
    values.push_back(i % 3 == 0 ? 0.0F : book[(i * 5) % book.size()]);
  return Tensor::from(Shape{3, 111}, values);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](std::string name, Tensor value) {
    all.push_back({std::move(name), std::move(value)});
  };
  for (const DataType type : {DataType::kFloat, DataType::kFloat16, DataType::kBfloat16,
                              DataType::kDouble, DataType::kInt8, DataType::kUint8}) {
    const std::string name = data_type_name(type);
    add(name + "_2", random_tensor(type, {16, 33}, 2, 0.0));
    add(name + "_16_sparse", random_tensor(type, {24, 40}, 15, 0.9));
    add(name + "_16_half", random_tensor(type, {24, 41}, 15, 0.5));
    add(name + "_one_value", random_tensor(type, {8, 9}, 1, 0.0));
    add(name + "_zeros", random_tensor(type, {5, 7}, 1, 1.0));
  }
  for (const int distinct : {3, 5, 9, 16, 17, 100, 256, 300}) {
    add("dense_" + std::to_string(distinct),
        random_tensor(DataType::kFloat, {31, 47}, distinct, 0.0));
  }
  add("odd_rank1", random_tensor(DataType::kFloat, {1001}, 7, 0.3));
  add("rank1", random_tensor(DataType::kFloat, {1024}, 4, 0.0));
  add("rank4", random_tensor(DataType::kFloat, {8, 4, 3, 3}, 4, 0.8));
  // So many words that a table of all bytes unpacks them.
  add("many_codes", random_tensor(DataType::kFloat, {400, 401}, 15, 0.0));
  add("many_ternary", random_tensor(DataType::kFloat, {700, 501}, 3, 0.0));
  add("many_bits", random_tensor(DataType::kFloat, {700, 801}, 15, 0.5));
  add("scalar", Tensor::scalar(2.5F));
  add("one", Tensor::from(Shape{1}, std::vector<float>{-0.0F}));
  add("one_4d", Tensor::from(Shape{1, 1, 1, 1}, std::vector<float>{3.0F}));
  add("very_sparse", random_tensor(DataType::kFloat, {64, 300}, 7, 0.99));
  add("unshared_sparse", full_range_floats({40, 50}, 0.9));
  add("unshared_half", full_range_floats({40, 50}, 0.5));
  add("first_and_last", [] {
    std::vector<float> values(700, 0.0F);
    values.front() = 1.0F;
    values.back() = 2.0F;
    return Tensor::from(Shape{7, 100}, values);
  }());
  add("strange", strange_floats());
  return all;
}

std::vector<Encoding> all_encodings(const Content& content, int64_t opset) {
  EncodingLimits limits;
  limits.opset = opset;
  std::vector<Encoding> out;
  propose_fill(content, limits, out);
  propose_codes(content, limits, out);
  propose_gap(content, limits, out);
  propose_bitmask(content, limits, out);
  propose_cast(content, limits, out);
  std::erase_if(out, [&](const Encoding& e) { return e.chain.least_opset() > opset; });
  return out;
}

/// Every way to store every case: decoded by us, run by the runtime with and without optimizations,
/// folded to nothing, bytes as predicted.
class EveryEncoding : public ::testing::TestWithParam<int64_t> {};

TEST_P(EveryEncoding, KeepsEveryBit) {
  // All tensors at the opset that most models have or are raised to, a quarter of them, each
  // another, elsewhere.
  int64_t index = 0;
  for (const Case& c : cases()) {
    if (GetParam() != 13 && ++index % 4 != GetParam() % 4) continue;
    if (c.value.type() == DataType::kBfloat16 && GetParam() < 13) continue;
    const Content content = examine(c.value);
    std::vector<Encoding> encodings = all_encodings(content, GetParam());
    for (const Encoding& encoding : encodings) {
      SCOPED_TRACE(c.name + ": " + std::string(form_name(encoding.kind)) + ", " + encoding.detail);
      Model model = holder(c.value, GetParam());
      const uint64_t before = model.file_size();
      Graph& graph = model.graph();
      Emitter emitter(graph);
      const ValueRef weight = graph.find("W");
      const uint64_t predicted = emitter.bytes(encoding.chain, 1);
      const uint64_t plain = plain_bytes(weight);
      const ValueRef end = replace_constant(weight, emitter.emit(encoding.chain));
      EXPECT_EQ(end.name(), "W");
      // The length prefixes of graph and tensors may take one byte more or less.
      EXPECT_NEAR(static_cast<double>(model.file_size()),
                  static_cast<double>(before + predicted - plain), 1.0);

      const auto form = recognise(end);
      ASSERT_TRUE(form);
      EXPECT_EQ(form->inner.value_or(form->kind), encoding.kind);
      EXPECT_EQ(form->type, c.value.type());
      EXPECT_EQ(form->shape, c.value.shape());
      EXPECT_EQ(form->nodes.size(), encoding.chain.nodes().size());
      EXPECT_TRUE(form->decode() == c.value);
      EXPECT_EQ(form_nodes(model).size(), encoding.chain.nodes().size());

      EXPECT_TRUE(testing::same_bytes(testing::run_holder(model, false), c.value));
      EXPECT_TRUE(testing::same_bytes(testing::run_holder(model, true), c.value));
      EXPECT_THAT(testing::optimized_ops(model), ElementsAre("Reshape"));
      if (::testing::Test::HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Opsets, EveryEncoding, ::testing::Values(7, 9, 10, 11, 13, 17, 21));

TEST(Encodings, ThreeValuesTakeFiveToAByte) {
  const Tensor ternary = random_tensor(DataType::kFloat, {100, 100}, 3, 0.0);
  Model model = holder(ternary, 13);
  Emitter emitter(model.graph());
  const auto choice =
      smallest_encoding(examine(ternary), emitter, 1, {}, plain_bytes(model.graph().find("W")));
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->encoding.kind, FormKind::kCodes);
  EXPECT_LT(choice->bytes, 2000U + 250U);
}

TEST(Encodings, NoiseHasNoSmallerForm) {
  const Tensor noise = full_range_floats({30, 30}, 0.0);
  Model model = holder(noise, 13);
  const Emitter emitter(model.graph());
  EXPECT_FALSE(
      smallest_encoding(examine(noise), emitter, 1, {}, plain_bytes(model.graph().find("W"))));
}

TEST(Encodings, SmallTensorsStayAsTheyAre) {
  const Tensor small = Tensor::from(Shape{4}, std::vector<float>{0.1F, 0.2F, 0.2F, 0.1F});
  Model model = holder(small, 13);
  const Emitter emitter(model.graph());
  EXPECT_FALSE(
      smallest_encoding(examine(small), emitter, 1, {}, plain_bytes(model.graph().find("W"))));
}

TEST(Encodings, MoreThan65536ValuesAreNotCoded) {
  std::vector<float> values(70000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) + 0.25F;
  const Content content = examine(Tensor::from(Shape{70000}, values));
  EXPECT_FALSE(content.has_codes());
  std::vector<Encoding> out;
  propose_codes(content, {}, out);
  EXPECT_TRUE(out.empty());
}

TEST(Encodings, HalfIsUsedOnlyWhereItIsExact) {
  EXPECT_TRUE(
      narrow_exactly(Tensor::from(Shape{2}, std::vector<float>{1.5F, -0.0F}), DataType::kFloat16));
  EXPECT_FALSE(
      narrow_exactly(Tensor::from(Shape{1}, std::vector<float>{0.1F}), DataType::kFloat16));
  EXPECT_FALSE(
      narrow_exactly(Tensor::from(Shape{1}, std::vector<float>{1e6F}), DataType::kFloat16));
  EXPECT_TRUE(
      narrow_exactly(Tensor::from(Shape{1}, std::vector<float>{1048576.0F}), DataType::kBfloat16));
}

TEST(Encodings, NothingThatDoesNotFoldIsProposed) {
  EXPECT_TRUE(folds(DataType::kUint8, int64_t{1} << 28));
  EXPECT_FALSE(folds(DataType::kUint8, (int64_t{1} << 28) + 1));
  EXPECT_FALSE(folds(DataType::kInt64, int64_t{1} << 26));
}

TEST(Recognise, CodeOutsideItsCodebookIsAnErrorThatNamesTheWeight) {
  const Tensor value = random_tensor(DataType::kFloat, {10, 10}, 3, 0.0);
  Model model = holder(value, 13);
  Emitter emitter(model.graph());
  std::vector<Encoding> out;
  propose_codes(examine(value), {}, out);
  const ValueRef end = replace_constant(model.graph().find("W"), emitter.emit(out.front().chain));
  const auto form = recognise(end);
  ASSERT_TRUE(form);
  for (const ValueRef& c : form->constants) {
    if (c.constant_type() != DataType::kFloat) continue;
    model.graph().set_constant(c, Tensor::from(Shape{1}, std::vector<float>{1.0F}));
  }
  try {
    recognise(end)->decode();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("W: code"));
  }
}

TEST(Recognise, AnEmbeddingIsNotACodebook) {
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  proto.add_opset_import()->set_version(13);
  auto* graph = proto.mutable_graph();
  graph->set_name("g");
  testing::add_value(*graph->add_output(), "y", DataType::kFloat);
  testing::fill(*graph->add_initializer(), "table", Tensor(DataType::kFloat, {10}));
  testing::fill(*graph->add_initializer(), "ids", Tensor(DataType::kInt64, {4}));
  auto* node = graph->add_node();
  node->set_op_type("Gather");
  node->add_input("table");
  node->add_input("ids");
  node->add_output("y");
  const Model model = Model::parse(proto.SerializeAsString());
  EXPECT_FALSE(recognise(model.graph().find("y")));
}

TEST(Recognise, NamesRoundTrip) {
  for (const FormKind kind : {FormKind::kFill, FormKind::kCodes, FormKind::kBitmask, FormKind::kGap,
                              FormKind::kCast, FormKind::kScaled, FormKind::kDequantize}) {
    EXPECT_EQ(parse_form(form_name(kind)), kind);
  }
  EXPECT_FALSE(parse_form("zip"));
}

TEST(EraseUnread, TakesTheWholeChainAlong) {
  const Tensor value = random_tensor(DataType::kFloat, {30, 30}, 7, 0.8);
  Model model = holder(value, 13);
  Graph& graph = model.graph();
  Emitter emitter(graph);
  std::vector<Encoding> out;
  propose_gap(examine(value), {}, out);
  const ValueRef end = replace_constant(graph.find("W"), emitter.emit(out.back().chain));
  const auto form = recognise(end);
  ASSERT_TRUE(form);
  const ValueRef plain = graph.add_constant("plain", form->decode());
  graph.replace_uses(end, plain);
  erase_unread(*form);
  EXPECT_EQ(graph.nodes().size(), 1U);
  EXPECT_THAT(graph.initializers(), ElementsAre("plain"));
}

}  // namespace
}  // namespace mcompress::forms
