// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "analysis/weight_editor.h"
#include "mcompress/layer.h"
#include "mcompress/target.h"
#include "numerics/weight_quantize.h"

namespace mcompress::quantization {

struct DynamicOptions {
  bool per_channel = true;
  numerics::ClipSearch clip = numerics::ClipSearch::kNone;
  bool pair_rule = true;
};

/// Why a layer cannot run on integers with inputs quantized at run time, whatever that costs, or "".
std::string dynamic_obstacle(const Layer& layer);

/// Rewrites layers of one model for dynamic INT8. MatMul and Gemm become forms::emit_dynamic: alpha goes
/// into the scales, beta into the bias, a transposed input gets a Transpose. An LSTM becomes
/// com.microsoft.DynamicQuantizeLSTM, both of its weights at once. Layers that read one weight share
/// its integers.
class DynamicConverter {
 public:
  /// `layers`: all that may be converted.
  DynamicConverter(std::span<const Layer> layers, const DynamicOptions& options);

  struct Outcome {
    int64_t weights = 0;  ///< quantized now (not by an earlier layer that shares them)
    int64_t moved = 0;    ///< for the pair rule
  };
  /// Throws Unsupported before any edit.
  Outcome convert(const Layer& layer);
  /// Erases scales that every reader multiplied by a factor of its own.
  void finish();

 private:
  struct Stored {
    ValueRef codes, scales;
  };
  std::vector<float> read(const Layer& layer) const;
  numerics::QuantizedWeights rounded(std::span<const float> columns, int64_t inputs, int64_t outputs,
                                     Outcome& outcome) const;
  const Stored& stored(const Layer& layer, Outcome& outcome);
  void convert_product(const Layer& layer, Outcome& outcome);
  void convert_recurrent(const Layer& layer, Outcome& outcome);
  /// Weight `input` of an LSTM as [directions, inputs, 4 * hidden] with scales [directions, 4 * hidden].
  struct Gates {
    Tensor codes, scales;
  };
  Gates gates(const Layer& layer, Outcome& outcome) const;

  DynamicOptions options_;
  analysis::WeightEditor editor_;
  std::vector<Layer> layers_;
  std::map<std::pair<std::string, int>, Stored> stored_;  ///< by weight and the axis of its outputs
};

}  // namespace mcompress::quantization
