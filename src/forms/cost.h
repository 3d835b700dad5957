// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "mcompress/layer.h"
#include "mcompress/target.h"

namespace mcompress::forms {

/// How a layer runs, as opposed to how its weight is stored.
enum class LayerForm {
  kFloat,          ///< plain, any encoding, kCast or kScaled weights: all fold to float
  kStaticInt8,     ///< Q and DQ around it
  kDynamicInt8,    ///< emit_dynamic
  kWeightOnly8,    ///< MatMulNBits of 8 bits, or a DequantizeLinear that becomes one
  kWeightOnly4,    ///< MatMulNBits of 4 bits
  kDequantizeEachRun,  ///< weight-only DequantizeLinear before a Conv or a Gemm with transB
};

struct FormFacts {
  std::string_view name;
  int64_t least_opset;             ///< of ai.onnx
  std::string_view least_runtime;  ///< oldest ONNX Runtime in which it loads and is fast
};
FormFacts facts(LayerForm form);

/// Built-in cost: time of the layer in `form` over its time in float (algorithms.md section 3). `rows`: rows of
/// the product, or output positions of a Conv; 0 where unknown. Infinity for forms that the runtime has no
/// kernel for (dynamic Conv). A chain is assumed: in- and output of a static layer stay in 8 bits.
double relative_time(LayerForm form, const Layer& layer, int64_t rows, const Target& target);

}  // namespace mcompress::forms
