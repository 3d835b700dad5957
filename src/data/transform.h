// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "data/source_options.h"
#include "mcompress/tensor.h"

namespace mcompress::data {

enum class Layout { kNchw, kNhwc };
/// Option `layout`; nchw without one.
Layout parse_layout(const SourceOptions& options);

/// y = ((x * scale + shift) - mean) / std, mean and std per channel or for all.
class Transform {
 public:
  Transform() = default;
  /// Reads scale, shift, mean, std; throws kRecipe for lists of unequal length and std 0.
  static Transform parse(const SourceOptions& options, double default_scale = 1);

  bool is_identity() const;
  /// Checks that the lists fit `sample`, the shape of one sample without its batch axis, whose
  /// channel axis is the first (nchw) or last (nhwc) of at least two, or the only one. `what`
  /// begins the message. Throws kRecipe.
  void check(const Shape& sample, Layout layout, const std::string& what) const;
  /// Applies to samples that lie one after the other.
  void apply(std::span<float> values, const Shape& sample, Layout layout) const;

 private:
  size_t channels() const { return std::max(mean_.size(), std_.size()); }

  double scale_ = 1, shift_ = 0;
  std::vector<double> mean_ = {0}, std_ = {1};
};

}  // namespace mcompress::data
