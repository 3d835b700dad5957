// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace mcompress::numerics {

/// How a weight becomes a product. A matrix knows kChannel only.
enum class FactorMethod {
  kChannel,  ///< window [r, channels], then 1 x 1 [outputs, r]: SVD of all inputs against outputs
  kSpatial,  ///< k x 1, then 1 x k: SVD of (channel, row) against (output, column)
  kTucker,   ///< 1 x 1, window, 1 x 1 (tucker.h)
};

/// One convolution, or one product, of the chain that stands for a layer.
struct Factor {
  int64_t outputs = 0, channels = 0;
  std::vector<int64_t> window;  ///< empty for matrices
  std::vector<bool> axes;       ///< of the window: whose stride, dilation and padding it takes over
  std::vector<float> weight;    ///< [outputs, channels, window]
};

/// A rank, or a pair of ranks, with what it costs.
struct FactorPoint {
  int64_t rank = 0;
  int64_t inner = 0;  ///< of kTucker: channels of the core
  int64_t parameters = 0;
  double lost = 0;  ///< part of the (weighed) squares, 0..1
};

struct KernelShape {
  int64_t outputs = 0, channels = 0;
  std::vector<int64_t> window;

  int64_t taps() const;
  int64_t parameters() const { return outputs * channels * taps(); }
};

/// All ranks of one weight by one method.
class Factorization {
 public:
  /// `weights` [outputs, channels, window]. With `gram` (second moments of the inputs, channels x
  /// taps, symmetric; empty for none) the error is that of the outputs: exactly for kChannel, with
  /// the moments summed over columns for kSpatial and over taps for kTucker. `multiple`: of ranks
  /// of kTucker, which are listed for these only.
  Factorization(FactorMethod method, std::span<const float> weights, KernelShape shape,
                std::span<const double> gram, int64_t multiple);
  ~Factorization();
  Factorization(Factorization&&) noexcept;
  Factorization& operator=(Factorization&&) noexcept;

  FactorMethod method() const { return method_; }
  /// With fewer parameters than the weight, ascending, each losing less than the one before. By SVD
  /// every rank is there, from 1 on.
  const std::vector<FactorPoint>& points() const { return points_; }
  /// Most parameters and least loss of all ranks: a rank beyond the points.
  FactorPoint point(int64_t rank) const;
  std::vector<Factor> factors(const FactorPoint& point) const;
  /// The same without weights.
  std::vector<Factor> outline(const FactorPoint& point) const;

 private:
  struct State;
  void list_svd_points(std::span<const double> singular_values);
  void list_tucker_points(int64_t multiple);
  int64_t parameters(int64_t rank, int64_t inner) const;

  FactorMethod method_;
  KernelShape shape_;
  std::vector<FactorPoint> points_;
  std::unique_ptr<State> state_;
};

/// What a chain of factors computes, as one weight [outputs, channels, window] of `shape`.
std::vector<float> composed(FactorMethod method, std::span<const Factor> factors,
                            const KernelShape& shape);

/// Replaces the last factor by the one at which the chain comes nearest to the outputs of `weights`
/// [outputs, channels, window], given gram = X^T X of all taps; the others stay. Leaves it where
/// the chain's inner values depend on each other.
void refit_last(FactorMethod method, std::vector<Factor>& factors, const KernelShape& shape,
                std::span<const float> weights, std::span<const double> gram);

/// |X (W - V)|^2 over |X W|^2 for weights [outputs, inputs] and gram = X^T X; without gram of the
/// weights themselves.
double relative_loss(std::span<const float> weights, std::span<const float> changed,
                     int64_t outputs, std::span<const double> gram);

}  // namespace mcompress::numerics
