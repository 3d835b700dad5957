// SPDX-License-Identifier: Apache-2.0
#include "numerics/observer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "mcompress/error.h"
#include "numerics/histogram_simd.h"

namespace mcompress::numerics {
namespace {

constexpr int32_t kPlaces = 2 * Histogram::kBins + 2;
// Values whose places are computed before they are counted.
constexpr size_t kBatch = 1024;
constexpr size_t kLargeBatch = 16384;
// Values whose extremes are found before they are counted.
constexpr size_t kPiece = 4096;
// Neighbours that are counted where others are left out.
constexpr size_t kRun = 128;
// Scaling up to below this would leave the range of float.
constexpr double kLeastLimit = 0x1p-100;

// Least power of two >= magnitude.
double power_of_two_above(double magnitude) {
  int exponent = 0;
  const double fraction = std::frexp(magnitude, &exponent);
  return std::max(std::ldexp(1.0, fraction == 0.5 ? exponent - 1 : exponent), kLeastLimit);
}

void fold(int64_t* bins) {
  constexpr int32_t kHalf = Histogram::kBins / 2;
  for (int32_t i = 0; i < kHalf; ++i) bins[i] = bins[2 * i] + bins[2 * i + 1];
  std::fill(bins + kHalf, bins + Histogram::kBins, 0);
}

void add_to(std::vector<int64_t>& counts, std::span<const int64_t> more) {
  for (size_t i = 0; i < more.size(); ++i) counts[i] += more[i];
}

int64_t total(std::span<const int64_t> bins) {
  return std::accumulate(bins.begin(), bins.end(), int64_t{0});
}

void extend(MinMax& extent, const MinMax& other) {
  extent.min = std::min(extent.min, other.min);
  extent.max = std::max(extent.max, other.max);
  extent.non_finite += other.non_finite;
}

}  // namespace

MinMax Histogram::add(std::span<const float> values) { return add_sampled(values, values.size()); }

MinMax Histogram::add_sampled(std::span<const float> values, size_t most) {
  places_.resize(static_cast<size_t>(kPlaces), 0);
  // Small counters in two tables, so that a run of equal values does not wait for its own counter;
  // for a small batch clearing them would cost more.
  std::vector<uint32_t> scratch;
  if (std::min(values.size(), most) >= kLargeBatch) scratch.resize(2 * places_.size(), 0);
  const int64_t odd_before = places_.back();
  int64_t counted = 0;
  MinMax batch;
  const size_t every = most == 0 ? 1 : (values.size() + most - 1) / most;
  if (every > 1) {
    // Runs of a few cache lines, so that what is left out need not be read twice.
    batch = min_max(values);
    if (batch.abs_max() > 0) grow(batch.abs_max(), scratch);
    // Anywhere within their share, and elsewhere in each batch: places at equal distances would be
    // those of the same few channels in every sample.
    uint64_t state = static_cast<uint64_t>(count_);
    for (size_t share = 0; share < values.size(); share += kRun * every) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      const size_t begin = share + kRun * static_cast<size_t>((state >> 33) % every);
      if (begin >= values.size()) continue;
      const auto run = values.subspan(begin, std::min(kRun, values.size() - begin));
      count_places(run, scratch);
      counted += static_cast<int64_t>(run.size());
    }
  } else {
    // A piece is still in the first cache when it is read again.
    for (size_t begin = 0; begin < values.size(); begin += kPiece) {
      const auto piece = values.subspan(begin, std::min(kPiece, values.size() - begin));
      const MinMax extent = min_max(piece);
      if (extent.abs_max() > limit_) grow(extent.abs_max(), scratch);
      count_places(piece, scratch);
      counted += static_cast<int64_t>(piece.size());
      extend(batch, extent);
    }
  }
  flush(scratch);
  count_ += counted - (places_.back() - odd_before);
  extend(extent_, batch);
  return batch;
}

void Histogram::count_places(std::span<const float> values, std::span<uint32_t> scratch) {
  std::array<int32_t, kBatch> places;
  const float scale = limit_ > 0 ? static_cast<float>(kBins / limit_) : 1.0F;
  for (size_t begin = 0; begin < values.size(); begin += kBatch) {
    const size_t count = std::min(kBatch, values.size() - begin);
    simd::histogram_places(values.subspan(begin, count), scale, kBins, {places.data(), count});
    if (scratch.empty()) {
      for (size_t i = 0; i < count; ++i) ++places_[static_cast<size_t>(places[i])];
      continue;
    }
    uint32_t* const even = scratch.data();
    uint32_t* const odd = even + places_.size();
    size_t i = 0;
    for (; i + 2 <= count; i += 2) {
      ++even[places[i]];
      ++odd[places[i + 1]];
    }
    if (i < count) ++even[places[i]];
  }
}

void Histogram::flush(std::span<uint32_t> scratch) {
  if (scratch.empty()) return;
  const auto other = scratch.subspan(places_.size());
  for (size_t i = 0; i < places_.size(); ++i) places_[i] += int64_t{scratch[i]} + other[i];
  std::fill(scratch.begin(), scratch.end(), 0U);
}

void Histogram::grow(double magnitude, std::span<uint32_t> scratch) {
  flush(scratch);  // its counts are of the old bins
  grow_to(magnitude);
}

void Histogram::grow_to(double magnitude) {
  const double wanted = power_of_two_above(magnitude);
  if (limit_ == 0) limit_ = wanted;
  for (; limit_ < wanted; limit_ *= 2) {
    fold(places_.data() + 1);
    fold(places_.data() + 1 + kBins);
  }
}

void Histogram::merge(const Histogram& other) {
  if (other.places_.empty()) return;
  Histogram more = other;
  places_.resize(static_cast<size_t>(kPlaces), 0);
  if (more.limit_ > 0) grow_to(more.limit_);
  if (limit_ > 0 && more.limit_ > 0) more.grow_to(limit_);
  add_to(places_, more.places_);
  count_ += more.count_;
  extend(extent_, more.extent_);
}

std::span<const int64_t> Histogram::positive() const {
  if (!(extent_.max > 0)) return {};
  return std::span<const int64_t>(places_).subspan(1, static_cast<size_t>(kBins));
}

std::span<const int64_t> Histogram::negative() const {
  if (!(extent_.min < 0)) return {};
  return std::span<const int64_t>(places_).subspan(1 + static_cast<size_t>(kBins),
                                                   static_cast<size_t>(kBins));
}

std::vector<int64_t> Histogram::magnitudes() const {
  std::vector<int64_t> sum(static_cast<size_t>(kBins), 0);
  add_to(sum, positive());
  add_to(sum, negative());
  return sum;
}

Histogram Histogram::restore(double bin_width, std::span<const int64_t> positive,
                             std::span<const int64_t> negative, int64_t zeros,
                             const MinMax& extent) {
  const double limit = bin_width * kBins;
  const auto is_side = [](std::span<const int64_t> side, bool is_used) {
    return side.size() == (is_used ? static_cast<size_t>(kBins) : 0) &&
           std::all_of(side.begin(), side.end(), [](int64_t count) { return count >= 0; });
  };
  const bool fits = is_side(positive, extent.max > 0) && is_side(negative, extent.min < 0) &&
                    zeros >= 0 && (limit == 0 || limit == power_of_two_above(limit)) &&
                    extent.abs_max() <= limit;
  if (!fits) {
    throw Error(ErrorCode::kData, "histogram: bins of width " + std::to_string(bin_width) +
                                      " do not go with " + std::to_string(positive.size()) +
                                      " positive and " + std::to_string(negative.size()) +
                                      " negative counts from " + std::to_string(extent.min) +
                                      " to " + std::to_string(extent.max));
  }
  Histogram histogram;
  histogram.limit_ = limit;
  histogram.extent_ = extent;
  histogram.count_ = zeros + total(positive) + total(negative);
  histogram.places_.resize(static_cast<size_t>(kPlaces), 0);
  histogram.places_[0] = zeros;
  std::copy(positive.begin(), positive.end(), histogram.places_.begin() + 1);
  std::copy(negative.begin(), negative.end(), histogram.places_.begin() + 1 + kBins);
  histogram.places_.back() = extent.non_finite;
  return histogram;
}

bool operator==(const Histogram& a, const Histogram& b) {
  return a.limit_ == b.limit_ && a.count_ == b.count_ && a.places_ == b.places_ &&
         a.extent_.min == b.extent_.min && a.extent_.max == b.extent_.max &&
         a.extent_.non_finite == b.extent_.non_finite;
}

void MovingRange::add(const MinMax& batch) {
  if (batch.empty()) return;
  if (empty_) {
    min_ = batch.min;
    max_ = batch.max;
    empty_ = false;
    return;
  }
  min_ += rate_ * (batch.min - min_);
  max_ += rate_ * (batch.max - max_);
}

void MovingRange::merge(const MovingRange& other, double weight, double other_weight) {
  if (other.empty_) return;
  if (empty_) {
    *this = other;
    return;
  }
  const double part = other_weight / (weight + other_weight);
  min_ += part * (other.min_ - min_);
  max_ += part * (other.max_ - max_);
}

MovingRange MovingRange::restore(float min, float max) {
  MovingRange range;
  range.empty_ = false;
  range.min_ = min;
  range.max_ = max;
  return range;
}

void ChannelObserver::add(std::span<const float> values, ChannelLayout layout) {
  const std::vector<MinMax> batch = channel_min_max(values, layout);
  if (channels_.empty()) channels_.resize(batch.size());
  for (size_t i = 0; i < channels_.size(); ++i) extend(channels_[i], batch[i]);
}

void ChannelObserver::merge(const ChannelObserver& other) {
  if (channels_.empty()) channels_.resize(other.channels_.size());
  for (size_t i = 0; i < other.channels_.size(); ++i) extend(channels_[i], other.channels_[i]);
}

}  // namespace mcompress::numerics
