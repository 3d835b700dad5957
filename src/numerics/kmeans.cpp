// SPDX-License-Identifier: Apache-2.0
#include "numerics/kmeans.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_set>

#include "mcompress/error.h"
#include "numerics/float_sort.h"
#include "numerics/segmentation.h"

namespace mcompress::numerics {
namespace {

using Parts = std::span<const std::span<const float>>;

constexpr int64_t kAutoExactLimit = 300'000;
constexpr size_t kBins = 65536;
constexpr size_t kCells = 65536;
// Bins on each side of a cut that are split finer when the cuts are refined.
constexpr int32_t kRefinedBins = 2;
constexpr size_t kSubBins = 64;

struct Extent {
  int64_t count = 0;  // zeros left out where they are kept
  int64_t zeros = 0;
  float min = std::numeric_limits<float>::infinity();
  float max = -std::numeric_limits<float>::infinity();
};

// What is clustered: the values that are not zeros of their own code, with their importance.
class Input {
 public:
  Input(Parts parts, Parts importance, bool keep_zeros)
      : parts_(parts), importance_(importance), keep_zeros_(keep_zeros) {}

  bool has_importance() const { return !importance_.empty(); }

  template <class Fn>
  void for_each(Fn fn) const {
    for (size_t p = 0; p < parts_.size(); ++p) {
      const std::span<const float> values = parts_[p];
      for (size_t i = 0; i < values.size(); ++i) {
        if (keep_zeros_ && values[i] == 0.0F) continue;
        fn(values[i], has_importance() ? importance_[p][i] : 1.0F);
      }
    }
  }

  Extent extent() const {
    Extent extent;
    int64_t invalid = 0;
    int64_t total = 0;
    for_each([&](float value, float) {
      ++extent.count;
      if (!std::isfinite(value)) ++invalid;
      extent.min = std::min(extent.min, value);
      extent.max = std::max(extent.max, value);
    });
    for (const std::span<const float> values : parts_) total += static_cast<int64_t>(values.size());
    extent.zeros = total - extent.count;
    if (invalid > 0) {
      throw Error(ErrorCode::kModel, "k-means: " + std::to_string(invalid) + " of " +
                                         std::to_string(total) + " values are NaN or infinite");
    }
    return extent;
  }

  // Up to `limit` + 1 distinct values, ascending.
  std::vector<float> distinct(size_t limit) const {
    std::unordered_set<float> seen;
    seen.reserve(4 * limit + 4);
    for (const std::span<const float> values : parts_) {
      for (const float value : values) {
        if (keep_zeros_ && value == 0.0F) continue;
        if (seen.insert(value).second && seen.size() > limit) break;
      }
      if (seen.size() > limit) break;
    }
    std::vector<float> values(seen.begin(), seen.end());
    std::sort(values.begin(), values.end());
    return values;
  }

 private:
  Parts parts_;
  Parts importance_;
  bool keep_zeros_;
};

void add(Moments& moments, double distance, double weight) {
  moments.weight += weight;
  moments.sum += weight * distance;
  moments.squares += weight * distance * distance;
}

struct Clusters {
  std::vector<float> centers;
  double squared_error = 0;
  double price = 0;
};

Clusters to_clusters(const PrefixMoments& data, const Segmentation& best, double origin) {
  Clusters clusters;
  clusters.squared_error = best.cost;
  clusters.price = best.price;
  for (size_t i = 0; i + 1 < best.cuts.size(); ++i) {
    const double mean = origin + data.mean(best.cuts[i], best.cuts[i + 1]);
    clusters.centers.push_back(static_cast<float>(mean));
  }
  return clusters;
}

// One group per distinct value; groups without importance would divide by zero and are dropped.
Clusters cluster_exactly(const Input& input, int64_t count, int32_t clusters, double price_hint) {
  std::vector<Moments> groups;
  double origin = 0;
  auto append = [&, last = std::numeric_limits<float>::quiet_NaN()](float value,
                                                                    float weight) mutable {
    if (!(weight > 0)) return;
    if (value != last) groups.emplace_back();
    add(groups.back(), value - origin, weight);
    last = value;
  };
  groups.reserve(static_cast<size_t>(count));
  if (input.has_importance()) {
    std::vector<WeightedValue> items;
    items.reserve(static_cast<size_t>(count));
    input.for_each([&](float value, float weight) { items.push_back({value, weight}); });
    sort_by_value(items);
    origin = items[items.size() / 2].value;
    for (const WeightedValue& item : items) append(item.value, item.weight);
  } else {
    std::vector<float> items;
    items.reserve(static_cast<size_t>(count));
    input.for_each([&](float value, float) { items.push_back(value); });
    sort_floats(items);
    origin = items[items.size() / 2];
    for (const float item : items) append(item, 1.0F);
  }
  if (groups.empty()) return {};
  const size_t pivot = groups.size() / 2;
  const PrefixMoments data(groups, pivot);
  std::vector<Moments>().swap(groups);
  return to_clusters(data, best_segmentation(data, clusters, price_hint), origin);
}

// The histogram method: 65536 equal bins that know their exact moments, so that the cost of every
// partition at bin edges is exact; then the bins around the cuts are split finer and the best
// partition is found again, which leaves no error worth mentioning.
class BinnedClustering {
 public:
  BinnedClustering(const Input& input, const Extent& extent)
      : input_(input),
        low_(extent.min),
        bins_per_unit_((kBins - 0.5) / (static_cast<double>(extent.max) - extent.min)),
        origin_(0.5 * (static_cast<double>(extent.min) + extent.max)),
        bins_(kBins) {
    input.for_each([&](float value, float weight) {
      if (!(weight > 0)) return;
      add(bins_[static_cast<size_t>(position(value))], value - origin_, weight);
    });
  }

  // Empty when too much of the weight falls into too few bins for this to be accurate.
  Clusters solve(int32_t clusters) {
    if (is_too_coarse(clusters)) return {};
    std::vector<bool> is_split(kBins, false);
    double price = 0;
    for (int round = 0;; ++round) {
      const std::vector<Group> groups = make_groups(is_split);
      const PrefixMoments data = prefix(groups);
      const Segmentation best = best_segmentation(data, clusters, price);
      price = best.price;
      if (round == kRounds || !split_around(best, groups, is_split)) {
        return to_clusters(data, best, origin_);
      }
    }
  }

 private:
  static constexpr int kRounds = 1;

  struct Group {
    Moments moments;
    size_t bin;
  };

  double position(float value) const { return (value - low_) * bins_per_unit_; }

  bool is_too_coarse(int32_t clusters) const {
    double total = 0;
    double heaviest = 0;
    for (const Moments& moments : bins_) {
      total += moments.weight;
      heaviest = std::max(heaviest, moments.weight);
    }
    return heaviest * 2 * clusters > total;
  }

  // Marks the bins around each cut; false if all of them were marked before.
  static bool split_around(const Segmentation& best, const std::vector<Group>& groups,
                           std::vector<bool>& is_split) {
    bool changed = false;
    for (size_t i = 1; i + 1 < best.cuts.size(); ++i) {
      const auto cut = static_cast<int32_t>(groups[static_cast<size_t>(best.cuts[i])].bin);
      const int32_t first = std::max(cut - kRefinedBins, 0);
      const int32_t last = std::min(cut + kRefinedBins, static_cast<int32_t>(kBins));
      // Neighbours further off only matter once a cut has come to their border.
      changed |= !is_split[static_cast<size_t>(cut)];
      for (int32_t b = first; b < last; ++b) is_split[static_cast<size_t>(b)] = true;
    }
    return changed;
  }

  // Every bin as it is, or as the kSubBins it is split into.
  std::vector<Group> make_groups(const std::vector<bool>& is_split) const {
    std::vector<Moments> sub_bins;
    std::vector<int32_t> first_sub_bin(kBins, -1);
    for (size_t b = 0; b < kBins; ++b) {
      if (!is_split[b]) continue;
      first_sub_bin[b] = static_cast<int32_t>(sub_bins.size());
      sub_bins.resize(sub_bins.size() + kSubBins);
    }
    if (!sub_bins.empty()) fill_sub_bins(first_sub_bin, sub_bins);

    std::vector<Group> groups;
    groups.reserve(kBins + sub_bins.size());
    for (size_t b = 0; b < kBins; ++b) {
      const size_t count = is_split[b] ? kSubBins : 1;
      const Moments* moments =
          is_split[b] ? &sub_bins[static_cast<size_t>(first_sub_bin[b])] : &bins_[b];
      for (size_t i = 0; i < count; ++i) {
        if (moments[i].weight > 0) groups.push_back({moments[i], b});
      }
    }
    return groups;
  }

  void fill_sub_bins(const std::vector<int32_t>& first_sub_bin,
                     std::vector<Moments>& sub_bins) const {
    input_.for_each([&](float value, float weight) {
      const double at = position(value);
      const auto b = static_cast<size_t>(at);
      if (first_sub_bin[b] < 0 || !(weight > 0)) return;
      const auto offset = static_cast<int32_t>((at - static_cast<double>(b)) * kSubBins);
      add(sub_bins[static_cast<size_t>(first_sub_bin[b] + offset)], value - origin_, weight);
    });
  }

  PrefixMoments prefix(const std::vector<Group>& groups) const {
    std::vector<Moments> moments;
    moments.reserve(groups.size());
    size_t pivot = 0;
    for (const Group& group : groups) {
      if (group.moments.sum < 0) pivot = moments.size();
      moments.push_back(group.moments);
    }
    return PrefixMoments(moments, pivot);
  }

  const Input& input_;
  double low_;
  double bins_per_unit_;
  double origin_;
  std::vector<Moments> bins_;
};

Clusters cluster(const Input& input, const Extent& extent, int32_t clusters, KMeansMethod method) {
  const bool is_large = extent.count > kAutoExactLimit;
  const bool exactly =
      method == KMeansMethod::kExact || (method == KMeansMethod::kAuto && !is_large);
  Clusters binned;
  if (!exactly || is_large) binned = BinnedClustering(input, extent).solve(clusters);
  if (!exactly && !binned.centers.empty()) return binned;
  if (extent.count >= std::numeric_limits<int32_t>::max()) {
    throw Error(ErrorCode::kModel, "k-means: exact clustering of " + std::to_string(extent.count) +
                                       " values, at most 2147483646 are possible");
  }
  return cluster_exactly(input, extent.count, clusters, binned.price);
}

}  // namespace

Codebook cluster_values(Parts parts, const KMeansOptions& options, Parts importance) {
  const Input input(parts, importance, options.keep_zeros);
  const Extent extent = input.extent();
  Codebook codebook;
  codebook.has_zero_code = extent.zeros > 0;
  if (codebook.has_zero_code) codebook.values.push_back(0.0F);
  const int clusters = options.codes - (codebook.has_zero_code ? 1 : 0);
  if (extent.count == 0) return codebook;
  if (clusters < 1) {
    throw Error(ErrorCode::kBug, "k-means: no code left for values other than zero, of " +
                                     std::to_string(options.codes) + " in all");
  }
  Clusters found;
  found.centers = input.distinct(static_cast<size_t>(clusters));
  if (found.centers.size() > static_cast<size_t>(clusters)) {
    found = cluster(input, extent, clusters, options.method);
  }
  // Means of neighbouring clusters may round to one float; without any importance there are none.
  if (found.centers.empty()) found.centers.push_back(extent.min);
  const auto end = std::unique(found.centers.begin(), found.centers.end());
  codebook.values.insert(codebook.values.end(), found.centers.begin(), end);
  codebook.squared_error = found.squared_error;
  return codebook;
}

Codebook cluster_values(std::span<const float> values, const KMeansOptions& options,
                        std::span<const float> importance) {
  const Parts weights = importance.empty() ? Parts{} : Parts{&importance, 1};
  return cluster_values(Parts{&values, 1}, options, weights);
}

CodeAssigner::CodeAssigner(const Codebook& codebook)
    : has_zero_code_(codebook.has_zero_code),
      first_code_(codebook.has_zero_code && codebook.values.size() > 1 ? 1 : 0),
      below_(kCells + 1, 0) {
  for (size_t i = first_code_; i + 1 < codebook.values.size(); ++i) {
    const double middle = 0.5 * (static_cast<double>(codebook.values[i]) + codebook.values[i + 1]);
    auto threshold = static_cast<float>(middle);
    if (threshold > middle) {
      threshold = std::nextafter(threshold, -std::numeric_limits<float>::infinity());
    }
    thresholds_.push_back(threshold);
  }
  if (thresholds_.empty()) return;
  origin_ = thresholds_.front();
  const double width = thresholds_.back() - origin_;
  cells_per_unit_ = width > 0 ? (kCells - 1) / width : 1;
  for (const float threshold : thresholds_) {
    ++below_[static_cast<size_t>((threshold - origin_) * cells_per_unit_) + 1];
  }
  for (size_t cell = 0; cell < kCells; ++cell) {
    below_[cell + 1] = static_cast<uint8_t>(below_[cell + 1] + below_[cell]);
  }
}

uint8_t CodeAssigner::code(float value) const {
  if (has_zero_code_ && value == 0.0F) return 0;
  if (thresholds_.empty()) return first_code_;
  const double position = (value - origin_) * cells_per_unit_;
  const auto cell = static_cast<size_t>(std::clamp(position, 0.0, kCells - 1.0));
  uint32_t low = below_[cell];
  const uint32_t high = below_[cell + 1];
  if (high - low > 8) {
    const auto begin = thresholds_.begin();
    low = static_cast<uint32_t>(std::lower_bound(begin + low, begin + high, value) - begin);
  } else {
    while (low < high && value > thresholds_[low]) ++low;
  }
  return static_cast<uint8_t>(first_code_ + low);
}

void CodeAssigner::assign(std::span<const float> values, std::span<uint8_t> codes) const {
  for (size_t i = 0; i < values.size(); ++i) codes[i] = code(values[i]);
}

void decode_codes(std::span<const uint8_t> codes, std::span<const float> codebook,
                  std::span<float> values) {
  for (size_t i = 0; i < codes.size(); ++i) values[i] = codebook[codes[i]];
}

}  // namespace mcompress::numerics
