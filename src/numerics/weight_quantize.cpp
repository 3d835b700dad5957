// SPDX-License-Identifier: Apache-2.0
#include "numerics/weight_quantize.h"

#include <algorithm>
#include <string>
#include <utility>

#include "mcompress/error.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

// Elements that one task handles, so that tiny channels do not drown in scheduling.
constexpr int64_t kTaskElements = int64_t{1} << 18;
constexpr int64_t kColumnsPerTask = 1024;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

template <class T>
std::span<T> row_of(std::span<T> values, ChannelLayout layout, int64_t outer, int64_t channel) {
  return values.subspan(to_size((outer * layout.channels + channel) * layout.inner),
                        to_size(layout.inner));
}

int64_t channels_per_task(ChannelLayout layout) {
  return std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, layout.outer * layout.inner));
}

// inner == 1: the weight is a matrix whose columns are the channels.
void column_channels_min_max(std::span<const float> weights, ChannelLayout layout,
                             std::vector<MinMax>& result) {
  parallel_for(0, layout.channels, kColumnsPerTask, [&](int64_t first, int64_t last) {
    std::vector<float> min(to_size(last - first), MinMax{}.min);
    std::vector<float> max(to_size(last - first), MinMax{}.max);
    int64_t non_finite = 0;
    for (int64_t row = 0; row < layout.outer; ++row) {
      const auto part = weights.subspan(to_size(row * layout.channels + first), min.size());
      non_finite += simd::column_min_max(part, min, max);
    }
    for (size_t i = 0; i < min.size(); ++i) {
      result[to_size(first) + i] = {min[i], max[i], 0};
    }
    result[to_size(first)].non_finite = non_finite;
  });
}

// The channel's values one after the other.
void gather(std::span<const float> values, ChannelLayout layout, int64_t channel,
            std::vector<float>& out) {
  out.clear();
  for (int64_t outer = 0; outer < layout.outer; ++outer) {
    const auto row = row_of(values, layout, outer, channel);
    out.insert(out.end(), row.begin(), row.end());
  }
}

QuantParams params_at(const MinMax& extent, float ratio, const WeightQuantOptions& options) {
  if (extent.empty()) return {};
  if (options.symmetric) return symmetric_params(extent.abs_max() * ratio, options.range);
  return asymmetric_params(extent.min * ratio, extent.max * ratio, options.range);
}

// The error is nearly unimodal in the clipping ratio: a coarse grid, then a fine one around its
// best.
QuantParams least_error_params(std::span<const float> values, std::span<const float> importance,
                               const MinMax& extent, const WeightQuantOptions& options) {
  constexpr int kCoarseSteps = 36;
  constexpr float kCoarse = 0.025F;
  constexpr int kFineSteps = 4;
  constexpr float kFine = 0.005F;
  float best_ratio = 1.0F;
  double best_error = -1;
  const auto consider = [&](float ratio) {
    const QuantParams params = params_at(extent, ratio, options);
    const double error = simd::quantization_error(values, importance, params, options.range);
    if (best_error >= 0 && error >= best_error) return;
    best_error = error;
    best_ratio = ratio;
  };
  for (int i = 0; i < kCoarseSteps; ++i) consider(1.0F - kCoarse * static_cast<float>(i));
  const float center = best_ratio;
  for (int i = -kFineSteps; i <= kFineSteps; ++i) {
    const float ratio = center + kFine * static_cast<float>(i);
    if (i != 0 && ratio <= 1.0F) consider(ratio);
  }
  return params_at(extent, best_ratio, options);
}

void require_finite(std::span<const MinMax> extents) {
  int64_t non_finite = 0;
  for (const MinMax& extent : extents) non_finite += extent.non_finite;
  if (non_finite == 0) return;
  throw Error(ErrorCode::kModel,
              "weights hold " + std::to_string(non_finite) + " NaN or infinite values");
}

int32_t zero_point_at(std::span<const int32_t> zero_points, int64_t i) {
  return zero_points.empty() ? 0 : zero_points[to_size(i)];
}

// inner == 1: calls fn(first element, elements) for each row.
template <class Fn>
void for_each_row(ChannelLayout layout, Fn fn) {
  const int64_t rows = std::max<int64_t>(1, kTaskElements / layout.channels);
  parallel_for(0, layout.outer, rows, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      fn(to_size(row * layout.channels), to_size(layout.channels));
    }
  });
}

// Rows of a block are whole, so that block b is a matrix of its own.
template <class Fn>
void for_each_block(int64_t rows, int64_t columns, int64_t block, Fn fn) {
  for (int64_t first = 0; first < rows; first += block) {
    const int64_t height = std::min(block, rows - first);
    fn(to_size(first * columns), to_size(first / block * columns),
       ChannelLayout{height, columns, 1});
  }
}

}  // namespace

ChannelLayout channel_layout(std::span<const int64_t> shape, int axis) {
  ChannelLayout layout;
  for (int i = 0; i < static_cast<int>(shape.size()); ++i) {
    int64_t& part = i < axis ? layout.outer : i == axis ? layout.channels : layout.inner;
    part *= shape[to_size(i)];
  }
  return layout;
}

std::vector<MinMax> channel_min_max(std::span<const float> weights, ChannelLayout layout) {
  std::vector<MinMax> result(to_size(layout.channels));
  if (layout.channels == 1) {
    result[0] = min_max(weights);
    return result;
  }
  if (layout.inner == 1) {
    column_channels_min_max(weights, layout, result);
    return result;
  }
  parallel_for(0, layout.channels, channels_per_task(layout), [&](int64_t first, int64_t last) {
    for (int64_t channel = first; channel < last; ++channel) {
      MinMax& total = result[to_size(channel)];
      for (int64_t outer = 0; outer < layout.outer; ++outer) {
        const MinMax part = simd::min_max(row_of(weights, layout, outer, channel));
        total.min = std::min(total.min, part.min);
        total.max = std::max(total.max, part.max);
        total.non_finite += part.non_finite;
      }
    }
  });
  return result;
}

std::vector<QuantParams> channel_params(std::span<const float> weights, ChannelLayout layout,
                                        const WeightQuantOptions& options) {
  const std::vector<MinMax> extents = channel_min_max(weights, layout);
  if (options.clip == ClipSearch::kNone) return params_of(extents, options);
  require_finite(extents);
  std::vector<QuantParams> params(extents.size());
  parallel_for(0, layout.channels, channels_per_task(layout), [&](int64_t first, int64_t last) {
    std::vector<float> values;
    std::vector<float> importance;
    for (int64_t channel = first; channel < last; ++channel) {
      gather(weights, layout, channel, values);
      if (!options.importance.empty()) gather(options.importance, layout, channel, importance);
      params[to_size(channel)] =
          least_error_params(values, importance, extents[to_size(channel)], options);
    }
  });
  return params;
}

std::vector<QuantParams> params_of(std::span<const MinMax> extents,
                                   const WeightQuantOptions& options) {
  require_finite(extents);
  std::vector<QuantParams> params;
  for (const MinMax& extent : extents) params.push_back(params_at(extent, 1.0F, options));
  return params;
}

ChannelScales scales_of(std::span<const QuantParams> params, const WeightQuantOptions& options) {
  ChannelScales result;
  for (const QuantParams& one : params) {
    result.scales.push_back(one.scale);
    if (!options.symmetric) result.zero_points.push_back(one.zero_point);
  }
  return result;
}

void quantize_channels(std::span<const float> weights, ChannelLayout layout,
                       std::span<const float> scales, std::span<const int32_t> zero_points,
                       IntRange range, std::span<int8_t> stored) {
  if (layout.inner == 1 && layout.channels > 1) {
    for_each_row(layout, [&](size_t begin, size_t count) {
      const auto row = weights.subspan(begin, count);
      const auto out = stored.subspan(begin, count);
      if (zero_points.empty()) {
        simd::quantize_row(row, scales, range, out);
        return;
      }
      for (size_t i = 0; i < count; ++i) {
        out[i] = static_cast<int8_t>(quantize_value(row[i], {scales[i], zero_points[i]}, range));
      }
    });
    return;
  }
  parallel_for(0, layout.channels, channels_per_task(layout), [&](int64_t first, int64_t last) {
    for (int64_t channel = first; channel < last; ++channel) {
      const QuantParams params{scales[to_size(channel)], zero_point_at(zero_points, channel)};
      for (int64_t outer = 0; outer < layout.outer; ++outer) {
        quantize(row_of(weights, layout, outer, channel), params, range,
                 row_of(stored, layout, outer, channel));
      }
    }
  });
}

void dequantize_channels(std::span<const int8_t> stored, ChannelLayout layout,
                         std::span<const float> scales, std::span<const int32_t> zero_points,
                         std::span<float> weights) {
  if (layout.inner == 1 && layout.channels > 1) {
    for_each_row(layout, [&](size_t begin, size_t count) {
      for (size_t i = 0; i < count; ++i) {
        const int32_t zero_point = zero_points.empty() ? 0 : zero_points[i];
        weights[begin + i] = dequantize_value(stored[begin + i], {scales[i], zero_point});
      }
    });
    return;
  }
  parallel_for(0, layout.channels, channels_per_task(layout), [&](int64_t first, int64_t last) {
    for (int64_t outer = 0; outer < layout.outer; ++outer) {
      for (int64_t channel = first; channel < last; ++channel) {
        const QuantParams params{scales[to_size(channel)], zero_point_at(zero_points, channel)};
        simd::dequantize(row_of(stored, layout, outer, channel), params,
                         row_of(weights, layout, outer, channel));
      }
    }
  });
}

QuantizedWeights quantize_weights(std::span<const float> weights, ChannelLayout layout,
                                  const WeightQuantOptions& options) {
  std::vector<int8_t> values(weights.size());
  ChannelScales channels = quantize_weights(weights, layout, options, values);
  return {std::move(values), std::move(channels.scales), std::move(channels.zero_points)};
}

ChannelScales quantize_weights(std::span<const float> weights, ChannelLayout layout,
                               const WeightQuantOptions& options, std::span<int8_t> stored) {
  ChannelScales result = scales_of(channel_params(weights, layout, options), options);
  quantize_channels(weights, layout, result.scales, result.zero_points, options.range, stored);
  return result;
}

QuantizedWeights quantize_blocks(std::span<const float> weights, int64_t rows, int64_t columns,
                                 int64_t block, const WeightQuantOptions& options) {
  QuantizedWeights result;
  result.values.reserve(weights.size());
  for_each_block(rows, columns, block, [&](size_t begin, size_t, ChannelLayout layout) {
    const size_t count = to_size(layout.size());
    WeightQuantOptions own = options;
    if (!own.importance.empty()) own.importance = own.importance.subspan(begin, count);
    const QuantizedWeights part = quantize_weights(weights.subspan(begin, count), layout, own);
    result.values.insert(result.values.end(), part.values.begin(), part.values.end());
    result.scales.insert(result.scales.end(), part.scales.begin(), part.scales.end());
    result.zero_points.insert(result.zero_points.end(), part.zero_points.begin(),
                              part.zero_points.end());
  });
  return result;
}

void dequantize_blocks(const QuantizedWeights& quantized, int64_t rows, int64_t columns,
                       int64_t block, std::span<float> weights) {
  const std::span<const int8_t> stored(quantized.values);
  const std::span<const float> scales(quantized.scales);
  const std::span<const int32_t> zero_points(quantized.zero_points);
  for_each_block(rows, columns, block, [&](size_t begin, size_t first, ChannelLayout layout) {
    const size_t count = to_size(layout.size());
    const size_t width = to_size(columns);
    dequantize_channels(stored.subspan(begin, count), layout, scales.subspan(first, width),
                        zero_points.empty() ? zero_points : zero_points.subspan(first, width),
                        weights.subspan(begin, count));
  });
}

}  // namespace mcompress::numerics
