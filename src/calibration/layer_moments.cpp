// SPDX-License-Identifier: Apache-2.0
#include "calibration/layer_moments.h"

#include <algorithm>
#include <map>

#include "calibration/collect.h"
#include "calibration/layer_rows.h"
#include "numerics/moments.h"
#include "numerics/quantize_simd.h"

namespace mcompress::calibration {
namespace {

/// A layer whose moments are being summed.
struct Summed {
  size_t layer = 0;
  LayerRows rows;
  std::vector<numerics::InputMoments> groups;
  int64_t every = 0;  ///< 0: not known before the first sample
};

size_t bytes_of(const LayerRows& rows) {
  return static_cast<size_t>(rows.groups() * rows.columns() * rows.columns()) * sizeof(double);
}

void add(Summed& summed, const Tensor& value, size_t samples, const MomentBudget& budget) {
  if (summed.every == 0) {
    const int64_t wanted = budget.rows_per_input * summed.rows.columns() + budget.least_rows;
    const int64_t all = summed.rows.count(value) * static_cast<int64_t>(samples);
    summed.every = std::max<int64_t>(1, all / wanted);
  }
  for (int64_t group = 0; group < summed.rows.groups(); ++group) {
    summed.groups[static_cast<size_t>(group)].add(summed.rows.rows(value, group, summed.every));
  }
}

/// One NaN would make every moment one.
void require_finite(const std::string& name, const Tensor& value, size_t sample,
                    const Dataset& data) {
  if (value.type() != DataType::kFloat) return;
  const int64_t odd = numerics::simd::min_max(value.as<float>()).non_finite;
  if (odd > 0) throw not_finite(name, odd, sample, data);
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
    for_each_tap(
        runtime, model, data, names, budget.tap_bytes, threads,
        [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> values) {
          seen(sample);
          for (size_t i = 0; i < group.size(); ++i) {
            if (values[i].count() == 0) continue;
            require_finite(group[i], values[i], sample, data);
            for (Summed* summed : readers.at(group[i])) {
              add(*summed, values[i], data.size(), budget);
            }
          }
        });
    for (auto& summed : part) visit(summed.layer, take_result(summed));
  }
  return reasons;
}

}  // namespace mcompress::calibration
