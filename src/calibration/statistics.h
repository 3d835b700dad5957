// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "calibration/channel_sums.h"
#include "mcompress/pass_context.h"
#include "mcompress/tensor.h"
#include "numerics/observer.h"

namespace mcompress::calibration {

/// "mse", "min-max", ...: how methods are written in recipes, tables and help.
std::string_view method_name(RangeMethod method);
std::optional<RangeMethod> method_of(std::string_view name);

/// All that is kept of one value over the data: about 32 KiB and 24 bytes a channel.
struct ValueStatistics {
  numerics::Histogram histogram;
  numerics::MovingRange moving;
  uint64_t samples = 0;  ///< Runs that had elements of it
  int channel_axis = -1;
  ChannelSums channels;  ///< empty without an axis, or where its size changes between samples

  /// Takes in what one Run gave. Tensors of other than floating type, and empty ones, are left out.
  /// Returns how many elements were NaN or infinite: these are not counted.
  /// Of a tensor with more than `most` elements the histogram counts about as many, evenly spread;
  /// extremes and channels are of all.
  int64_t add(const Tensor& tensor, size_t most = std::numeric_limits<size_t>::max());
  /// Of another part of the data. Histogram, extremes and channels are as if both parts had been
  /// one; the moving averages are averaged by samples.
  void merge(const ValueStatistics& other);
};

/// A range and who chose it (kAuto becomes the method that won).
struct ChosenRange {
  float low = 0, high = 0;
  RangeMethod method = RangeMethod::kMinMax;
};

/// `energy`: by channel of the value, the sum of the squared weights that read it; empty where that
/// is not known. Only kAuto looks at it: of all methods the one with the least
///   sum over channels c of energy_c * E[(x_c - q(x_c))^2],
/// the error at the output of the layer that reads the value, errors of different inputs taken as
/// independent. The error of rounding falls on all channels alike; what lies beyond a range is of
/// the channels whose extremes are beyond it, shared out among them as the tails of Laplace
/// distributions of their means and variances. Without energies, or without statistics of channels,
/// all weigh the same, and the least error is that of kMse.
ChosenRange choose_range(const ValueStatistics& statistics, const RangeOptions& options,
                         const std::vector<double>& energy);

/// By name of a value of the main graph: the energies of the layers that read it (summed).
std::map<std::string, std::vector<double>> channel_energies(const Model& model);

}  // namespace mcompress::calibration
