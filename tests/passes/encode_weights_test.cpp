// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>

#include "forms/quantized_weight.h"
#include "forms/stored_form.h"
#include "tests/support/pass_test.h"
#include "tests/support/storings.h"
#include "tests/support/tiny_models.h"

namespace mcompress::test {
namespace {

/// y = MatMul(x, w) + b with w [64, 40] of few values; `zeros` of ten are zero.
Model shared_model(int zeros, int64_t opset = 17, int values = 7) {
  Model model = parse_model(R"(
    g (float[N, 64] x) => (float[N, 40] y) <float[64, 40] w = {0.0}, float[40] b = {0.0}> {
      p = MatMul(x, w)
      y = Add(p, b)
    })", opset);
  std::vector<float> w(64 * 40);
  uint32_t state = 1;
  for (float& v : w) {
    state = state * 1664525U + 1013904223U;
    const auto digit = static_cast<int>(state >> 24);
    v = digit % 10 < zeros ? 0.0F : 0.1F * static_cast<float>(digit % values + 1);
  }
  std::vector<float> b(40);
  for (size_t i = 0; i < b.size(); ++i) b[i] = 0.37F * static_cast<float>(i) - 3;
  model.graph().set_constant(model.graph().find("w"), Tensor::from(Shape{64, 40}, w));
  model.graph().set_constant(model.graph().find("b"), Tensor::from(Shape{40}, b));
  return model;
}

std::vector<std::string> optimized_ops(const Model& model) {
  std::vector<std::string> ops;
  for (const OptimizedNode& node : runtime()->optimized_nodes(model)) ops.push_back(node.op);
  return ops;
}

/// Nothing of a chain is left after the runtime's optimizations.
void expect_folded(const Model& model) {
  for (const std::string& op : optimized_ops(model)) {
    EXPECT_THAT(op, ::testing::Not(::testing::AnyOf("Gather", "Cast", "Mod", "Div", "CumSum", "Slice",
                                                    "ScatterElements", "Expand")));
  }
}

void expect_encoded(Model& model, const Options& options = {}) {
  const Model original = model.clone();
  EXPECT_TRUE(run_pass("encode-weights", model, options).changed);
  EXPECT_LT(model.file_size(), original.file_size());
  expect_close(original, model, kExact);
  expect_close(original, model, {1e-5, true});
  expect_folded(model);
  EXPECT_FALSE(run_pass("encode-weights", model, options).changed);
}

TEST(EncodeWeights, SparseAndSharedWeightsShrinkAndStayExact) {
  for (const int zeros : {0, 4, 9}) {
    SCOPED_TRACE(zeros);
    Model model = shared_model(zeros);
    expect_encoded(model);
    const auto form = forms::recognise(model.graph().find("w"));
    ASSERT_TRUE(form);
    EXPECT_LT(form->bits_per_weight, 5.0);
  }
}

TEST(EncodeWeights, TheSameBytesEachTime) {
  Model a = shared_model(9);
  Model b = shared_model(9);
  run_pass("encode-weights", a);
  run_pass("encode-weights", b);
  EXPECT_EQ(a.fingerprint(), b.fingerprint());
}

TEST(EncodeWeights, EveryStoringOfAWeight) {
  const Model model = shared_model(8);
  for (Storing& storing : six_storings(model, "w")) {
    SCOPED_TRACE(storing.how);
    expect_encoded(storing.model);
  }
}

TEST(EncodeWeights, OldOpsetsAreRaisedOnlyForSparseForms) {
  Model dense = shared_model(0, 9);
  EXPECT_TRUE(run_pass("encode-weights", dense, {{"forms", "codes"}}).changed);
  EXPECT_EQ(dense.opset(), 9);
  Model sparse = shared_model(9, 9);
  expect_encoded(sparse);
  EXPECT_GE(sparse.opset(), 11);
  Model kept = shared_model(9, 9);
  EXPECT_TRUE(run_pass("encode-weights", kept, {{"raise-opset", "false"}}).changed);
  EXPECT_EQ(kept.opset(), 9);
}

TEST(EncodeWeights, OnlyTheFormsThatAreAllowed) {
  for (const auto& [name, kind] : std::vector<std::pair<std::string, forms::FormKind>>{
           {"codes", forms::FormKind::kCodes},
           {"gap", forms::FormKind::kGap},
           {"bitmask", forms::FormKind::kBitmask}}) {
    Model model = shared_model(8);
    expect_encoded(model, {{"forms", name}});
    EXPECT_EQ(forms::recognise(model.graph().find("w"))->kind, kind);
  }
}

TEST(EncodeWeights, MinGainLeavesAlone) {
  Model model = shared_model(0, 17, 200);  // 8 bits of 32
  EXPECT_FALSE(run_pass("encode-weights", model, {{"min-gain", "90"}}).changed);
  EXPECT_TRUE(run_pass("encode-weights", model, {{"min-gain", "10"}}).changed);
}

TEST(EncodeWeights, SaysWhyALayerStays) {
  Model model = shared_model(0, 17, 200);
  const Outcome outcome = run_pass("encode-weights", model, {{"min-gain", "99"}});
  ASSERT_FALSE(outcome.skips.empty());
  EXPECT_THAT(outcome.skips.front().reason, ::testing::HasSubstr("no form saves 99 %"));
}

TEST(EncodeWeights, IntegerCodesBehindADequantizeLinearStillFuse) {
  Model model = parse_model(R"(
    g (float[2, 64] x) => (float[2, 64] y) <float[64, 64] w = {0.0}> { y = MatMul(x, w) })");
  Graph& graph = model.graph();
  std::vector<int8_t> codes(64 * 64);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int8_t>(i * i % 7 * (i % 3));
  std::vector<float> scales(64, 0.01F);
  forms::QuantizedWeight weight{Tensor::from(Shape{64, 64}, codes), Tensor::from(Shape{64}, scales),
                                std::nullopt, 1, 0};
  const ValueRef quantized = forms::emit_dequantize(graph, "w", weight);
  graph.replace_uses(graph.find("w"), quantized);
  graph.erase_initializer("w");
  const Model original = model.clone();
  const std::vector<std::string> before = optimized_ops(original);
  EXPECT_TRUE(run_pass("encode-weights", model).changed);
  EXPECT_LT(model.file_size(), original.file_size() * 3 / 4);
  EXPECT_EQ(optimized_ops(model), before);
  expect_close(original, model, kExact);
}

TEST(EncodeWeights, EqualTensorsShareOneChain) {
  Model model = parse_model(R"(
    g (float[2, 40] x) => (float[2, 40] y) <float[40, 40] a = {0.0}, float[40, 40] b = {0.0}> {
      p = MatMul(x, a)
      y = MatMul(p, b)
    })");
  std::vector<float> w(1600);
  for (size_t i = 0; i < w.size(); ++i) w[i] = 0.1F * static_cast<float>(i * i % 5);
  for (const char* name : {"a", "b"}) {
    model.graph().set_constant(model.graph().find(name), Tensor::from(Shape{40, 40}, w));
  }
  expect_encoded(model);
  EXPECT_LT(model.file_size(), 1000U);
}

TEST(EncodeWeights, OddModelsSurvive) {
  for (TinyModel& tiny : odd_models()) {
    SCOPED_TRACE(tiny.name);
    const Model original = tiny.model.clone();
    run_pass("encode-weights", tiny.model, {{"min-gain", "0"}});
    EXPECT_LE(tiny.model.file_size(), original.file_size() + 1);
    if (runtime()->load_error(original)) continue;
    expect_close(original, tiny.model, kExact);
  }
}

}  // namespace
}  // namespace mcompress::test
