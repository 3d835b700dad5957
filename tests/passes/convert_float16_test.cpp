// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "opset/service.h"
#include "tests/support/pass_test.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

Model with_weight(const std::string& text, const Shape& shape, int64_t opset = 17) {
  Model model = parse_model(text, opset);
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i * i % 977));
  model.graph().set_constant(model.graph().find("W"), Tensor::from(shape, values));
  return model;
}

int count_of(Model& model, std::string_view op) {
  int count = 0;
  for (Graph* graph : model.graphs()) {
    for (const NodeRef node : graph->nodes()) count += node.is(op) ? 1 : 0;
  }
  return count;
}

constexpr const char* kProduct =
    "g (float[3,64] x) => (float[3,48] y) <float W = {1.0}> { y = MatMul(x, W) }";
constexpr const char* kConv =
    "g (float[1,8,6,6] x) => (float[1,16,4,4] y) <float W = {1.0}> { y = Conv(x, W) }";

TEST(ConvertFloat16, StoresWeightsInHalfTheBytes) {
  for (const char* type : {"float16", "bfloat16"}) {
    for (const auto& [text, shape] :
         {std::pair{kProduct, Shape{64, 48}}, std::pair{kConv, Shape{16, 8, 3, 3}}}) {
      Model model = with_weight(text, shape);
      const Model before = model.clone();
      EXPECT_TRUE(run_pass("convert-float16", model, {{"type", type}}).changed);
      EXPECT_EQ(count_of(model, "Cast"), 1);
      EXPECT_LT(model.file_size(), before.file_size() * 6 / 10);
      expect_close(before, model, {std::string_view(type) == "float16" ? 1e-3 : 1e-2, true});
      for (const OptimizedNode& node : runtime()->optimized_nodes(model)) {
        EXPECT_NE(node.op, "Cast") << "it folds at load";
      }
    }
  }
}

TEST(ConvertFloat16, CountsWhatIsClampedAndFlushed) {
  Model model = with_weight(kProduct, {64, 48});
  std::vector<float> values(64 * 48, 1.0F);
  values[0] = 1e5F;
  values[1] = -1e30F;
  values[2] = 1e-9F;
  model.graph().set_constant(model.graph().find("W"), Tensor::from({64, 48}, values));
  Model wide = model.clone();
  const Outcome outcome = run_pass("convert-float16", model);
  EXPECT_EQ(outcome.counters.at("clamped"), 2);
  EXPECT_EQ(outcome.counters.at("flushed to zero"), 1);
  EXPECT_FALSE(outcome.warnings.empty());
  EXPECT_EQ(run_pass("convert-float16", wide, {{"type", "bfloat16"}}).counters.at("clamped"), 0);
}

TEST(ConvertFloat16, LeavesWhatGainsNothing) {
  expect_unchanged("convert-float16",
                   "g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {1.0,2.0,3.0,4.0}> "
                   "{ y = MatMul(x, W) }",
                   "4 weights are too few to gain");
  Model model = with_weight(kProduct, {64, 48});
  run_pass("convert-float16", model);
  const Outcome again = run_pass("convert-float16", model);
  EXPECT_FALSE(again.changed);
  EXPECT_NE(again.skips.at(0).reason.find("16 bits already"), std::string::npos);
}

constexpr const char* kNetwork = R"(
  g (float[3,64] x) => (float[3,48] y, float[3,48] z) <float W = {1.0}, float[48] b = {
     1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,
     1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0}> {
    a = MatMul(x, W)
    c = Add(a, b)
    y = Relu(c)
    m = Max(y, c)
    s = Softmax(y)
    z = Add(m, s)
  })";

TEST(ConvertFloat16, WholeGraphCastsEachValueOnce) {
  Model model = with_weight(kNetwork, {64, 48});
  const Model before = model.clone();
  const Outcome outcome = run_pass("convert-float16", model, {{"mode", "graph"}});
  EXPECT_TRUE(outcome.changed);
  EXPECT_EQ(outcome.counters.at("nodes in half precision"), 5);
  // x, y to float (output and Max), c to float for Max, m to half, z to float.
  EXPECT_EQ(count_of(model, "Cast"), 5) << normal_form(model);
  expect_close(before, model, {5e-3, true});
  expect_close(before, model, {5e-3, false});
  EXPECT_EQ(model.graph().find("W").constant_type(), DataType::kFloat16);
}

TEST(ConvertFloat16, BlocksOperatorsAndLayers) {
  Model model = with_weight(kNetwork, {64, 48});
  auto pass = builtin_passes().create("convert-float16");
  OptionSet options;
  pass->describe(options);
  ConfigValue word, list, map;
  word.scalar = "Softmax";
  word.kind = ConfigValue::Kind::kScalar;
  list.kind = ConfigValue::Kind::kList;
  list.list = {word};
  ConfigValue mode = word;
  mode.scalar = "graph";
  map.kind = ConfigValue::Kind::kMap;
  map.map = {{"block", {}, list}, {"mode", {}, mode}};
  std::vector<Diagnostic> problems;
  options.bind(map, "convert-float16", problems);
  ASSERT_TRUE(problems.empty());
  PassContext context = make_context();
  context.set_selection(LayerSelection({}, {"op:MatMul"}));
  EXPECT_TRUE(pass->run(model, context));
  EXPECT_EQ(context.counters().at("nodes in half precision"), 3) << "Softmax and MatMul stay";
}

TEST(ConvertFloat16, AutoFollowsTheTarget) {
  PassContext::Services services;
  services.runtime = runtime();
  services.opset = make_opset_service();
  services.target.kind = TargetKind::kGpu;
  PassContext context(std::move(services));
  Model model = with_weight(kNetwork, {64, 48});
  EXPECT_EQ(run_pass("convert-float16", model, {}, &context).counters.count("casts added"), 1U);
  Model bad = with_weight(kNetwork, {64, 48});
  EXPECT_THROW(run_pass("convert-float16", bad, {{"mode", "graph"}, {"type", "bfloat16"}}), Error);
}

TEST(ConvertFloat16, ConstantsThatDoNotFitKeepTheirReaderInFloat) {
  Model model = with_weight(kProduct, {64, 48});
  model.graph().set_constant(model.graph().find("W"),
                             Tensor::from({64, 48}, std::vector<float>(64 * 48, 1e6F)));
  EXPECT_FALSE(run_pass("convert-float16", model, {{"mode", "graph"}}).changed);
}

TEST(ConvertFloat16, EveryStoring) {
  const Model model = with_weight(kProduct, {64, 48});
  for (const char* mode : {"weights", "graph"}) {
    for (Storing& storing : six_storings(model, "W")) {
      SCOPED_TRACE(storing.how + " " + mode);
      const Model before = storing.model.clone();
      EXPECT_TRUE(run_pass("convert-float16", storing.model, {{"mode", mode}}).changed);
      EXPECT_LT(storing.model.file_size(), before.file_size() * 7 / 10);
      expect_close(before, storing.model, {2e-3, true});
    }
  }
}

}  // namespace
}  // namespace mcompress::test
