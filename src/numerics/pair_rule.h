// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace mcompress::numerics {

/// Where the inputs of each output of a layer are: the weight of output n, channel c, tap t is at
/// n * output_stride + c * channel_stride + t * tap_stride. Kernels sum over k = t * channels + c.
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
  static ReductionLayout matrix(int64_t inputs, int64_t outputs);
  /// Gemm with transB = 1: [outputs, inputs].
  static ReductionLayout transposed_matrix(int64_t outputs, int64_t inputs);
  /// Conv: [outputs, channels, taps], channels being those of one group.
  static ReductionLayout conv(int64_t outputs, int64_t channels, int64_t taps);
};

/// Kernels for x86 without VNNI add two products of neighbouring inputs in 16 bits, which saturates
/// unless two weights of a pair that have the same sign satisfy |a + b| <= 128 (algorithms.md
/// section 3, reduce_range). Pairs are (2t, 2t + 1) in the order of k; where the number of channels
/// is odd and there are several taps, kernels differ in what they pair, so all neighbours are.
int64_t count_pair_violations(std::span<const int8_t> weights, const ReductionLayout& layout);

/// Makes the weights obey the pair rule by moving the members of violating pairs towards 0, so that
/// the sum of importance * change^2 is least for each pair. `importance` is empty (all equal),
/// holds one value per k, or one per weight (at the weight's place). Returns how many weights
/// changed.
int64_t enforce_pair_rule(std::span<int8_t> weights, const ReductionLayout& layout,
                          std::span<const float> importance = {});

}  // namespace mcompress::numerics
