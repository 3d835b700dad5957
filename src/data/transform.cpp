// SPDX-License-Identifier: Apache-2.0
#include "data/transform.h"

#include <algorithm>

#include <fmt/format.h>

#include "mcompress/error.h"

namespace mcompress::data {
namespace {

/// Axis of the channels and how many elements share one channel in a row.
struct Channels {
  int64_t count = 1, inner = 1;
};

Channels channels_of(const Shape& sample, Layout layout) {
  if (sample.empty()) return {};
  const bool last = layout == Layout::kNhwc || sample.size() == 1;
  Channels result;
  result.count = last ? sample.back() : sample.front();
  if (!last) {
    for (size_t axis = 1; axis < sample.size(); ++axis) result.inner *= sample[axis];
  }
  return result;
}

}  // namespace

Layout parse_layout(const SourceOptions& options) {
  return options.choice("layout", {"nchw", "nhwc"}, "nchw") == "nchw" ? Layout::kNchw
                                                                      : Layout::kNhwc;
}

Transform Transform::parse(const SourceOptions& options, double default_scale) {
  Transform transform;
  transform.scale_ = options.number("scale").value_or(default_scale);
  transform.shift_ = options.number("shift").value_or(0);
  if (options.has("mean")) transform.mean_ = options.numbers("mean");
  if (options.has("std")) transform.std_ = options.numbers("std");
  if (std::ranges::find(transform.std_, 0.0) != transform.std_.end()) {
    options.fail("std", "numbers other than 0");
  }
  const size_t means = transform.mean_.size(), stds = transform.std_.size();
  if (means != stds && means != 1 && stds != 1) {
    options.fail("std", fmt::format("{} numbers as in 'mean', or one", means));
  }
  return transform;
}

bool Transform::is_identity() const {
  return scale_ == 1 && shift_ == 0 && std::ranges::count(mean_, 0.0) == std::ssize(mean_) &&
         std::ranges::count(std_, 1.0) == std::ssize(std_);
}

void Transform::check(const Shape& sample, Layout layout, const std::string& what) const {
  const int64_t have = channels_of(sample, layout).count;
  if (channels() == 1 || static_cast<int64_t>(channels()) == have) return;
  throw Error(ErrorCode::kRecipe,
              fmt::format("{}: 'mean' and 'std' are for {} channels, a sample of shape {} has {}",
                          what, channels(), to_string(sample), have))
      .hint("set layout to nchw or nhwc, or give one number");
}

void Transform::apply(std::span<float> values, const Shape& sample, Layout layout) const {
  const Channels channels = channels_of(sample, layout);
  const size_t inner = static_cast<size_t>(std::max<int64_t>(channels.inner, 1));
  const size_t count = static_cast<size_t>(std::max<int64_t>(channels.count, 1));
  for (size_t at = 0, channel = 0; at < values.size();
       at += inner, channel = (channel + 1) % count) {
    const double mean = mean_.size() == 1 ? mean_[0] : mean_[channel];
    const double std = std_.size() == 1 ? std_[0] : std_[channel];
    for (float& value : values.subspan(at, std::min(inner, values.size() - at))) {
      value = static_cast<float>((static_cast<double>(value) * scale_ + shift_ - mean) / std);
    }
  }
}

}  // namespace mcompress::data
