// SPDX-License-Identifier: Apache-2.0
#include "analysis/weights.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <vector>

#include "ir/contents.h"
#include "support/hash.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress::test {
namespace {

TEST(WeightFigures, CountsZerosDistinctValuesAndRange) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto figures = analysis::weight_figures(
      Tensor::from(Shape{7}, std::vector<float>{0.0F, -0.0F, 1.0F, 1.0F, -2.0F, nan, nan}));
  EXPECT_EQ(figures.count, 7U);
  EXPECT_EQ(figures.nonzeros, 5U);
  EXPECT_EQ(figures.distinct, 4U);
  EXPECT_EQ(figures.min, -2.0F);
  EXPECT_EQ(figures.max, 1.0F);
  EXPECT_NEAR(figures.sparsity(), 2.0 / 7, 1e-12);
}

TEST(WeightFigures, CountsWhatIsNoNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(analysis::weight_figures(Tensor::from<float>({4}, {1.0F, nan, nan, 2.0F})).nans, 2U);
  EXPECT_EQ(analysis::weight_figures(Tensor::from<float>({2}, {1.0F, 2.0F})).nans, 0U);
}

TEST(WeightFigures, EntropyOfItsValues) {
  const std::vector<float> values{0, 0, -0.0F, 0, 1, 1, 2, 3};
  EXPECT_DOUBLE_EQ(analysis::weight_figures(Tensor::from(Shape{8}, values)).entropy_bits, 1.75);
}

TEST(WeightFigures, GivesUpOnDistinctValuesPastTheLimit) {
  std::vector<float> values(70000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const auto size = static_cast<int64_t>(values.size());
  EXPECT_EQ(analysis::weight_figures(Tensor::from(Shape{size}, values)).distinct, 0U);
  values.resize(65536);
  EXPECT_EQ(analysis::weight_figures(Tensor::from(Shape{65536}, values)).distinct, 65536U);
}

TEST(WeightFigures, EmptyAndIntegerTensors) {
  EXPECT_EQ(analysis::weight_figures(Tensor(DataType::kFloat, {0})).count, 0U);
  EXPECT_EQ(analysis::count_nonzeros(Tensor::from(Shape{3}, std::vector<int8_t>{0, -1, 2})), 2U);
}

/// Every third is zero, and so is what `first` says.
template <class T>
std::vector<T> with_zeros(size_t count, T first) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = i % 3 == 0 ? T{0} : static_cast<T>(i % 100 + 1);
  values[0] = first;
  return values;
}

TEST(CountNonzeros, OfAnySize) {
  // Around what is counted side by side, and what a counter of a byte can hold.
  for (const size_t count : {size_t{1}, size_t{63}, size_t{64}, size_t{16319}, size_t{16321}, size_t{100003}}) {
    const uint64_t expected = count - (count + 2) / 3;
    const Shape shape{static_cast<int64_t>(count)};
    EXPECT_EQ(analysis::count_nonzeros(Tensor::from(shape, with_zeros<float>(count, -0.0F))), expected);
    EXPECT_EQ(analysis::count_nonzeros(Tensor::from(shape, with_zeros<int8_t>(count, 0))), expected);
  }
  EXPECT_EQ(analysis::count_nonzeros(Tensor(DataType::kInt8, {70000})), 0U);
}

TEST(CountNonzeros, OfAFileThatIsHashed) {
  Model model = model_from_text(R"(
    <ir_version: 8, opset_import: ["": 17]>
    g (float[2] x) => (float[2] y) <float[2] a = {1.0, 2.0}> { y = Add(x, a) })");
  constexpr size_t kCount = 300001;
  model.graph().add_constant("f", Tensor::from(Shape{kCount}, with_zeros<float>(kCount, 0)));
  model.graph().add_constant("i", Tensor::from(Shape{kCount}, with_zeros<int8_t>(kCount, 0)));
  const auto path = std::filesystem::path(::testing::TempDir()) / "count_nonzeros_test.onnx";
  model.save(path, {.overwrite = true});
  const Model loaded = Model::load(path);
  const Model later = loaded.clone();
  EXPECT_EQ(analysis::hash_and_count(loaded.clone(), path), support::hash_file(path));
  for (const char* name : {"f", "i"}) {
    EXPECT_EQ(ir::known_nonzeros(later.graph().find(name)), kCount - (kCount + 2) / 3);
    EXPECT_EQ(analysis::count_nonzeros(later.graph().find(name)),
              analysis::count_nonzeros(*later.graph().find(name).constant()));
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace mcompress::test
