// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::numerics {

/// Second moments X^T X (in float, to about 1e-6 of their size) and sums (in double) of the input
/// rows of a layer, over any number of batches. `inputs` columns; memory inputs^2 * 2 bytes.
class InputMoments {
 public:
  explicit InputMoments(int64_t inputs);

  /// rows * inputs values, row-major.
  void add(std::span<const float> rows);
  void merge(const InputMoments& other);

  int64_t inputs() const { return inputs_; }
  int64_t rows() const { return rows_; }
  /// X^T X / rows, symmetric [inputs, inputs]; zeros without rows.
  std::vector<double> gram() const&;
  /// The same without a copy; nothing can be added, and no squares asked for, afterwards.
  std::vector<double> take_gram();
  /// Mean of each input.
  std::vector<double> mean() const;
  /// Mean of the squares of each input: the diagonal of gram().
  std::vector<double> mean_square() const;

 private:
  int64_t inputs_;
  int64_t rows_ = 0;
  std::vector<float> gram_;  // the lower triangle, row after row
  std::vector<double> sums_;
};

/// Geometry of a convolution over `spatial()` axes (1 to 3), as in the ONNX operator.
struct ConvGeometry {
  std::vector<int64_t> kernel;
  std::vector<int64_t> strides;    ///< empty = all 1
  std::vector<int64_t> dilations;  ///< empty = all 1
  std::vector<int64_t> pads;       ///< begins, then ends; empty = all 0
  int64_t groups = 1;

  size_t spatial() const { return kernel.size(); }
  int64_t taps() const;
  /// Throws Error(kModel) when the kernel does not fit the padded input.
  std::vector<int64_t> output_shape(std::span<const int64_t> input_spatial) const;
};

/// The rows that a convolution multiplies with its weight: for input [batch, channels, spatial...],
/// group g and every output position, channels / groups * taps values in the order of the weight's
/// [channel, tap] axes, zeros in the padding. Row r of the result belongs to sample
/// r / positions and output position r % positions. Rows whose index is not a multiple of `every`
/// are left out, to bound the work on large images.
std::vector<float> im2col(std::span<const float> input, int64_t batch, int64_t channels,
                          std::span<const int64_t> input_spatial, const ConvGeometry& geometry,
                          int64_t group, int64_t every = 1);

}  // namespace mcompress::numerics
