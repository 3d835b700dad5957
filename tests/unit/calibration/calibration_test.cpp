// SPDX-License-Identifier: Apache-2.0
#include "calibration/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <tuple>

#include "tests/support/memory_dataset.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress {
namespace {

std::shared_ptr<const Dataset> three_samples() {
  std::vector<Feeds> samples;
  for (const float v : {1.0f, 2.0f, 3.0f}) {
    samples.push_back({{"x", Tensor::from<float>({1, 2, 2}, std::vector<float>{v, -v, 2 * v, 0})}});
  }
  return std::make_shared<test::MemoryDataset>(samples);
}

Model doubler() {
  return test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[1,2,2] x) => (float[1,2,2] y) { a = Add(x, x)
  y = Relu(a) })");
}

TEST(Calibration, SeesExactExtremesAndChannels) {
  const auto runtime = make_onnx_runtime();
  const auto service = make_calibration(runtime, three_samples(), 1);
  const Model model = doubler();
  const ObservedValue values[] = {{"a", 1}, {"y", -1}, {"x", -1}};
  service->observe(model, values);
  const auto range = service->range(model, "a", {.method = RangeMethod::kMinMax});
  ASSERT_TRUE(range);
  EXPECT_EQ(range->min, -6);
  EXPECT_EQ(range->max, 12);
  EXPECT_EQ(range->low, -6);
  EXPECT_EQ(range->high, 12);
  EXPECT_EQ(service->range(model, "y", {.method = RangeMethod::kMinMax})->low, 0);
  EXPECT_EQ(service->range(model, "x", {.method = RangeMethod::kMinMax})->high, 6);
  const auto channels = service->channels(model, "a");
  ASSERT_TRUE(channels);
  EXPECT_THAT(channels->mean, ::testing::ElementsAre(0, 4));
  EXPECT_THAT(channels->max, ::testing::ElementsAre(6, 12));
  EXPECT_NEAR(channels->mean_square[0], (4 + 16 + 36) * 2 / 6.0, 1e-9);
  EXPECT_FALSE(service->channels(model, "y"));
  EXPECT_FALSE(service->range(model, "never", {}));
}

TEST(Calibration, StatisticsBelongToOneStateOfTheModel) {
  const auto runtime = make_onnx_runtime();
  const auto service = make_calibration(runtime, three_samples(), 1);
  Model model = doubler();
  const ObservedValue values[] = {{"a", -1}};
  service->observe(model, values);
  EXPECT_TRUE(service->range(model, "a", {}));
  model.graph().set_op(model.graph().find("a").producer(), "Mul");
  EXPECT_FALSE(service->range(model, "a", {}));
  service->observe(model, values);
  EXPECT_EQ(service->range(model, "a", {.method = RangeMethod::kMinMax})->max, 36);
}

TEST(Calibration, ForEachGivesTheFirstSamples) {
  const auto runtime = make_onnx_runtime();
  const auto service = make_calibration(runtime, three_samples(), 1);
  const Model model = doubler();
  const std::string names[] = {"y"};
  std::vector<float> seen;
  service->for_each(model, names, 2, [&](size_t, auto, std::span<const Tensor> tensors) {
    seen.push_back(tensors[0].to_float()[2]);
  });
  EXPECT_THAT(seen, ::testing::ElementsAre(4, 8));
}

TEST(Calibration, ShapesMayChangeAndInputsMayBeIntegersOrBool) {
  const auto runtime = make_onnx_runtime();
  std::vector<Feeds> samples;
  for (const int64_t length : {1, 3, 2}) {
    std::vector<int64_t> ids(static_cast<size_t>(length), 2);
    samples.push_back(
        {{"ids", Tensor::from<int64_t>({1, length}, ids)}, {"on", Tensor::scalar<bool>(true)}});
  }
  const auto service = make_calibration(runtime, std::make_shared<test::MemoryDataset>(samples), 1);
  const Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (int64[1,N] ids, bool on) => (float[1,N] y) <float[3] table = {-1, 0, 5}> {
  v = Gather(table, ids)
  w = Where(on, v, v)
  y = Relu(w) })");
  const ObservedValue values[] = {{"ids", -1}, {"on", -1}, {"v", 1}, {"y", 0}};
  service->observe(model, values);
  EXPECT_EQ(service->range(model, "v", {.method = RangeMethod::kMinMax})->count, 6U);
  EXPECT_FALSE(service->channels(model, "v"));  // their number changes
  EXPECT_TRUE(service->channels(model, "y"));
  EXPECT_FALSE(service->range(model, "ids", {}));
  EXPECT_FALSE(service->range(model, "on", {}));
}

TEST(Calibration, NaNNamesValueAndSampleAndLeavesNothingBehind) {
  const auto runtime = make_onnx_runtime();
  std::vector<Feeds> samples;
  for (const float v : {1.0f, 0.0f}) {
    samples.push_back({{"x", Tensor::from<float>({1}, std::vector<float>{v})}});
  }
  const auto service = make_calibration(runtime, std::make_shared<test::MemoryDataset>(samples), 1);
  const Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[1] x) => (float[1] y) { a = Neg(x)
  y = Div(a, x) })");
  const ObservedValue values[] = {{"a", -1}, {"y", -1}};
  try {
    service->observe(model, values);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kData);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("value 'y' has 1 NaN or infinite"));
    EXPECT_THAT(error.message(), ::testing::HasSubstr("sample 1"));
  }
  EXPECT_FALSE(service->range(model, "a", {}));
}

TEST(Calibration, NaNOfAWeightNamesTheWeight) {
  const auto data = std::make_shared<test::MemoryDataset>(
      std::vector<Feeds>{{{"x", Tensor::from<float>({1, 2}, std::vector<float>{1, 2})}}});
  const auto service = make_calibration(make_onnx_runtime(), data, 1);
  Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[1,2] x) => (float[1,2] y) <float[2,2] v = {1, 2, 3, 4}, float[2,2] w = {1, 2, 3, 4}> {
  a = MatMul(x, v)
  b = MatMul(a, w)
  y = MatMul(b, v) })");
  const float odd = std::numeric_limits<float>::quiet_NaN();
  model.graph().set_constant(model.graph().find("w"), Tensor::from({2, 2}, std::vector<float>{1, odd, 3, 4}));
  const auto expect_name = [](const auto& work) {
    try {
      work();
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kModel);
      EXPECT_THAT(error.message(), ::testing::HasSubstr("weight 'w' holds NaN"));
      EXPECT_THAT(error.message(), ::testing::HasSubstr("value 'b'"));
    }
  };
  const ObservedValue value[] = {{"b", -1}};
  expect_name([&] { service->observe(model, value); });
  expect_name([&] {
    service->moments(model, find_layers(model), [](size_t, std::span<const LayerMoments>) {});
  });
}

/// Counts the samples that are read of it.
class Counting final : public Dataset {
 public:
  Counting(size_t count, int64_t rows) : count_(count), rows_(rows) {}
  size_t size() const override { return count_; }
  Feeds feeds(size_t first, size_t) const override {
    ++reads;
    std::vector<float> values(static_cast<size_t>(rows_ * 2));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 7 + first) % 5);
    return {{"x", Tensor::from<float>({rows_, 2}, values)}};
  }
  bool batchable() const override { return false; }
  std::optional<Tensor> labels(size_t, size_t) const override { return std::nullopt; }
  bool has_labels() const override { return false; }
  std::string description() const override { return ""; }
  std::string fingerprint() const override { return ""; }
  mutable size_t reads = 0;

 private:
  size_t count_;
  int64_t rows_;
};

Model one_product() {
  return test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[N,2] x) => (float[N,1] y) <float[2,1] w = {2, 3}> { y = MatMul(x, w) })");
}

TEST(Calibration, MomentsReadOnlyAsManySamplesAsHaveTheRowsThatAreWanted) {
  // For two inputs 1024 + (64 + 8) * 2 rows are wanted, and at least 100 samples.
  for (const auto& [samples, rows, expected] :
       {std::tuple<size_t, int64_t, size_t>{300, 200, 100}, {300, 5, 300}, {150, 1000, 150}}) {
    const auto data = std::make_shared<Counting>(samples, rows);
    const auto service = make_calibration(make_onnx_runtime(), data, 1);
    Model model = one_product();
    int64_t summed = 0;
    service->moments(model, find_layers(model), [&](size_t, std::span<const LayerMoments> groups) {
      summed = groups[0].rows;
    });
    EXPECT_EQ(data->reads, expected);
    EXPECT_GE(summed, std::min<int64_t>(1168, static_cast<int64_t>(samples) * rows) * 9 / 10);
  }
}

TEST(Calibration, KeptMomentsAreNotComputedAgain) {
  const auto data = std::make_shared<Counting>(5, 4);
  const auto service = make_calibration(make_onnx_runtime(), data, 1, nullptr, 1 << 20);
  Model model = one_product();
  std::vector<std::vector<double>> grams;
  const auto ask = [&] {
    service->moments(model, find_layers(model), [&](size_t layer, auto groups) {
      EXPECT_EQ(layer, 0U);
      grams.push_back(groups[0].gram);
    });
  };
  ask();
  const size_t reads = data->reads;
  ask();
  EXPECT_EQ(data->reads, reads);
  model.set_metadata("another", "state");
  ask();
  EXPECT_GT(data->reads, reads);
  ASSERT_EQ(grams.size(), 3U);
  EXPECT_EQ(grams[0], grams[1]);
  EXPECT_EQ(grams[0], grams[2]);
}

TEST(Calibration, MomentsRefuseNaNToo) {
  const auto data = std::make_shared<test::MemoryDataset>(
      std::vector<Feeds>{{{"x", Tensor::from<float>({1, 2}, std::vector<float>{1, 0})}}});
  const auto service = make_calibration(make_onnx_runtime(), data, 1);
  Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[1,2] x) => (float[1,1] y) <float[2,1] w = {2, 3}> { a = Div(x, x)
  y = MatMul(a, w) })");
  const auto layers = find_layers(model);
  ASSERT_EQ(layers.size(), 1U);
  try {
    service->moments(model, layers, [](size_t, std::span<const LayerMoments>) {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), ::testing::HasSubstr("value 'a' has 1 NaN"));
  }
}

}  // namespace
}  // namespace mcompress
