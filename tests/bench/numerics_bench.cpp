// SPDX-License-Identifier: Apache-2.0
// How near the numeric loops come to the memory: compare each figure with ReadMemory of the same
// run.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "numerics/gptq.h"
#include "numerics/kmeans.h"
#include "numerics/low_rank.h"
#include "numerics/moments.h"
#include "numerics/obs_solver.h"
#include "numerics/range_choice.h"
#include "numerics/sparsity.h"
#include "numerics/sums_simd.h"
#include "numerics/weight_quantize.h"
#include "support/half.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kLarge = int64_t{1} << 24;

// Roughly normal: a sum of four uniforms from a linear congruential generator.
std::vector<float> values(int64_t count) {
  std::vector<float> result(static_cast<size_t>(count));
  uint64_t state = 1;
  for (float& value : result) {
    float sum = 0;
    for (int i = 0; i < 4; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      sum += static_cast<float>(state >> 40) * 0x1p-24F - 0.5F;
    }
    value = sum * 0.1F;
  }
  return result;
}

void set_bytes(benchmark::State& state, int64_t floats) {
  state.SetBytesProcessed(state.iterations() * floats * 4);
}

void ReadMemory(benchmark::State& state) {
  const std::vector<float> x = values(kLarge);
  for (auto _ : state) {
    const auto* words = reinterpret_cast<const unsigned char*>(x.data());
    uint64_t sum = 0;
    for (size_t i = 0; i < x.size() * 4; i += 64) sum += words[i];
    benchmark::DoNotOptimize(sum);
  }
  set_bytes(state, kLarge);
}

void MinMaxScan(benchmark::State& state) {
  const std::vector<float> x = values(kLarge);
  for (auto _ : state) benchmark::DoNotOptimize(simd::min_max(x));
  set_bytes(state, kLarge);
}

void QuantizeInt8(benchmark::State& state) {
  const std::vector<float> x = values(kLarge);
  std::vector<int8_t> stored(x.size());
  for (auto _ : state) simd::quantize(x, {0.002F, 0}, kInt8SymmetricRange, stored);
  set_bytes(state, kLarge);
}

void QuantizeWeights(benchmark::State& state) {
  const std::vector<float> x = values(kLarge);
  const bool by_column = state.range(0) != 0;
  const ChannelLayout layout =
      by_column ? ChannelLayout{4096, 4096, 1} : ChannelLayout{1, 4096, 4096};
  for (auto _ : state) benchmark::DoNotOptimize(quantize_weights(x, layout, {}));
  set_bytes(state, kLarge);
}

void HistogramAdd(benchmark::State& state) {
  const std::vector<float> x = values(state.range(0));
  Histogram histogram;
  for (auto _ : state) histogram.add(x);
  set_bytes(state, state.range(0));
}

void HistogramAddSampled(benchmark::State& state) {
  const std::vector<float> x = values(1 << 20);
  Histogram histogram;
  for (auto _ : state) histogram.add_sampled(x, 1 << 14);
  set_bytes(state, 1 << 20);
}

void ChannelSums(benchmark::State& state) {
  const std::vector<float> x = values(kLarge);
  const auto channels = static_cast<size_t>(state.range(0));
  std::vector<double> sums(channels), squares(channels);
  std::vector<float> min(channels), max(channels);
  for (auto _ : state) {
    if (state.range(1) != 0) {
      simd::column_sums(x, sums, squares, min, max);
    } else {
      const size_t inner = x.size() / channels;
      for (size_t c = 0; c < channels; ++c) {
        benchmark::DoNotOptimize(
            simd::run_sums(std::span<const float>(x).subspan(c * inner, inner)));
      }
    }
  }
  set_bytes(state, kLarge);
}

void RowsOfConvolution(benchmark::State& state) {
  const int64_t spatial[] = {28, 28};
  const std::vector<float> x = values(128 * 28 * 28);
  const ConvGeometry geometry{
      .kernel = {3, 3}, .strides = {1, 1}, .dilations = {1, 1}, .pads = {1, 1, 1, 1}};
  for (auto _ : state) benchmark::DoNotOptimize(im2col(x, 1, 128, spatial, geometry, 0, 1));
  set_bytes(state, 9 * 128 * 28 * 28);
}

void Moments(benchmark::State& state) {
  const int64_t inputs = state.range(0);
  const std::vector<float> rows = values(inputs * 1024);
  InputMoments moments(inputs);
  for (auto _ : state) moments.add(rows);
  state.SetItemsProcessed(state.iterations() * inputs * inputs * 1024);
}

void ChooseRange(benchmark::State& state) {
  Histogram histogram;
  histogram.add(values(1 << 20));
  RangeOptions options;
  options.method = static_cast<RangeMethod>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(choose_range(histogram, options));
}

void KMeans(benchmark::State& state) {
  const std::vector<float> x = values(10'000'000);
  KMeansOptions options;
  options.codes = static_cast<int>(state.range(0));
  options.method = state.range(1) != 0 ? KMeansMethod::kExact : KMeansMethod::kHistogram;
  for (auto _ : state) benchmark::DoNotOptimize(cluster_values(std::span<const float>(x), options));
}

void AssignCodes(benchmark::State& state) {
  const std::vector<float> x = values(kLarge);
  KMeansOptions options;
  options.codes = 256;
  const CodeAssigner assigner(cluster_values(std::span<const float>(x), options));
  std::vector<uint8_t> codes(x.size());
  for (auto _ : state) assigner.assign(x, codes);
  state.SetItemsProcessed(state.iterations() * kLarge);
}

void PruneMagnitude(benchmark::State& state) {
  const std::vector<float> scores = magnitude_scores(values(kLarge));
  const ScoredLayer layer{scores};
  for (auto _ : state) benchmark::DoNotOptimize(prune_lowest({&layer, 1}, kLarge / 10 * 9));
  state.SetItemsProcessed(state.iterations() * kLarge);
}

void FactorizeWeight(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const std::vector<float> x = values(rows * 1024);
  for (auto _ : state) benchmark::DoNotOptimize(LowRank(x, rows, 1024).factors(256));
}

// Moments of as many rows as the layer has inputs, then four weights in five pruned: in one pass, or by
// the sweeps of the default method.
void PruneLayer(benchmark::State& state) {
  const int64_t inputs = state.range(0), outputs = 1024;
  const std::vector<float> weights = values(inputs * outputs), rows = values(inputs * inputs);
  for (auto _ : state) {
    InputMoments moments(inputs);
    moments.add(rows);
    const std::vector<double> gram = moments.gram();
    const LayerProblem layer{weights, inputs, outputs, gram};
    if (state.range(1) != 0) {
      benchmark::DoNotOptimize(sparse_gpt(layer, 0.8));
      continue;
    }
    ObsLayer solver({&layer, 1}, obs_options(inputs, outputs, 0.05));
    solver.prune(sparsity_rule(0.8));
    benchmark::DoNotOptimize(solver.weights());
  }
}

void FloatToHalf(benchmark::State& state) {
  const std::vector<float> x = values(kLarge);
  std::vector<uint16_t> bits(x.size());
  for (auto _ : state) float_to_half(x, bits);
  set_bytes(state, kLarge);
}

BENCHMARK(ReadMemory);
BENCHMARK(MinMaxScan);
BENCHMARK(QuantizeInt8);
BENCHMARK(QuantizeWeights)->Arg(0)->Arg(1);
BENCHMARK(HistogramAdd)->Arg(480)->Arg(1 << 20);
BENCHMARK(HistogramAddSampled);
BENCHMARK(ChannelSums)->Args({512, 0})->Args({512, 1})->Args({65536, 0});
BENCHMARK(RowsOfConvolution);
BENCHMARK(Moments)->Arg(64)->Arg(576);
BENCHMARK(ChooseRange)->DenseRange(0, 3);
BENCHMARK(KMeans)->Args({16, 0})->Args({256, 0})->Args({256, 1})->Unit(benchmark::kMillisecond);
BENCHMARK(AssignCodes);
BENCHMARK(PruneMagnitude);
BENCHMARK(FactorizeWeight)->Arg(1024)->Arg(4096)->Unit(benchmark::kMillisecond);
BENCHMARK(PruneLayer)->Args({4096, 1})->Args({4096, 0})->Unit(benchmark::kMillisecond);
BENCHMARK(FloatToHalf);

}  // namespace
}  // namespace mcompress::numerics

BENCHMARK_MAIN();
