// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mcompress/target.h"
#include "quantization/units.h"

namespace mcompress::quantization {

/// Nanoseconds of a unit in float and in 8 bits, without the changes between the two at its edges.
struct UnitCost {
  double in_float = 0;
  double in_int8 = 0;
};

/// Built-in costs of ONNX Runtime 1.30 on one core of a target, from the measurements of
/// algorithms.md section 3 and tests/bench/int8_costs: they choose, they do not promise.
class CostModel {
 public:
  explicit CostModel(const Target& target);

  UnitCost unit(const Unit& unit) const;
  /// Float to 8 bits and back for a value of so many elements; `spatial` values change their
  /// layout, too.
  double quantize(int64_t elements, bool spatial) const;
  double dequantize(int64_t elements, bool spatial) const;

 private:
  UnitCost convolution(const Unit& unit) const;
  UnitCost product(const Unit& unit) const;

  double integer_slowdown_ = 1;  ///< without dot-product instructions
};

}  // namespace mcompress::quantization
