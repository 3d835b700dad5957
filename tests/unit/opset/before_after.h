// SPDX-License-Identifier: Apache-2.0
// Runs a model before and after its opset was raised.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "mcompress/runtime_service.h"
#include "opset/raise.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress::test {

inline std::shared_ptr<RuntimeService> runtime() {
  static const auto instance = make_onnx_runtime();
  return instance;
}

/// A model in ONNX text form: graph text, with the header made from `opset`.
inline Model text_model(int opset, const std::string& graph) {
  return Model::parse(proto_from_graph(graph, opset).SerializeAsString());
}

/// Distinct values of both signs; unknown dimensions are 2.
inline Tensor some_tensor(const ValueInfo& info) {
  Shape shape = info.shape;
  for (auto& dim : shape) dim = dim < 0 ? 2 : dim;
  std::vector<float> values;
  for (int64_t i = 0; i < element_count(shape); ++i) {
    values.push_back(static_cast<float>((i * 7919 + 13) % 101) / 10.0F - 5.0F);
  }
  return Tensor::from(shape, values).cast(info.type);
}

inline Feeds some_feeds(const Session& session) {
  Feeds feeds;
  for (const auto& input : session.inputs()) feeds.push_back({input.name, some_tensor(input)});
  return feeds;
}

inline std::vector<Tensor> run_plain(const Model& model, const Feeds& feeds) {
  return runtime()->open(model, {.optimize = false, .prepack = false})->run(feeds);
}

/// Same type and shape, and values within `tolerance` of the largest; 0 asks for the same bits.
inline void expect_equal(const Tensor& before, const Tensor& after, float tolerance) {
  if (before == after) return;
  ASSERT_GT(tolerance, 0.0F) << "the bits differ";
  ASSERT_EQ(before.type(), after.type());
  ASSERT_EQ(before.shape(), after.shape());
  const auto a = before.to_float();
  const auto b = after.to_float();
  float largest = 0;
  for (const float value : a) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance * largest);
}

/// Raises and compares every output.
inline RaiseResult expect_same(Model& model, int64_t target, float tolerance = 0) {
  const auto session = runtime()->open(model, {.optimize = false, .prepack = false});
  const Feeds feeds = some_feeds(*session);
  const auto before = session->run(feeds);
  const auto result = raise_opset(model, target, runtime()->infer_types(model));
  EXPECT_EQ(model.opset(), target);
  const auto after = run_plain(model, feeds);
  EXPECT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size() && i < after.size(); ++i) {
    SCOPED_TRACE("output " + std::to_string(i));
    expect_equal(before[i], after[i], tolerance);
  }
  return result;
}

/// How many nodes of the main graph have this operator.
inline int count_op(const Model& model, const std::string& op) {
  int count = 0;
  for (const NodeRef node : model.graph().nodes()) count += node.op() == op ? 1 : 0;
  return count;
}

}  // namespace mcompress::test
