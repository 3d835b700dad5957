// SPDX-License-Identifier: Apache-2.0
#include "calibration/layer_moments.h"

#include <algorithm>
#include <map>

#include "analysis/layer_rows.h"
#include "calibration/collect.h"
#include "numerics/moments.h"
#include "numerics/quantize_simd.h"

namespace mcompress::calibration {
namespace {

using analysis::LayerRows;

/// So many are the least where few inputs, those of one channel, need no more.
constexpr int64_t kFewRows = 1024, kFewRowsPerInput = 64;

/// A layer whose moments are being summed.
struct Summed {
  size_t layer = 0;
  LayerRows rows;
  std::vector<numerics::InputMoments> groups;
  int64_t every = 0;  ///< 0: not known before the first sample
};

size_t bytes_of(const LayerRows& rows) {
  return static_cast<size_t>(rows.groups() * rows.columns() * rows.columns()) * sizeof(float) / 2;
}

void find_distance(Summed& summed, const Tensor& value, size_t samples,
                   const MomentBudget& budget) {
  const int64_t columns = summed.rows.columns();
  const int64_t least = std::min(budget.least_rows, kFewRows + kFewRowsPerInput * columns);
  const int64_t wanted = budget.rows_per_input * columns + least;
  const int64_t all = summed.rows.count(value) * static_cast<int64_t>(samples);
  summed.every = std::max<int64_t>(1, all / wanted);
}

void add(Summed& summed, const Tensor& value) {
  summed.every = std::max<int64_t>(1, summed.every);  // the first value was empty
  for (int64_t group = 0; group < summed.rows.groups(); ++group) {
    summed.groups[static_cast<size_t>(group)].add(summed.rows.rows(value, group, summed.every));
  }
}

/// Every `step`-th sample of the data, beginning with the first. The step may be set anew after
/// that one has been read, which is when it is known how many rows a sample has.
class Thinned final : public Dataset {
 public:
  explicit Thinned(const Dataset& base) : base_(base) {}
  void set_step(size_t step) { step_ = step; }
  size_t original(size_t sample) const { return sample * step_; }

  size_t size() const override { return (base_.size() + step_ - 1) / step_; }
  Feeds feeds(size_t first, size_t count) const override {
    return base_.feeds(original(first), count);
  }
  bool batchable() const override { return false; }
  std::optional<Tensor> labels(size_t first, size_t count) const override {
    return base_.labels(original(first), count);
  }
  bool has_labels() const override { return base_.has_labels(); }
  std::string description() const override { return base_.description(); }
  std::string fingerprint() const override { return base_.fingerprint(); }

 private:
  const Dataset& base_;
  size_t step_ = 1;
};

/// Of the samples, so that each layer of the group still has the rows that it wants; these then
/// come from fewer samples and more positions.
size_t step_for(std::span<Summed* const> group, size_t samples, const MomentBudget& budget) {
  auto step = static_cast<int64_t>(std::max<size_t>(1, samples / budget.least_samples));
  for (const Summed* summed : group) step = std::min(step, std::max<int64_t>(1, summed->every));
  for (Summed* const summed : group) summed->every = std::max<int64_t>(1, summed->every / step);
  return static_cast<size_t>(step);
}

/// One NaN would make every moment one.
void require_finite(const Model& model, const std::string& name, const Tensor& value,
                    size_t sample, const Dataset& data) {
  if (value.type() != DataType::kFloat) return;
  const int64_t odd = numerics::simd::min_max(value.as<float>()).non_finite;
  if (odd > 0) throw not_finite(model, name, odd, sample, data);
}

/// Decides at the first sample of a group which rows of which samples are summed.
size_t first_step(std::span<const std::string> group, std::span<const Tensor> values,
                  const std::map<std::string, std::vector<Summed*>>& readers, size_t samples,
                  const MomentBudget& budget) {
  std::vector<Summed*> all;
  for (size_t i = 0; i < group.size(); ++i) {
    if (values[i].count() == 0) continue;
    for (Summed* summed : readers.at(group[i])) {
      find_distance(*summed, values[i], samples, budget);
      all.push_back(summed);
    }
  }
  return step_for(all, samples, budget);
}

/// Leaves the sums empty: they are the larger part of all memory.
std::vector<LayerMoments> take_result(Summed& summed) {
  std::vector<LayerMoments> result;
  for (auto& group : summed.groups) {
    result.push_back({.inputs = group.inputs(),
                      .rows = group.rows(),
                      .gram = group.take_gram(),
                      .mean = group.mean()});
  }
  summed.groups.clear();
  return result;
}

}  // namespace

std::vector<std::string> collect_moments(
    RuntimeService& runtime, const Model& model, const Dataset& data, std::span<const Layer> layers,
    const MomentBudget& budget, int threads, const std::function<void(size_t sample)>& seen,
    const std::function<void(size_t layer, std::span<const LayerMoments> groups)>& visit) {
  std::vector<std::string> reasons(layers.size());
  size_t next = 0;
  while (next < layers.size()) {
    std::vector<Summed> part;
    size_t bytes = 0;
    for (; next < layers.size(); ++next) {
      LayerRows rows(layers[next]);
      reasons[next] = rows.obstacle();
      if (!rows.obstacle().empty()) continue;
      if (!part.empty() && bytes + bytes_of(rows) > budget.gram_bytes) break;
      bytes += bytes_of(rows);
      std::vector<numerics::InputMoments> groups(static_cast<size_t>(rows.groups()),
                                                 numerics::InputMoments(rows.columns()));
      part.push_back({next, std::move(rows), std::move(groups)});
    }
    if (part.empty()) break;
    std::map<std::string, std::vector<Summed*>> readers;
    for (auto& summed : part) readers[summed.rows.input()].push_back(&summed);
    std::vector<std::string> names;
    for (const auto& [name, list] : readers) names.push_back(name);
    Thinned some(data);
    for_each_tap(
        runtime, model, some, names, budget.tap_bytes, threads,
        [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> values) {
          if (sample == 0) some.set_step(first_step(group, values, readers, data.size(), budget));
          seen(sample);
          for (size_t i = 0; i < group.size(); ++i) {
            if (values[i].count() == 0) continue;
            require_finite(model, group[i], values[i], some.original(sample), data);
            for (Summed* summed : readers.at(group[i])) add(*summed, values[i]);
          }
        });
    for (auto& summed : part) visit(summed.layer, take_result(summed));
  }
  return reasons;
}

}  // namespace mcompress::calibration
