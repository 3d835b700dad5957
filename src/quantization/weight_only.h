// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "forms/quantized_weight.h"
#include "mcompress/layer.h"
#include "mcompress/pass_context.h"
#include "quantization/rounding.h"

namespace mcompress::quantization {

/// Widths of weights that are stored in few bits and computed in float.
enum class WeightBits { k8, k4, k3, k2, kTernary, kBinary };
/// Bits that one code takes where it is packed well.
double stored_bits(WeightBits bits);

enum class WeightMethod {
  kBalanced,  ///< to nearest, but the errors of each output add up to nothing (balanced_rounding.h)
  kNearest,
  kMse,
  kGptq,
  kAwq,       ///< inputs that carry more are given finer steps: input_scales.h
};

struct WeightOnlyOptions {
  WeightBits bits = WeightBits::k8;
  WeightMethod method = WeightMethod::kBalanced;
  int64_t block = 0;          ///< inputs of one output that share a scale; 0: all of them
  bool symmetric = true;
  bool per_tensor = false;    ///< one scale for the whole weight
  bool input_scales = true;   ///< the form can hold them
};

struct WeightOnly {
  forms::QuantizedWeight weight;
  std::string note;  ///< what a person should know of it, or ""
};

/// The block that a layer can have: `wanted` or the largest power of two from 16 on that divides its
/// inputs; 0 where there is none, where the layer has no matrix, or where a block would hold them all.
int64_t block_for(const Layer& layer, int64_t wanted);

/// Integers and scales of a weight (float) in the layout of the layer, or with blocks and input
/// scales as a matrix: [outputs, inputs] where the outputs are in front, else [inputs, outputs];
/// `weight.shape` then is the layer's. Embeddings have a scale for each row. `moments`: of each
/// group, empty where there are none, which kGptq and kAwq then say. Throws Unsupported for NaN and
/// infinities.
WeightOnly quantize_weight_only(const Layer& layer, const Tensor& weight,
                                std::span<const LayerMoments> moments,
                                const WeightOnlyOptions& options);

/// Of a weight that lies in a file as the bytes of its floats, which need not be aligned: what
/// quantize_weight_only gives without moments. Empty where that takes more than to round each
/// output on its own, or the weight cannot be rounded.
std::optional<WeightOnly> quantize_mapped(const Layer& layer, std::span<const std::byte> weight,
                                          const WeightOnlyOptions& options);

/// Throws Unsupported where the integers, scales and nodes would take as many bytes as the floats.
void require_gain(const Layer& layer, const WeightOnlyOptions& options);
/// Throws Unsupported for a weight so small that its scale underflows: all integers would be 0.
void require_scale(const Layer& layer, const WeightOnly& result);

}  // namespace mcompress::quantization
