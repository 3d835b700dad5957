// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "mcompress/layer.h"
#include "mcompress/value_types.h"
#include "quantization/costs.h"

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

}  // namespace mcompress::quantization
