// SPDX-License-Identifier: Apache-2.0
#include "numerics/moments.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include "mcompress/error.h"
#include "numerics/linear_algebra.h"
#include "support/parallel_for.h"

namespace mcompress::numerics {
namespace {

constexpr int64_t kRowsPerTask = 256;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

int64_t product(std::span<const int64_t> values) {
  return std::accumulate(values.begin(), values.end(), int64_t{1}, std::multiplies<>());
}

int64_t or_default(const std::vector<int64_t>& values, size_t i, int64_t value) {
  return values.empty() ? value : values[i];
}

// Index of each axis of a flat position.
void unflatten(int64_t position, std::span<const int64_t> shape, std::vector<int64_t>& index) {
  for (size_t axis = shape.size(); axis-- > 0;) {
    index[axis] = position % shape[axis];
    position /= shape[axis];
  }
}

// Everything about the taps that does not depend on the output position.
class RowBuilder {
 public:
  RowBuilder(std::span<const float> input, int64_t channels, std::span<const int64_t> spatial,
             const ConvGeometry& geometry, int64_t group)
      : input_(input),
        channels_(channels),
        group_channels_(channels / geometry.groups),
        first_channel_(group * group_channels_),
        spatial_(spatial),
        geometry_(geometry),
        output_(geometry.output_shape(spatial)),
        positions_(product(output_)),
        plane_(product(spatial)),
        taps_(to_size(geometry.taps())) {
    std::vector<int64_t> at(spatial.size());
    for (size_t tap = 0; tap < taps_; ++tap) {
      unflatten(static_cast<int64_t>(tap), geometry.kernel, at);
      for (size_t axis = 0; axis < at.size(); ++axis) {
        tap_shift_.push_back(at[axis] * or_default(geometry.dilations, axis, 1) -
                             or_default(geometry.pads, axis, 0));
      }
    }
  }

  int64_t positions() const { return positions_; }
  int64_t width() const { return group_channels_ * static_cast<int64_t>(taps_); }

  // Memory of one caller.
  struct Scratch {
    std::vector<int64_t> at, offsets;
  };
  Scratch scratch() const {
    return {std::vector<int64_t>(spatial_.size()), std::vector<int64_t>(taps_)};
  }

  void build(int64_t row, Scratch& scratch, float* out) const {
    const float* plane = input_.data() + (row / positions_ * channels_ + first_channel_) * plane_;
    if (tap_offsets(row % positions_, scratch)) {
      for (int64_t channel = 0; channel < group_channels_; ++channel, plane += plane_) {
        for (const int64_t offset : scratch.offsets) *out++ = plane[offset];
      }
      return;
    }
    for (int64_t channel = 0; channel < group_channels_; ++channel, plane += plane_) {
      for (const int64_t offset : scratch.offsets) *out++ = offset < 0 ? 0.0F : plane[offset];
    }
  }

 private:
  // Where in a plane each tap reads for one output position; -1 in the padding. True when none is
  // there.
  bool tap_offsets(int64_t position, Scratch& scratch) const {
    const size_t axes = spatial_.size();
    unflatten(position, output_, scratch.at);
    for (size_t axis = 0; axis < axes; ++axis) {
      scratch.at[axis] *= or_default(geometry_.strides, axis, 1);
    }
    bool all_inside = true;
    const int64_t* shift = tap_shift_.data();
    for (int64_t& offset : scratch.offsets) {
      offset = 0;
      bool inside = true;
      for (size_t axis = 0; axis < axes; ++axis) {
        const int64_t read = scratch.at[axis] + *shift++;
        inside = inside && read >= 0 && read < spatial_[axis];
        offset = offset * spatial_[axis] + read;
      }
      if (!inside) offset = -1;
      all_inside = all_inside && inside;
    }
    return all_inside;
  }

  std::span<const float> input_;
  int64_t channels_;
  int64_t group_channels_;
  int64_t first_channel_;
  std::span<const int64_t> spatial_;
  const ConvGeometry& geometry_;
  std::vector<int64_t> output_;
  int64_t positions_;
  int64_t plane_;
  size_t taps_;
  std::vector<int64_t> tap_shift_;  // [tap, axis]
};

}  // namespace

InputMoments::InputMoments(int64_t inputs)
    : inputs_(inputs),
      gram_(to_size(inputs * (inputs + 1) / 2), 0.0F),
      sums_(to_size(inputs), 0.0) {}

void InputMoments::add(std::span<const float> rows) {
  const int64_t count = static_cast<int64_t>(rows.size()) / inputs_;
  accumulate_packed_gram(rows, count, inputs_, gram_);
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t i = 0; i < inputs_; ++i) sums_[to_size(i)] += rows[to_size(row * inputs_ + i)];
  }
  rows_ += count;
}

void InputMoments::merge(const InputMoments& other) {
  for (size_t i = 0; i < gram_.size(); ++i) gram_[i] += other.gram_[i];
  for (size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
  rows_ += other.rows_;
}

std::vector<double> InputMoments::gram() const& { return InputMoments(*this).take_gram(); }

std::vector<double> InputMoments::take_gram() {
  const std::vector<float> packed = std::exchange(gram_, {});
  const double scale = rows_ > 0 ? 1.0 / static_cast<double>(rows_) : 0.0;
  std::vector<double> gram(to_size(inputs_ * inputs_));
  const float* value = packed.data();
  for (int64_t i = 0; i < inputs_; ++i) {
    for (int64_t j = 0; j <= i; ++j) gram[to_size(i * inputs_ + j)] = scale * *value++;
  }
  symmetrize(gram, inputs_);
  return gram;
}

std::vector<double> InputMoments::mean() const {
  std::vector<double> mean = sums_;
  const double scale = rows_ > 0 ? 1.0 / static_cast<double>(rows_) : 0.0;
  for (double& value : mean) value *= scale;
  return mean;
}

std::vector<double> InputMoments::mean_square() const {
  std::vector<double> squares(to_size(inputs_));
  const double scale = rows_ > 0 ? 1.0 / static_cast<double>(rows_) : 0.0;
  for (int64_t i = 0; i < inputs_; ++i)
    squares[to_size(i)] = scale * gram_[to_size(i * (i + 3) / 2)];
  return squares;
}

int64_t ConvGeometry::taps() const { return product(kernel); }

std::vector<int64_t> ConvGeometry::output_shape(std::span<const int64_t> input_spatial) const {
  std::vector<int64_t> shape(spatial());
  for (size_t axis = 0; axis < spatial(); ++axis) {
    const int64_t padded =
        input_spatial[axis] + or_default(pads, axis, 0) + or_default(pads, axis + spatial(), 0);
    const int64_t reach = (kernel[axis] - 1) * or_default(dilations, axis, 1) + 1;
    if (padded < reach) {
      throw Error(ErrorCode::kModel, "convolution: a kernel that spans " + std::to_string(reach) +
                                         " over a padded input of " + std::to_string(padded));
    }
    shape[axis] = (padded - reach) / or_default(strides, axis, 1) + 1;
  }
  return shape;
}

std::vector<float> im2col(std::span<const float> input, int64_t batch, int64_t channels,
                          std::span<const int64_t> input_spatial, const ConvGeometry& geometry,
                          int64_t group, int64_t every) {
  const RowBuilder builder(input, channels, input_spatial, geometry, group);
  const int64_t all_rows = batch * builder.positions();
  const int64_t rows = (all_rows + every - 1) / every;
  std::vector<float> result(to_size(rows * builder.width()));
  parallel_for(0, rows, kRowsPerTask, [&](int64_t first, int64_t last) {
    auto scratch = builder.scratch();
    for (int64_t row = first; row < last; ++row) {
      builder.build(row * every, scratch, result.data() + row * builder.width());
    }
  });
  return result;
}

}  // namespace mcompress::numerics
