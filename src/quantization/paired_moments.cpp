// SPDX-License-Identifier: Apache-2.0
#include "quantization/paired_moments.h"

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "analysis/layer_rows.h"
#include "mcompress/error.h"
#include "numerics/linear_algebra.h"
#include "numerics/moments.h"

namespace mcompress::quantization {
namespace {

using analysis::LayerRows;

constexpr int64_t kRowsPerInput = 8, kLeastRows = 8192, kLeastSamples = 100;
constexpr int64_t kStoredValues = int64_t{32} << 20;

/// Of one group, while rows are added.
class PairedSums {
 public:
  explicit PairedSums(int64_t inputs)
      : moments_(inputs),
        before_sums_(static_cast<size_t>(inputs), 0.0),
        cross_(static_cast<size_t>(inputs * inputs), 0.0) {}

  void add(std::span<const float> before, std::span<const float> changed) {
    if (before.size() != changed.size()) throw Unsupported("its input changes its size");
    moments_.add(changed);
    const auto inputs = static_cast<int64_t>(before_sums_.size());
    const std::vector<double> b = numerics::to_double(before);
    std::vector<double> negative = numerics::to_double(changed);
    for (double& v : negative) v = -v;
    for (size_t at = 0; at < b.size(); ++at) before_sums_[at % before_sums_.size()] += b[at];
    numerics::subtract_product(negative, inputs, b, inputs,
                               static_cast<int64_t>(b.size()) / inputs, inputs, cross_);
  }

  void move_to(PairedMoments& result) {
    const int64_t rows = moments_.rows();
    if (rows == 0) throw Unsupported("no calibration sample reaches it");
    const auto count = static_cast<double>(rows);
    for (double& v : cross_) v /= count;
    for (double& v : before_sums_) v /= count;
    result.cross.push_back(std::move(cross_));
    result.before_means.push_back(std::move(before_sums_));
    result.changed.push_back({.inputs = moments_.inputs(),
                              .rows = rows,
                              .gram = moments_.take_gram(),
                              .mean = moments_.mean()});
  }

 private:
  numerics::InputMoments moments_;
  std::vector<double> before_sums_, cross_;
};

void for_each_value(CalibrationService& calibration, const Model& model, const std::string& name,
                    int64_t samples, const std::function<void(const Tensor& value)>& visit) {
  calibration.for_each(model, std::span(&name, 1), static_cast<size_t>(samples),
                       [&](size_t, std::span<const std::string>, std::span<const Tensor> values) {
                         visit(values.front());
                       });
}

}  // namespace

PairedMoments paired_moments(const Model& before, const Model& changed, const Layer& layer,
                             CalibrationService& calibration) {
  const LayerRows rows(layer);
  if (!rows.obstacle().empty()) throw Unsupported(rows.obstacle());
  const std::string& input = rows.input();
  int64_t of_sample = 1, values_of_sample = 1;
  for_each_value(calibration, before, input, 1, [&](const Tensor& value) {
    values_of_sample = std::max<int64_t>(value.count(), 1);
    of_sample = value.count() == 0 ? 1 : std::max<int64_t>(rows.count(value), 1);
  });
  const int64_t wanted = kRowsPerInput * rows.columns() + kLeastRows;
  const int64_t samples = std::clamp<int64_t>(
      std::max((wanted + of_sample - 1) / of_sample, kLeastSamples), 1,
      std::clamp<int64_t>(kStoredValues / values_of_sample, 1,
                          static_cast<int64_t>(calibration.data().size())));
  const int64_t every = std::max<int64_t>(1, of_sample * samples / wanted);

  std::vector<Tensor> stored;
  for_each_value(calibration, before, input, samples,
                 [&](const Tensor& value) { stored.push_back(value); });
  std::vector<PairedSums> sums(static_cast<size_t>(rows.groups()), PairedSums(rows.columns()));
  size_t sample = 0;
  for_each_value(calibration, changed, input, samples, [&](const Tensor& value) {
    const Tensor& twin = stored.at(sample++);
    for (int64_t group = 0; value.count() > 0 && group < rows.groups(); ++group) {
      sums[static_cast<size_t>(group)].add(rows.rows(twin, group, every),
                                           rows.rows(value, group, every));
    }
  });
  PairedMoments result;
  for (PairedSums& group : sums) group.move_to(result);
  return result;
}

}  // namespace mcompress::quantization
