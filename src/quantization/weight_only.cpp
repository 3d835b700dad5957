// SPDX-License-Identifier: Apache-2.0
#include "quantization/weight_only.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "analysis/layer_matrix.h"
#include "analysis/weights.h"
#include "forms/stored_form.h"
#include "ir/allocation.h"
#include "mcompress/error.h"
#include "numerics/balanced_rounding.h"
#include "numerics/ternary.h"
#include "quantization/input_scales.h"
#include "quantization/rounding_grid.h"
#include "support/parallel_for.h"

namespace mcompress::quantization {
namespace {

using numerics::ChannelLayout;
using numerics::QuantizedWeights;

constexpr int64_t kLeastBlock = 16;
/// What nodes and names of a form add to the file, with unpacking and without.
constexpr double kOverheadBytes = 160;
constexpr double kPackedOverheadBytes = 420;
/// Of a mapped weight that are copied at once.
constexpr int64_t kPieceElements = int64_t{1} << 17;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

bool has_levels(WeightBits bits) {
  return bits != WeightBits::kTernary && bits != WeightBits::kBinary;
}

int code_bits(WeightBits bits) {
  switch (bits) {
    case WeightBits::k8: return 8;
    case WeightBits::k4: return 4;
    case WeightBits::k3: return 3;
    default: return 2;
  }
}

numerics::IntRange range_of(const WeightOnlyOptions& options) {
  switch (options.bits) {
    case WeightBits::kTernary:
    case WeightBits::kBinary: return {-1, 1};
    case WeightBits::k8: return options.symmetric ? numerics::kInt8SymmetricRange
                                                  : numerics::kInt8Range;
    default: return numerics::int_range(code_bits(options.bits), options.symmetric);
  }
}

/// The weight as a matrix with whole blocks along its inputs.
struct MatrixView {
  Shape shape;
  int axis = 0;  ///< of the inputs
  MatrixView(const Layer& layer, int64_t inputs) {
    const int64_t outputs = layer.weight_count() / inputs;
    const bool outputs_first =
        layer.kind == LayerKind::kConv || layer.output_axis < layer.input_axis;
    shape = outputs_first ? Shape{outputs, inputs} : Shape{inputs, outputs};
    axis = outputs_first ? 1 : 0;
  }
};

int64_t inputs_of(const Layer& layer) {
  return layer.kind == LayerKind::kConv ? layer.inputs / layer.groups * layer.kernel : layer.inputs;
}

/// Where scales are on their own: fn(first element, layout).
template <class Fn>
void for_each_part(const Layer& layer, const WeightOnlyOptions& options, Fn fn) {
  if (options.per_tensor) return fn(size_t{0}, ChannelLayout{1, 1, layer.weight_count()});
  if (layer.kind == LayerKind::kEmbedding) {
    return fn(size_t{0}, ChannelLayout{1, layer.inputs, layer.outputs});
  }
  if (options.block == 0) return fn(size_t{0}, channel_layout(layer));
  const MatrixView view(layer, inputs_of(layer));
  if (view.axis == 1) {
    const int64_t blocks = layer.weight_count() / options.block;
    return fn(size_t{0}, ChannelLayout{1, blocks, options.block});
  }
  const int64_t outputs = view.shape[1];
  for (int64_t at = 0; at < view.shape[0]; at += options.block) {
    fn(to_size(at * outputs), ChannelLayout{options.block, outputs, 1});
  }
}

/// One byte each, not initialized.
Tensor new_codes(const Shape& shape) {
  return Tensor::adopt(DataType::kInt8, shape, ir::allocate_payload(to_size(element_count(shape))));
}

numerics::WeightQuantOptions rounding_of(const WeightOnlyOptions& options) {
  numerics::WeightQuantOptions how{.range = range_of(options), .symmetric = options.symmetric};
  // At two or three bits the largest weight would leave no level for the others.
  const bool few = options.bits == WeightBits::k2 || options.bits == WeightBits::k3;
  const bool search = options.method != WeightMethod::kNearest &&
                      (few || options.method != WeightMethod::kBalanced);
  if (search) how.clip = numerics::ClipSearch::kMse;
  return how;
}

bool balances(const Layer& layer, const WeightOnlyOptions& options) {
  return options.method == WeightMethod::kBalanced && layer.kind != LayerKind::kEmbedding;
}

/// The integers go to `stored`, as weights may be large.
numerics::ChannelScales round_part(const Layer& layer, std::span<const float> weight,
                                   ChannelLayout layout, const WeightOnlyOptions& options,
                                   std::span<int8_t> stored) {
  if (has_levels(options.bits)) {
    const auto how = rounding_of(options);
    return balances(layer, options) ? numerics::quantize_balanced(weight, layout, how, stored)
                                    : numerics::quantize_weights(weight, layout, how, stored);
  }
  QuantizedWeights signs = options.bits == WeightBits::kTernary
                               ? numerics::quantize_ternary(weight, layout)
                               : numerics::quantize_binary(weight, layout);
  std::copy(signs.values.begin(), signs.values.end(), stored.begin());
  return {std::move(signs.scales), std::move(signs.zero_points)};
}

/// Scales in the order of for_each_part.
numerics::ChannelScales rounded_by_parts(const Layer& layer, std::span<const float> weight,
                                         const WeightOnlyOptions& options,
                                         std::span<int8_t> codes) {
  numerics::ChannelScales result;
  for_each_part(layer, options, [&](size_t first, ChannelLayout layout) {
    const size_t size = to_size(layout.size());
    const auto part = round_part(layer, weight.subspan(first, size), layout, options,
                                 codes.subspan(first, size));
    result.scales.insert(result.scales.end(), part.scales.begin(), part.scales.end());
    result.zero_points.insert(result.zero_points.end(), part.zero_points.begin(),
                              part.zero_points.end());
  });
  return result;
}

/// Where channels lie one after the other: some at a time, each thread with a copy of its own.
numerics::ChannelScales rounded_by_pieces(const Layer& layer, std::span<const std::byte> weight,
                                          ChannelLayout layout, const WeightOnlyOptions& options,
                                          std::span<int8_t> codes) {
  numerics::ChannelScales result;
  result.scales.resize(to_size(layout.channels));
  if (!options.symmetric) result.zero_points.resize(result.scales.size());
  const int64_t at_once = std::max<int64_t>(1, kPieceElements / layout.inner);
  parallel_for(0, layout.channels, at_once, [&](int64_t first, int64_t last) {
    const size_t begin = to_size(first * layout.inner);
    std::vector<float> piece(to_size((last - first) * layout.inner));
    std::memcpy(piece.data(), weight.data() + begin * sizeof(float), piece.size() * sizeof(float));
    const auto part = round_part(layer, piece, {1, last - first, layout.inner}, options,
                                 codes.subspan(begin, piece.size()));
    std::copy(part.scales.begin(), part.scales.end(), result.scales.begin() + first);
    std::copy(part.zero_points.begin(), part.zero_points.end(), result.zero_points.begin() + first);
  });
  return result;
}

RoundedWeight rounded_by_gptq(const Layer& layer, const Tensor& weight,
                              std::span<const LayerMoments> moments,
                              const WeightOnlyOptions& options) {
  RoundingOptions how{.method = Rounding::kGptq,
                      .range = range_of(options),
                      .symmetric = options.symmetric,
                      .block = options.block};
  if (has_levels(options.bits)) return round_weight(layer, weight, moments, how);
  // The scale of least error without looking at the inputs; which weights are 0 is GPTQ's choice.
  std::vector<int8_t> codes(to_size(weight.count()));
  const auto start = rounded_by_parts(layer, weight.as<float>(), options, codes);
  how.scales = start.scales;
  return round_weight(layer, weight, moments, how);
}

forms::QuantizedWeight as_form(const Layer& layer, Tensor codes,
                               std::span<const float> scales, std::span<const int32_t> zero_points,
                               const WeightOnlyOptions& options) {
  forms::QuantizedWeight result;
  Shape scale_shape;
  result.shape = {};
  Shape shape = layer.weight_shape;
  if (options.block > 0) {
    const MatrixView view(layer, inputs_of(layer));
    result.axis = view.axis;
    result.block = options.block;
    if (view.shape != shape) result.shape = std::exchange(shape, view.shape);
    scale_shape = shape;
    scale_shape[to_size(view.axis)] /= options.block;
  } else {
    result.axis = layer.kind == LayerKind::kEmbedding ? layer.input_axis : layer.output_axis;
    if (!options.per_tensor) scale_shape = {static_cast<int64_t>(scales.size())};
  }
  result.codes = codes.reshaped(shape);
  result.scales = Tensor::from(scale_shape, scales);
  if (zero_points.empty()) return result;
  // Codes of few bits start at 0, those of eight at -128.
  const Tensor zeros = Tensor::from(scale_shape, zero_points);
  result.zero_points = zeros.cast(DataType::kInt8);
  return result;
}

void require_finite(const Layer& layer, std::span<const float> weight) {
  if (numerics::min_max(weight).non_finite == 0) return;
  throw Unsupported("its weight '" + layer.weight.name() + "' holds NaN or infinite values");
}

/// With input scales: the same weight as a matrix.
void as_matrix(const Layer& layer, forms::QuantizedWeight& weight) {
  if (weight.block > 0) return;
  const MatrixView view(layer, inputs_of(layer));
  weight.axis = 1 - view.axis;
  if (view.shape == layer.weight_shape) return;
  weight.codes = weight.codes.reshaped(view.shape);
  weight.shape = layer.weight_shape;
}

}  // namespace

double stored_bits(WeightBits bits) {
  switch (bits) {
    case WeightBits::kTernary: return 1.6;
    case WeightBits::kBinary: return 1;
    default: return code_bits(bits);
  }
}

int64_t block_for(const Layer& layer, int64_t wanted) {
  const bool possible =
      layer.kind != LayerKind::kConvTranspose && analysis::LayerMatrix::obstacle(layer).empty();
  if (wanted == 0 || !possible) return 0;
  const int64_t inputs = inputs_of(layer);
  for (int64_t block = wanted; block >= kLeastBlock; block /= 2) {
    if (block < inputs && inputs % block == 0) return block;
  }
  return 0;
}

WeightOnly quantize_weight_only(const Layer& layer, const Tensor& weight,
                                std::span<const LayerMoments> moments,
                                const WeightOnlyOptions& options) {
  // Rounding to levels finds out by itself.
  const bool rounds = has_levels(options.bits) && moments.empty();
  if (!rounds) require_finite(layer, weight.as<float>());
  const bool wants_moments =
      options.method == WeightMethod::kGptq || options.method == WeightMethod::kAwq;
  const bool possible = !options.per_tensor && analysis::LayerMatrix::obstacle(layer).empty() &&
                        !moments.empty();
  WeightOnly result;
  if (wants_moments && !possible) result.note = "no moments of its inputs: method mse";
  if (possible && options.method == WeightMethod::kGptq && options.bits != WeightBits::kBinary) {
    RoundedWeight rounded = rounded_by_gptq(layer, weight, moments, options);
    result.note = rounded.note;
    result.weight = as_form(layer, Tensor::from(layer.weight_shape, rounded.codes), rounded.scales,
                            rounded.zero_points, options);
    return result;
  }
  std::vector<float> factors;
  Tensor scaled = weight;
  if (possible && options.method == WeightMethod::kAwq) {
    factors = options.input_scales ? find_input_scales(layer, weight, moments, options, result.note)
                                   : std::vector<float>();
    if (!options.input_scales) result.note = "its form has no place for input scales: method mse";
    if (!factors.empty()) scaled = scale_inputs(layer, weight, factors);
  }
  Tensor codes = new_codes(layer.weight_shape);
  numerics::ChannelScales channels;
  try {
    channels = rounded_by_parts(layer, scaled.as<float>(), options, codes.mutate_as<int8_t>());
  } catch (const Error&) {
    require_finite(layer, weight.as<float>());
    throw;
  }
  result.weight =
      as_form(layer, std::move(codes), channels.scales, channels.zero_points, options);
  if (!factors.empty()) {
    as_matrix(layer, result.weight);
    for (float& f : factors) f = 1 / f;
    result.weight.input_scales = Tensor::from({static_cast<int64_t>(factors.size())}, factors);
  }
  return result;
}

std::optional<WeightOnly> quantize_mapped(const Layer& layer, std::span<const std::byte> weight,
                                          const WeightOnlyOptions& options) {
  const ChannelLayout layout = layer.kind == LayerKind::kEmbedding
                                   ? ChannelLayout{1, layer.inputs, layer.outputs}
                                   : channel_layout(layer);
  const bool columns = has_levels(options.bits) && balances(layer, options) &&
                       numerics::channels_are_columns(layout);
  const bool in_pieces = layout.outer == 1 && layout.size() > 0;
  if (options.block > 0 || options.per_tensor || (!columns && !in_pieces)) return std::nullopt;
  Tensor codes = new_codes(layer.weight_shape);
  WeightOnly result;
  try {
    const auto stored = codes.mutate_as<int8_t>();
    const auto channels =
        columns ? numerics::quantize_balanced(weight, layout, rounding_of(options), stored)
                : rounded_by_pieces(layer, weight, layout, options, stored);
    result.weight = as_form(layer, std::move(codes), channels.scales, channels.zero_points, options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kModel) throw;
    return std::nullopt;
  }
  return result;
}

void require_gain(const Layer& layer, const WeightOnlyOptions& options) {
  const auto count = static_cast<double>(layer.weight_count());
  const int scaled_axis =
      layer.kind == LayerKind::kEmbedding ? layer.input_axis : layer.output_axis;
  const auto channels = static_cast<double>(layer.weight_shape[to_size(scaled_axis)]);
  const double scales = options.per_tensor ? 1
                        : options.block > 0 ? count / static_cast<double>(options.block)
                                            : channels;
  const double bits = stored_bits(options.bits);
  const double overhead = bits < 8 ? kPackedOverheadBytes : kOverheadBytes;
  const double bytes = count * bits / 8 + scales * (options.symmetric ? 4 : 8) + overhead;
  if (bytes < 4 * count) return;
  throw Unsupported("its " + std::to_string(layer.weight_count()) + " weights are too few to gain");
}

void require_scale(const Layer& layer, const WeightOnly& result) {
  const auto scales = result.weight.scales.as<float>();
  // A scale that underflows is written as 1.
  const bool suspicious = std::all_of(scales.begin(), scales.end(), [](float s) { return s == 1; });
  if (!suspicious || analysis::count_nonzeros(result.weight.codes) > 0) return;
  const auto weight = forms::constant_or_form(layer.weight);
  if (!weight || analysis::count_nonzeros(*weight) == 0) return;
  throw Unsupported("its weight '" + layer.weight.name() +
                    "' is so small that its scale would underflow");
}

}  // namespace mcompress::quantization
