// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "numerics/quantize.h"

namespace mcompress::numerics {

/// Where the channels of a weight are: element (o, c, i) is at (o * channels + c) * inner + i.
/// Conv axis 0: {1, Cout, Cin * taps}; MatMul [K, N] axis 1: {K, N, 1}; whole tensor: {1, 1, n}.
struct ChannelLayout {
  int64_t outer = 1;
  int64_t channels = 1;
  int64_t inner = 1;

  int64_t size() const { return outer * channels * inner; }
};

/// The channels of a tensor of `shape` along `axis`.
ChannelLayout channel_layout(std::span<const int64_t> shape, int axis);

enum class ClipSearch {
  kNone,  ///< the largest weight stays representable
  kMse,   ///< the clipping of least squared error, large weights may saturate
};

struct WeightQuantOptions {
  IntRange range = kInt8SymmetricRange;
  /// Zero point 0 everywhere. Otherwise one zero point per scale, and 0 stays exact.
  bool symmetric = true;
  ClipSearch clip = ClipSearch::kNone;
  /// For kMse: empty, or one weight per element (such as the diagonal of the layer's Hessian).
  std::span<const float> importance = {};
};

struct QuantizedWeights {
  std::vector<int8_t> values;  ///< in the layout of the weights, one byte each
  std::vector<float> scales;
  std::vector<int32_t> zero_points;  ///< empty when symmetric
};

struct ChannelScales {
  std::vector<float> scales;
  std::vector<int32_t> zero_points;  ///< empty when symmetric
};

/// Least and greatest value of each channel.
std::vector<MinMax> channel_min_max(std::span<const float> weights, ChannelLayout layout);

/// Parameters of each channel (not yet the integers).
std::vector<QuantParams> channel_params(std::span<const float> weights, ChannelLayout layout,
                                        const WeightQuantOptions& options);

/// The same of extents that are known, without a search for where to clip.
std::vector<QuantParams> params_of(std::span<const MinMax> extents,
                                   const WeightQuantOptions& options);
ChannelScales scales_of(std::span<const QuantParams> params, const WeightQuantOptions& options);

/// Integers for given scales; zero_points is empty or as long as scales.
void quantize_channels(std::span<const float> weights, ChannelLayout layout,
                       std::span<const float> scales, std::span<const int32_t> zero_points,
                       IntRange range, std::span<int8_t> stored);
void dequantize_channels(std::span<const int8_t> stored, ChannelLayout layout,
                         std::span<const float> scales, std::span<const int32_t> zero_points,
                         std::span<float> weights);

/// channel_params and quantize_channels. Throws Error(kModel) on NaN or infinite weights.
QuantizedWeights quantize_weights(std::span<const float> weights, ChannelLayout layout,
                                  const WeightQuantOptions& options);
/// The integers go to `stored`.
ChannelScales quantize_weights(std::span<const float> weights, ChannelLayout layout,
                               const WeightQuantOptions& options, std::span<int8_t> stored);

/// Blocks of `block` rows (axis 0) of a [rows, columns] weight, the last one cut short: scales are
/// [ceil(rows / block), columns], as DequantizeLinear(axis = 0, block_size) and MatMulNBits want
/// them.
QuantizedWeights quantize_blocks(std::span<const float> weights, int64_t rows, int64_t columns,
                                 int64_t block, const WeightQuantOptions& options);
void dequantize_blocks(const QuantizedWeights& quantized, int64_t rows, int64_t columns,
                       int64_t block, std::span<float> weights);

}  // namespace mcompress::numerics
