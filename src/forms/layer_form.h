// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace mcompress::forms {

/// How a layer runs, as opposed to how its weight is stored. What it costs: quantization/costs.h.
enum class LayerForm {
  kFloat,          ///< plain, any encoding, kCast or kScaled weights: all fold to float
  kStaticInt8,     ///< Q and DQ around it
  kDynamicInt8,    ///< emit_dynamic
  kWeightOnly8,    ///< MatMulNBits of 8 bits, or a DequantizeLinear that becomes one
  kWeightOnly4,    ///< MatMulNBits of 4 bits
  kDequantizeEachRun,  ///< weight-only DequantizeLinear before a Conv or a Gemm with transB
};

struct FormFacts {
  std::string_view name;           ///< also in the keys of cost tables
  int64_t least_opset;             ///< of ai.onnx
  std::string_view least_runtime;  ///< oldest ONNX Runtime in which it loads and is fast
};
FormFacts facts(LayerForm form);

}  // namespace mcompress::forms
