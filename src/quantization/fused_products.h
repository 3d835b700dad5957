// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "forms/quantized_weight.h"
#include "mcompress/layer.h"
#include "mcompress/value_types.h"
#include "quantization/costs.h"
#include "quantization/weight_only.h"

namespace mcompress::quantization {

/// The runtime makes a MatMulNBits of this layer behind a DequantizeLinear, once transB is gone. Not
/// in front of an activation: the runtime joins Gemm and activation first.
bool becomes_nbits(const Layer& layer);

/// Rows of the product for one sample; nothing where more than the first dimension is open.
std::optional<int64_t> product_rows(const ValueType& input);

/// By the costs, for 4 or 8 bits. Built in: from 2^17 weights on with up to 2 rows, from 2^19 on with
/// up to 8 (blocks of 32 and of 128); smaller weights or more rows are slower than float, by up to
/// twice. False where the rows are not known.
bool is_faster_as_nbits(const Layer& layer, const std::optional<int64_t>& rows, int bits,
                        const CostModel& costs);

/// The first one with a DequantizeLinear that has a scale for each output.
constexpr int64_t kDequantizeOpset = 13;

/// Lets the layer read the integers behind a DequantizeLinear, from which the runtime makes a MatMulNBits
/// where becomes_nbits holds; a weight with transB is turned then. Opsets that cannot say so get the
/// MatMulNBits itself.
void read_fused(const Layer& layer, forms::QuantizedWeight weight, WeightBits width);

}  // namespace mcompress::quantization
