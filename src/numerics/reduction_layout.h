// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mcompress::numerics {

/// Where the inputs of each output of a layer are in its weight: the weight of output n, channel c,
/// tap t is at n * output_stride + c * channel_stride + t * tap_stride.
struct ReductionLayout {
  int64_t outputs = 1;
  int64_t channels = 1;  ///< input channels of one output (of one group)
  int64_t taps = 1;
  int64_t output_stride = 0;
  int64_t channel_stride = 0;
  int64_t tap_stride = 0;

  int64_t inputs() const { return channels * taps; }
  int64_t offset(int64_t output, int64_t channel, int64_t tap) const {
    return output * output_stride + channel * channel_stride + tap * tap_stride;
  }

  /// MatMul and Gemm (transB = 0): [inputs, outputs].
  static ReductionLayout matrix(int64_t inputs, int64_t outputs) {
    return {outputs, inputs, 1, 1, outputs, 0};
  }
  /// Gemm with transB = 1: [outputs, inputs].
  static ReductionLayout transposed_matrix(int64_t outputs, int64_t inputs) {
    return {outputs, inputs, 1, inputs, 1, 0};
  }
  /// Conv: [outputs, channels, taps], channels being those of one group.
  static ReductionLayout conv(int64_t outputs, int64_t channels, int64_t taps) {
    return {outputs, channels, taps, channels * taps, taps, 1};
  }
};

}  // namespace mcompress::numerics
