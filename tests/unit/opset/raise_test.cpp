// SPDX-License-Identifier: Apache-2.0
#include "opset/raise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "before_after.h"

namespace mcompress {
namespace {

using test::count_op;
using test::expect_same;
using test::text_model;
using testing::HasSubstr;

struct Case {
  const char* name;
  int opset;
  const char* graph;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class RaiseCase : public testing::TestWithParam<Case> {};

TEST_P(RaiseCase, KeepsEveryBitUpTo17) {
  Model model = text_model(GetParam().opset, GetParam().graph);
  expect_same(model, 17);
}

// From 19 on the runtime averages in another order (AveragePool).
TEST_P(RaiseCase, KeepsTheValuesUpToTheNewest) {
  Model model = text_model(GetParam().opset, GetParam().graph);
  expect_same(model, kNewestOpset, 1e-6F);
}

const Case kCases[] = {
    {"AddRelu", 7, "g (float[2, 3] x) => (float[2, 3] y) { a = Add(x, x) y = Relu(a) }"},
    {"ArgMax", 7, "g (float[2, 3] x) => (int64[2, 1] y) { y = ArgMax<axis = 1>(x) }"},
    {"AveragePool", 7, R"(g (float[1, 2, 6, 6] x) => (float[N, C, H, W] y) {
        y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]>(x) })"},
    {"BatchNormalization", 7,
     R"(g (float[2, 3, 4] x, float[3] s, float[3] b, float[3] m) => (float[2, 3, 4] y) {
        v = Mul(s, s) y = BatchNormalization<epsilon = 0.01, spatial = 1>(x, s, b, m, v) })"},
    {"ClipBoth", 7, "g (float[2, 3] x) => (float[2, 3] y) { y = Clip<min = -1.5, max = 2.5>(x) }"},
    {"ClipMin", 7, "g (float[2, 3] x) => (float[2, 3] y) { y = Clip<min = 0.0>(x) }"},
    {"ClipNone", 7, "g (float[2, 3] x) => (float[2, 3] y) { y = Clip(x) }"},
    {"Constant", 7, R"(g (float[3] x) => (float[3] y) {
        c = Constant<value = float[3] {1.0, 2.0, 3.0}>() y = Mul(x, c) })"},
    {"Dropout", 7, "g (float[2, 3] x) => (float[2, 3] y) { y = Dropout<ratio = 0.3>(x) }"},
    {"Gemm", 7, R"(g (float[2, 3] a, float[4, 3] b, float[4] c) => (float[2, 4] y) {
        y = Gemm<transB = 1, alpha = 0.5>(a, b, c) })"},
    {"HardmaxMiddle", 7, "g (float[2, 3, 4] x) => (float[2, 3, 4] y) { y = Hardmax<axis = 1>(x) }"},
    {"LogSoftmaxFirst", 7,
     "g (float[2, 3, 4] x) => (float[2, 3, 4] y) { y = LogSoftmax<axis = 0>(x) }"},
    {"MaxPool", 7, R"(g (float[1, 2, 6, 6] x) => (float[N, C, H, W] y) {
        y = MaxPool<kernel_shape = [3, 3], strides = [2, 2]>(x) })"},
    {"PadZero", 7, R"(g (float[2, 3] x) => (float[N, M] y) {
        y = Pad<pads = [1, 0, 0, 2]>(x) })"},
    {"PadValue", 7, R"(g (float[2, 3] x) => (float[N, M] y) {
        y = Pad<mode = "constant", pads = [1, 0, 0, 2], value = 1.5>(x) })"},
    {"PadReflect", 7, R"(g (float[2, 3] x) => (float[N, M] y) {
        y = Pad<mode = "reflect", pads = [1, 1, 0, 2]>(x) })"},
    {"ReduceMeanAxes", 7,
     "g (float[2, 3, 4] x) => (float[N, M, K] y) { y = ReduceMean<axes = [0, 2]>(x) }"},
    {"ReduceMaxAll", 7, "g (float[2, 3, 4] x) => (float y) { y = ReduceMax<keepdims = 0>(x) }"},
    {"ReduceSumAxes", 7,
     "g (float[2, 3, 4] x) => (float[N, M] y) { y = ReduceSum<axes = [1], keepdims = 0>(x) }"},
    {"ReduceSumAll", 7, "g (float[2, 3, 4] x) => (float[N, M, K] y) { y = ReduceSum(x) }"},
    {"ResizeNearestGrows", 10, R"(g (float[1, 2, 3, 3] x) => (float[N, C, H, W] y) {
        s = Constant<value = float[4] {1.0, 1.0, 2.0, 1.5}>() y = Resize<mode = "nearest">(x, s) })"},
    {"ResizeNearestShrinks", 10, R"(g (float[1, 1, 5, 7] x) => (float[N, C, H, W] y) {
        s = Constant<value = float[4] {1.0, 1.0, 0.6, 0.5}>() y = Resize<mode = "nearest">(x, s) })"},
    {"ResizeLinear", 10, R"(g (float[1, 2, 3, 3] x) => (float[N, C, H, W] y) {
        s = Constant<value = float[4] {1.0, 1.0, 2.0, 1.5}>() y = Resize<mode = "linear">(x, s) })"},
    {"ResizeLinearShrinks", 10, R"(g (float[1, 1, 6, 8] x) => (float[N, C, H, W] y) {
        s = Constant<value = float[4] {1.0, 1.0, 0.6, 0.5}>() y = Resize<mode = "linear">(x, s) })"},
    {"RoiAlign", 10, R"(g (float[1, 1, 6, 6] x) => (float[N, C, H, W] y) {
        rois = Constant<value = float[1, 4] {0.5, 1.0, 4.0, 5.0}>()
        batch = Constant<value = int64[1] {0}>()
        y = RoiAlign<output_height = 2, output_width = 2, sampling_ratio = 2>(x, rois, batch) })"},
    {"Scatter", 9, R"(g (float[3, 3] x, float[1, 3] u) => (float[3, 3] y) {
        i = Constant<value = int64[1, 3] {0, 2, 1}>() y = Scatter<axis = 0>(x, i, u) })"},
    {"Slice", 7, R"(g (float[4, 5] x) => (float[N, M] y) {
        y = Slice<axes = [0, 1], starts = [1, -3], ends = [3, 9223372036854775807]>(x) })"},
    {"SliceNoAxes", 7,
     "g (float[4, 5] x) => (float[N, M] y) { y = Slice<starts = [1], ends = [-1]>(x) }"},
    {"SoftmaxLast", 7, "g (float[2, 3] x) => (float[2, 3] y) { y = Softmax(x) }"},
    {"SoftmaxMiddle", 7, "g (float[2, 3, 4] x) => (float[2, 3, 4] y) { y = Softmax(x) }"},
    {"SoftmaxOnes", 7, "g (float[2, 3, 1, 1] x) => (float[2, 3, 1, 1] y) { y = Softmax(x) }"},
    {"SoftmaxThenMore", 9, R"(g (float[2, 3, 4] x) => (float[2, 3, 4] z) {
        a = Relu(x) y = Softmax<axis = 1>(a) b = Mul(y, a) z = Add(b, y) })"},
    {"Split", 7, R"(g (float[2, 6] x) => (float[N, M] a, float[N, K] b) {
        a, b = Split<axis = 1, split = [2, 4]>(x) })"},
    {"SplitEqual", 7, R"(g (float[2, 6] x) => (float[N, M] a, float[N, K] b, float[N, L] c) {
        a, b, c = Split<axis = 1>(x) })"},
    {"SqueezeUnsqueeze", 7, R"(g (float[2, 1, 3, 1] x) => (float[N, M, K] y) {
        a = Squeeze<axes = [1, 3]>(x) y = Unsqueeze<axes = [0]>(a) })"},
    {"SqueezeAll", 7, "g (float[2, 1, 3, 1] x) => (float[N, M] y) { y = Squeeze(x) }"},
    {"Sum", 7, "g (float[3] x, float[3] z) => (float[3] y) { a = Max(x, z) y = Sum(x, a) }"},
    {"TopK", 7, R"(g (float[2, 5] x) => (float[N, M] v, int64[N, K] i) {
        v, i = TopK<axis = 1, k = 3>(x) })"},
    {"UpsampleNearest", 7, R"(g (float[1, 2, 3, 3] x) => (float[N, C, H, W] y) {
        y = Upsample<mode = "nearest", scales = [1.0, 1.0, 2.0, 3.0]>(x) })"},
    {"UpsampleLinear", 7, R"(g (float[1, 2, 3, 3] x) => (float[N, C, H, W] y) {
        y = Upsample<mode = "linear", scales = [1.0, 1.0, 2.0, 2.0]>(x) })"},
    {"Upsample9Computed", 9, R"(g (float[1, 2, 3, 3] x) => (float[N, C, H, W] y) {
        one = Constant<value = float[4] {1.0, 1.0, 1.0, 1.0}>()
        s = Constant<value = float[4] {0.0, 0.0, 1.0, 1.0}>()
        scales = Add(one, s) y = Upsample<mode = "nearest">(x, scales) })"},
};

INSTANTIATE_TEST_SUITE_P(Operators, RaiseCase, testing::ValuesIn(kCases),
                         [](const auto& instance) { return std::string(instance.param.name); });

std::string refusal(Model& model, int64_t target) {
  const auto before = model.fingerprint();
  const auto types = test::runtime()->infer_types(model);
  try {
    raise_opset(model, target, types);
  } catch (const Unsupported& unsupported) {
    EXPECT_TRUE(model.fingerprint() == before) << "touched before the refusal";
    return unsupported.reason();
  }
  return "not refused";
}

TEST(Raise, DoesNothingAtOrAboveTheTarget) {
  Model model = text_model(13, "g (float[2, 3] x) => (float[2, 3] y) { y = Softmax(x) }");
  const auto edits = model.edit_count();
  const auto result = raise_opset(model, 13, {});
  EXPECT_FALSE(result.changed());
  EXPECT_EQ(model.edit_count(), edits);
  EXPECT_EQ(raise_opset(model, 11, {}).to, 13);
}

TEST(Raise, CountsWhatItRewrote) {
  Model model = text_model(9, R"(g (float[2, 3, 4] x) => (float[N, M] y) {
      a = Unsqueeze<axes = [0]>(x) b = Clip<min = 0.0>(a) y = Squeeze<axes = [0]>(b) })");
  const auto result = raise_opset(model, 13, test::runtime()->infer_types(model));
  EXPECT_EQ(result.from, 9);
  EXPECT_EQ(result.to, 13);
  EXPECT_EQ(result.adapted,
            (std::map<std::string, int>{{"Clip", 1}, {"Squeeze", 1}, {"Unsqueeze", 1}}));
}

TEST(Raise, SoftmaxOfUnknownRankTakesTheLongForm) {
  const char* graph = R"(g (float[2, 3, 4] x) => (float[2, 3, 4] y) { y = Softmax<axis = 1>(x) })";
  Model model = text_model(11, graph);
  raise_opset(model, 13, {});
  EXPECT_EQ(count_op(model, "Flatten"), 1);
  Model known =
      text_model(11, R"(g (float[2, 3, 4] x) => (float[2, 3, 4] y) { y = Softmax<axis = 2>(x) })");
  raise_opset(known, 13, test::runtime()->infer_types(known));
  EXPECT_EQ(count_op(known, "Flatten"), 0);
}

TEST(Raise, ReachesBodies) {
  Model model = text_model(10, R"(g (float[2, 3, 4] x, bool c) => (float[N, M, K] y) {
      a = Relu(x)
      y = If (c) <
        then_branch = t () => (float[N, M, K] p) { p = Softmax<axis = 1>(a) },
        else_branch = e () => (float[N, M, K] q) {
          u = Unsqueeze<axes = [0]>(a) w = Squeeze<axes = [0]>(u) q = Clip<min = 1.0>(w) }
      > })");
  const auto result = expect_same(model, 17);
  EXPECT_EQ(result.adapted.size(), 4U);
}

TEST(Raise, KeepsInitializersConstantBelowIr4) {
  onnx::ModelProto proto;
  onnx::OnnxParser parser(R"(<ir_version: 3, opset_import: ["" : 8]>
      g (float[2, 3] x, float[3] w) => (float[2, 3] y) { a = Mul(x, w) y = Clip<max = 1.0>(a) })");
  ASSERT_TRUE(parser.Parse(proto).IsOK());
  auto* tensor = proto.mutable_graph()->add_initializer();
  tensor->set_name("w");
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  tensor->add_dims(3);
  for (const float value : {1.0F, -2.0F, 3.0F}) tensor->add_float_data(value);
  Model model = Model::parse(proto.SerializeAsString());
  expect_same(model, 13);
  EXPECT_TRUE(model.graph().find("w").is_constant());
  EXPECT_EQ(model.graph().inputs().size(), 1U);
}

TEST(Raise, RefusesDropoutWhoseMaskIsRead) {
  Model model = text_model(7, R"(g (float[2, 3] x) => (float[2, 3] y, float[2, 3] m) {
      y, m = Dropout(x) })");
  EXPECT_THAT(refusal(model, 13), HasSubstr("mask"));
}

TEST(Raise, RefusesClipOfUnknownType) {
  Model model = text_model(7, "g (float[2, 3] x) => (float[2, 3] y) { y = Clip<min = 0.0>(x) }");
  const auto before = model.fingerprint();
  EXPECT_THROW(raise_opset(model, 11, {}), Unsupported);
  EXPECT_TRUE(model.fingerprint() == before);
}

TEST(Raise, RefusesNearestResizeWithUnknownScales) {
  Model model = text_model(10, R"(g (float[N, C, H, W] x, float[4] s) => (float[A, B, D, E] y) {
      y = Resize<mode = "nearest">(x, s) })");
  EXPECT_THAT(refusal(model, 11), HasSubstr("scales"));
}

TEST(Raise, RefusesLocalFunctionsOfAnotherVersion) {
  onnx::ModelProto proto;
  onnx::OnnxParser parser(R"(<ir_version: 8, opset_import: ["" : 11, "local" : 1]>
      g (float[2, 3] x) => (float[2, 3] y) { y = local.twice(x) })");
  ASSERT_TRUE(parser.Parse(proto).IsOK());
  auto* function = proto.add_functions();
  function->set_name("twice");
  function->set_domain("local");
  function->add_input("a");
  function->add_output("b");
  function->add_opset_import()->set_version(11);
  auto* node = function->add_node();
  node->set_op_type("Add");
  node->add_input("a");
  node->add_input("a");
  node->add_output("b");
  Model model = Model::parse(proto.SerializeAsString());
  EXPECT_THAT(refusal(model, 13), HasSubstr("local function twice is written for opset 11"));
  proto.mutable_functions(0)->mutable_opset_import(0)->set_version(13);
  Model fitting = Model::parse(proto.SerializeAsString());
  EXPECT_TRUE(raise_opset(fitting, 13, {}).changed());
}

TEST(Raise, RefusesVersionsOutsideItsRange) {
  Model old = text_model(6, "g (float[2, 3] x) => (float[2, 3] y) { y = Relu(x) }");
  EXPECT_THAT(refusal(old, 13), HasSubstr("opset 6 cannot be raised"));
  Model model = text_model(13, "g (float[2, 3] x) => (float[2, 3] y) { y = Relu(x) }");
  EXPECT_THAT(refusal(model, kNewestOpset + 1), HasSubstr("newest"));
}

}  // namespace
}  // namespace mcompress
