// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include "mcompress/error.h"
#include "mcompress/metric.h"

namespace mcompress {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Samples 0, 1, 2, ... of one value each; a fixed batch stacks them.
class CountingData final : public Dataset {
 public:
  CountingData(size_t rows, size_t group, std::optional<std::vector<int64_t>> labels)
      : rows_(rows), group_(group), labels_(std::move(labels)) {}
  size_t size() const override { return (rows_ + group_ - 1) / group_; }
  bool batchable() const override { return group_ == 1; }
  size_t rows_per_sample() const override { return group_; }
  size_t rows(size_t sample) const override { return std::min(group_, rows_ - sample * group_); }
  Feeds feeds(size_t first, size_t count) const override {
    std::vector<float> values;
    for (size_t i = 0; i < count * group_; ++i)
      values.push_back(static_cast<float>(first * group_ + i));
    return {{"x", Tensor::from({static_cast<int64_t>(values.size()), 1}, values)}};
  }
  std::optional<Tensor> labels(size_t first, size_t count) const override {
    if (!labels_) return std::nullopt;
    std::vector<int64_t> part;
    for (size_t i = first * group_; i < std::min(rows_, (first + count) * group_); ++i)
      part.push_back((*labels_)[i]);
    return Tensor::from({static_cast<int64_t>(part.size())}, part);
  }
  bool has_labels() const override { return labels_.has_value(); }
  std::string description() const override { return "count.npz"; }
  std::string fingerprint() const override { return ""; }

 private:
  size_t rows_, group_;
  std::optional<std::vector<int64_t>> labels_;
};

/// A model of class sample % 3; "kind" in its metadata changes some of the answers.
class FakeSession final : public Session {
 public:
  explicit FakeSession(std::string kind) : kind_(std::move(kind)) {}
  const std::vector<ValueInfo>& inputs() const override { return inputs_; }
  const std::vector<std::string>& output_names() const override { return names_; }
  double time(const Feeds&) override { return 0; }
  std::vector<Tensor> run(const Feeds& feeds) override {
    std::vector<float> scores;
    for (const float x : feeds[0].tensor.as<float>()) {
      const int sample = static_cast<int>(x);
      const int best = kind_ == "worse" && sample % 4 == 0 ? (sample + 1) % 3 : sample % 3;
      for (int c = 0; c < 3; ++c) scores.push_back(c == best ? 2.0F + x : -1.0F);
      if (kind_ == "nan" && sample == 1) scores.back() = std::numeric_limits<float>::quiet_NaN();
    }
    return {Tensor::from({feeds[0].tensor.shape()[0], 3}, scores)};
  }

 private:
  std::string kind_;
  std::vector<ValueInfo> inputs_;
  std::vector<std::string> names_ = {"y"};
};

class FakeRuntime final : public RuntimeService {
 public:
  std::string version() const override { return "fake"; }
  std::unique_ptr<Session> open(const Model& model, const SessionOptions&) override {
    ++opened[model.metadata("kind")];
    return std::make_unique<FakeSession>(model.metadata("kind"));
  }
  std::optional<std::string> load_error(const Model&) override { return std::nullopt; }
  ValueTypes infer_types(const Model&, const Feeds*) override { return {}; }
  std::vector<OptimizedNode> optimized_nodes(const Model&) override { return {}; }
  std::vector<NodeProfile> profile(const Model&, const Feeds&, int, int) override { return {}; }
  std::map<std::string, int> opened;
};

Model model(const std::string& kind) {
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  proto.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *proto.mutable_graph();
  graph.set_name("g");
  graph.add_input()->set_name("x");
  graph.add_output()->set_name("y");
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type("Relu");
  node.add_input("x");
  node.add_output("y");
  Model result = Model::parse(proto.SerializeAsString());
  result.set_metadata("kind", kind);
  return result;
}

std::vector<int64_t> right_labels(size_t count) {
  std::vector<int64_t> labels;
  for (size_t i = 0; i < count; ++i) labels.push_back(static_cast<int64_t>(i % 3));
  return labels;
}

TEST(EvaluatorTest, ScoresAndComparesWithLabels) {
  auto labels = right_labels(20);
  labels[5] = 0;
  const auto evaluator =
      make_evaluator(std::make_shared<FakeRuntime>(), std::make_shared<CountingData>(20, 1, labels),
                     model("good"));
  EXPECT_EQ(evaluator->metric().name, "top1");
  EXPECT_EQ(evaluator->reason(), "labels and an output of 3 classes");
  EXPECT_DOUBLE_EQ(evaluator->baseline().value.value, 0.95);
  const auto worse = evaluator->evaluate(model("worse"));
  EXPECT_DOUBLE_EQ(worse.value.value, 0.7);
  const Comparison comparison = evaluator->compare(evaluator->baseline(), worse);
  EXPECT_NEAR(comparison.drop, 0.25, 1e-12);
  EXPECT_GT(comparison.low, 0);
}

TEST(EvaluatorTest, BatchesAndFixedBatchesGiveTheSame) {
  for (const size_t batch : {size_t{1}, size_t{3}, size_t{64}}) {
    EvaluatorOptions options;
    options.batch = batch;
    const auto evaluator = make_evaluator(std::make_shared<FakeRuntime>(),
                                          std::make_shared<CountingData>(10, 1, right_labels(10)),
                                          model("good"), options);
    EXPECT_THAT(evaluator->evaluate(model("worse")).per_sample,
                ElementsAre(0, 1, 1, 1, 0, 1, 1, 1, 0, 1));
  }
  const auto fixed =
      make_evaluator(std::make_shared<FakeRuntime>(),
                     std::make_shared<CountingData>(10, 4, right_labels(10)), model("good"));
  EXPECT_THAT(fixed->evaluate(model("worse")).per_sample,
              ElementsAre(0, 1, 1, 1, 0, 1, 1, 1, 0, 1));
}

TEST(EvaluatorTest, RemembersTheReferenceWithinItsBudget) {
  for (const char* metric : {"", "sqnr"}) {
    for (const size_t budget : {size_t{0}, size_t{20}, size_t{1} << 20}) {
      EvaluatorOptions options;
      options.metric = metric;
      options.cache_bytes = budget;
      const auto runtime = std::make_shared<FakeRuntime>();
      const auto evaluator = make_evaluator(
          runtime, std::make_shared<CountingData>(12, 1, std::nullopt), model("good"), options);
      const auto base = evaluator->baseline();
      const auto worse = evaluator->evaluate(model("worse"));
      if (*metric == 0) {
        EXPECT_EQ(evaluator->metric().name, "agreement");
        EXPECT_DOUBLE_EQ(base.value.value, 1);
        EXPECT_DOUBLE_EQ(worse.value.value, 0.75);
      } else {
        EXPECT_DOUBLE_EQ(base.value.value, 200);
        EXPECT_LT(worse.value.value, 20);
      }
      // Probe and baseline; once more where something was forgotten.
      EXPECT_EQ(runtime->opened["good"], budget > 1000 ? 2 : 3);
    }
  }
}

TEST(EvaluatorTest, CountsOutputsThatAreNotFinite) {
  const auto evaluator =
      make_evaluator(std::make_shared<FakeRuntime>(),
                     std::make_shared<CountingData>(4, 1, right_labels(4)), model("good"));
  const auto result = evaluator->evaluate(model("nan"));
  EXPECT_EQ(result.not_finite, 1U);
  EXPECT_DOUBLE_EQ(result.value.value, 0.75);
}

TEST(EvaluatorTest, NamesTheDataWhoseLabelsAreOutOfRange) {
  auto labels = right_labels(4);
  labels[2] = 7;
  try {
    make_evaluator(std::make_shared<FakeRuntime>(), std::make_shared<CountingData>(4, 1, labels),
                   model("good"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kData);
    EXPECT_THAT(error.message(), HasSubstr("count.npz: 0 to 7"));
  }
}

}  // namespace
}  // namespace mcompress
