// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "forms/layer_form.h"
#include "mcompress/cost_table.h"
#include "mcompress/layer.h"
#include "mcompress/target.h"
#include "quantization/units.h"

namespace mcompress::quantization {

/// Nanoseconds of a unit in float and in 8 bits, without the changes between the two at its edges.
struct UnitCost {
  double in_float = 0;
  double in_int8 = 0;
};

/// What every decision about time reads: the lines of a cost table where they are there, else the
/// built-in costs of the target, from measurements of ONNX Runtime 1.30 on one core
/// (algorithms.md section 3, tests/bench). Two forms of one thing are compared within one source:
/// both measured, or both built in. Costs choose, they do not promise.
class CostModel {
 public:
  /// `table` may be null and must outlive the model.
  explicit CostModel(const Target& target, const CostTable* table = nullptr);

  UnitCost unit(const Unit& unit) const;
  /// Float to 8 bits and back for a value of so many elements; `spatial` values change their
  /// layout, too.
  double quantize(int64_t elements, bool spatial) const;
  double dequantize(int64_t elements, bool spatial) const;

  /// Nanoseconds of a layer in a form; infinity where the runtime has no kernel for it. `rows`: of
  /// the product, or output positions of a Conv, over the batch; 0 where unknown. A static layer is
  /// taken to be in a chain: its in- and output stay in 8 bits.
  double layer(forms::LayerForm form, const Layer& layer, int64_t rows) const;
  /// The same over the time in float.
  double relative_time(forms::LayerForm form, const Layer& layer, int64_t rows) const;

 private:
  double built_in(forms::LayerForm form, const Layer& layer, int64_t rows) const;
  double convolution(forms::LayerForm form, const Layer& layer, int64_t rows) const;
  double product(forms::LayerForm form, const Layer& layer, int64_t rows) const;
  UnitCost matrices(const Unit& unit) const;

  const CostTable* table_;
  double integer_slowdown_ = 1;  ///< without dot-product instructions
};

/// Rows of a unit with a layer: of the product, or output positions, over the batch.
int64_t rows_of(const Unit& unit);

/// Keys of a cost table. "Conv 64x32x3x3 stride 2x2 rows 784: static int8": operator, weight as
/// stored, what else decides the kernel, rows, form.
std::string layer_key(const Layer& layer, int64_t rows, forms::LayerForm form);
/// Of a unit in float or in 8 bits; "" for units of no cost (kMove). "Add 4096: float".
std::string unit_key(const Unit& unit, bool in_int8);
/// "QuantizeLinear 4096 spatial".
std::string quantize_key(int64_t elements, bool spatial);
std::string dequantize_key(int64_t elements, bool spatial);

}  // namespace mcompress::quantization
