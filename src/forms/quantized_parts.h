// SPDX-License-Identifier: Apache-2.0
#pragma once

// What quantized_weight.cpp (DequantizeLinear) and scaled.cpp (Cast and Mul) share; not for others.
#include <optional>
#include <vector>

#include "forms/quantized_weight.h"

namespace mcompress::forms {

/// Where the parts of a quantized form are.
struct Parts {
  FormKind kind = FormKind::kDequantize;
  std::vector<NodeRef> nodes;  ///< behind the codes, end first
  ValueRef codes, scales, zero_points, input_scales, target;
  std::optional<StoredForm> encoded;  ///< codes behind an encoding
  DataType code_type = DataType::kInt8;
  Shape shape;   ///< of the codes; in blocks they are merged into their axis
  Shape result;  ///< of the float weight
  int axis = 0;
  int64_t block = 0;
};

/// `value` holds integers, plain or encoded: sets codes, encoded, code_type and both shapes.
bool match_codes_value(const ValueRef& value, Parts& parts);
/// Shape of scales in QuantizedWeight: [] for one, [channels], or that of the codes with blocks counted.
Shape scale_shape(const Shape& codes, int64_t scales, int axis, int64_t block);
std::optional<Parts> scaled_parts(const ValueRef& end);

}  // namespace mcompress::forms
