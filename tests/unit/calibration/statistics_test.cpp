// SPDX-License-Identifier: Apache-2.0
#include "calibration/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "calibration/collect.h"
#include "numerics/range_choice.h"
#include "support/memory.h"
#include "tests/support/memory_dataset.h"
#include "tests/unit/ir/ir_test_support.h"

namespace mcompress::calibration {
namespace {

constexpr int64_t kChannels = 8;
constexpr int64_t kPositions = 4000;

/// Channels of standard deviation 1, the last of which is rarely 12 times as wide: [1, C, P].
Tensor skewed() {
  std::mt19937 engine(3);
  std::normal_distribution<float> normal;
  std::vector<float> values;
  for (int64_t c = 0; c < kChannels; ++c) {
    for (int64_t p = 0; p < kPositions; ++p) {
      const float v = normal(engine);
      values.push_back(c + 1 < kChannels ? v : p % 20 == 0 ? 12 * v : 0.3F * v);
    }
  }
  return Tensor::from<float>({1, kChannels, kPositions}, values);
}

ValueStatistics statistics_of(const Tensor& tensor) {
  ValueStatistics statistics;
  statistics.channel_axis = 1;
  EXPECT_EQ(statistics.add(tensor), 0);
  return statistics;
}

/// What the definition of kAuto asks for, from the data itself.
double output_error(const Tensor& tensor, const ChosenRange& range, const RangeOptions& options,
                    const std::vector<double>& energy) {
  const numerics::IntRange grid = numerics::int_range(options.bits, false, false);
  const auto params = numerics::asymmetric_params(range.low, range.high, grid);
  const auto values = tensor.as<float>();
  double error = 0;
  for (size_t c = 0; c < kChannels; ++c) {
    error += energy[c] * numerics::simd::quantization_error(
                             values.subspan(c * kPositions, kPositions), {}, params, grid);
  }
  return error;
}

TEST(ChooseRange, AutoHasTheLeastErrorAtTheOutput) {
  const Tensor tensor = skewed();
  const ValueStatistics statistics = statistics_of(tensor);
  for (const double last : {0.0, 1.0, 100.0}) {
    for (const int bits : {6, 8}) {
      std::vector<double> energy(kChannels, 1.0);
      energy.back() = last;
      RangeOptions options{.method = RangeMethod::kAuto, .bits = bits};
      const ChosenRange chosen = choose_range(statistics, options, energy);
      const double found = output_error(tensor, chosen, options, energy);
      for (const RangeMethod method :
           {RangeMethod::kMse, RangeMethod::kMinMax, RangeMethod::kPercentile,
            RangeMethod::kEntropy, RangeMethod::kMovingAverage}) {
        RangeOptions other = options;
        other.method = method;
        const ChosenRange range = choose_range(statistics, other, energy);
        EXPECT_LE(found, output_error(tensor, range, options, energy) * 1.05)
            << method_name(method) << " against " << method_name(chosen.method) << ", " << bits
            << " bits, " << last;
      }
    }
  }
}

TEST(ChooseRange, AutoKeepsWhatWeighsAndCutsWhatDoesNot) {
  const ValueStatistics statistics = statistics_of(skewed());
  const RangeOptions options{.method = RangeMethod::kAuto, .bits = 6};
  std::vector<double> energy(kChannels, 1.0);
  energy.back() = 0;
  const float without = choose_range(statistics, options, energy).high;
  energy.back() = 1000;
  const float with = choose_range(statistics, options, energy).high;
  EXPECT_LT(without, 0.5F * with);
  EXPECT_EQ(choose_range(statistics, options, {}).method, RangeMethod::kMse);
}

TEST(ChannelEnergies, SumTheSquaresOfWhatReadsAChannel) {
  const Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[1,2,3,3] x) => (float[1,2,3,3] y)
  <float[2,2,1,1] w = {1, 2, 3, 4}> { y = Conv(x, w) })");
  const auto energies = channel_energies(model);
  ASSERT_TRUE(energies.contains("x"));
  EXPECT_THAT(energies.at("x"), ::testing::ElementsAre(10, 20));
}

TEST(ValueStatistics, PartsMergeToTheWhole) {
  const Tensor tensor = skewed();
  ValueStatistics whole = statistics_of(tensor), parts = statistics_of(tensor);
  whole.add(tensor);
  parts.merge(statistics_of(tensor));
  EXPECT_TRUE(whole.histogram == parts.histogram);
  EXPECT_EQ(whole.samples, parts.samples);
  EXPECT_EQ(whole.channels.positions(), parts.channels.positions());
  EXPECT_THAT(
      parts.channels.statistics().mean_square,
      ::testing::Pointwise(::testing::DoubleNear(1e-9), whole.channels.statistics().mean_square));
}

TEST(ValueStatistics, ChannelsOfAChangingNumberAreDropped) {
  ValueStatistics statistics;
  statistics.channel_axis = 1;
  statistics.add(Tensor::from<float>({1, 2}, std::vector<float>{1, 2}));
  EXPECT_FALSE(statistics.channels.empty());
  statistics.add(Tensor::from<float>({1, 3}, std::vector<float>{1, 2, 3}));
  EXPECT_TRUE(statistics.channels.empty());
  statistics.add(Tensor::from<float>({1, 3}, std::vector<float>{1, 2, 3}));
  EXPECT_TRUE(statistics.channels.empty());
  EXPECT_EQ(statistics.histogram.count(), 8);
}

/// Many samples that exist only while they are read; notes the memory in between.
class ManySamples final : public Dataset {
 public:
  explicit ManySamples(size_t size) : size_(size) {}
  size_t size() const override { return size_; }
  Feeds feeds(size_t first, size_t) const override {
    if (first > 20) peak_ = std::max(peak_, support::resident_bytes());
    std::vector<float> values(3 * 32 * 32);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>((first * 31 + i * 7) % 101) - 50.0F;
    }
    return {{"x", Tensor::from<float>({1, 3, 32, 32}, values)}};
  }
  bool batchable() const override { return false; }
  std::optional<Tensor> labels(size_t, size_t) const override { return std::nullopt; }
  bool has_labels() const override { return false; }
  std::string description() const override { return "many"; }
  std::string fingerprint() const override { return "many"; }
  uint64_t peak() const { return peak_; }

 private:
  size_t size_;
  mutable uint64_t peak_ = 0;
};

TEST(Collect, MemoryDoesNotGrowWithTheNumberOfSamples) {
  const auto runtime = make_onnx_runtime();
  const Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[1,3,32,32] x) => (float[1,3,32,32] y) { a = Relu(x)
  b = Add(a, x)
  y = Mul(a, b) })");
  const ObservedValue values[] = {{"x", 1}, {"a", 1}, {"b", 1}, {"y", 1}};
  const auto peak_of = [&](size_t samples) {
    const ManySamples data(samples);
    std::map<std::string, ValueStatistics> found;
    collect(*runtime, model, data, values, {}, found);
    EXPECT_EQ(found.at("y").samples, samples);
    return static_cast<double>(data.peak());
  };
  const double few = peak_of(300);
  EXPECT_LT(peak_of(3000), 1.05 * few);
}

TEST(Collect, ASmallBudgetGivesTheSame) {
  const auto runtime = make_onnx_runtime();
  const Model model = test::model_from_text(R"(<ir_version: 8, opset_import: ["" : 13]>
g (float[1,3,32,32] x) => (float[1,3,32,32] y) { a = Relu(x)
  b = Add(a, x)
  y = Mul(a, b) })");
  const ObservedValue values[] = {{"a", 1}, {"b", -1}, {"y", 1}};
  std::map<std::string, ValueStatistics> at_once, one_by_one;
  collect(*runtime, model, ManySamples(5), values, {}, at_once);
  collect(*runtime, model, ManySamples(5), values, {.tap_bytes = 1}, one_by_one);
  for (const auto& [name, statistics] : at_once) {
    EXPECT_TRUE(statistics.histogram == one_by_one.at(name).histogram) << name;
  }
}

}  // namespace
}  // namespace mcompress::calibration
