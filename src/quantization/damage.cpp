// SPDX-License-Identifier: Apache-2.0
#include "quantization/damage.h"

#include <algorithm>
#include <cmath>

namespace mcompress::quantization {
namespace {

constexpr size_t kExpectedBudget = size_t{16} << 20;  // of reference outputs that are kept
constexpr size_t kLeastSamples = 4;
constexpr double kSumTolerance = 1e-3;
constexpr double kFloor = 1e-9;  // of a probability: what float rounding can leave

bool is_distribution(std::span<const float> row) {
  double sum = 0;
  for (const float p : row) {
    if (!(p >= 0)) return false;
    sum += p;
  }
  return std::abs(sum - 1) < kSumTolerance;
}

double divergence(std::span<const float> p, std::span<const float> q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] <= 0) continue;
    sum += p[i] * std::log(std::max<double>(p[i], kFloor) / std::max<double>(q[i], kFloor));
  }
  return std::max(0.0, sum);
}

}  // namespace

void DamageMeter::add(std::span<const Tensor> reference, std::span<const Tensor> candidate) {
  outputs_.resize(std::max(outputs_.size(), reference.size()));
  for (size_t i = 0; i < reference.size(); ++i) {
    Output& output = outputs_[i];
    if (!is_floating(reference[i].type())) continue;
    const auto p = reference[i].to_float();
    const auto q = candidate[i].to_float();
    if (p.size() != q.size()) {
      output.noise = output.signal = 1;
      output.probabilities = false;
      continue;
    }
    for (size_t k = 0; k < p.size(); ++k) {
      const double error = double{p[k]} - q[k];
      output.noise += error * error;
      output.signal += double{p[k]} * p[k];
    }
    const Shape& shape = reference[i].shape();
    const size_t width = shape.empty() ? 1 : static_cast<size_t>(shape.back());
    output.probabilities &= width >= 2;
    for (size_t begin = 0; output.probabilities && begin + width <= p.size(); begin += width) {
      const std::span row(p.data() + begin, width);
      output.probabilities = is_distribution(row);
      output.divergence += divergence(row, {q.data() + begin, width});
      output.rows += 1;
    }
  }
}

double DamageMeter::value() const {
  double worst = 0;
  for (const Output& output : outputs_) {
    const double share = output.signal > 0  ? output.noise / output.signal
                         : output.noise > 0 ? 1.0
                                            : 0.0;
    worst = std::max(
        worst, output.probabilities && output.rows > 0 ? output.divergence / output.rows : share);
  }
  return worst;
}

DamageProbe::DamageProbe(const Model& reference, RuntimeService& runtime, const Dataset& data,
                         size_t samples, int threads)
    : runtime_(runtime), threads_(threads) {
  const auto session = runtime_.open(reference, {.threads = threads_});
  size_t count = std::min(samples, data.size());
  for (size_t i = 0; i < count; ++i) {
    feeds_.push_back(data.feeds(i * data.size() / count, 1));
    auto& kept = expected_.emplace_back();
    // Copies: a tensor of the runtime keeps the whole session open.
    for (const Tensor& tensor : session->run(feeds_.back())) {
      kept.emplace_back(tensor.type(), tensor.shape(), tensor.bytes());
    }
    if (i > 0) continue;
    size_t bytes = 1;
    for (const Tensor& tensor : expected_.back()) bytes += tensor.byte_size();
    count = std::min(count, std::max(kLeastSamples, kExpectedBudget / bytes));
  }
}

double DamageProbe::damage(const Model& candidate, size_t at_most) {
  const auto session = runtime_.open(candidate, {.threads = threads_});
  DamageMeter meter;
  const size_t count = std::min(at_most, feeds_.size());
  for (size_t k = 0; k < count; ++k) {
    const size_t i = k * feeds_.size() / count;
    meter.add(expected_[i], session->run(feeds_[i]));
  }
  return meter.value();
}

size_t least_count(size_t most, double tolerance, int evaluations,
                   const std::function<double(size_t count)>& damage) {
  if (most == 0 || evaluations-- <= 0 || damage(0) <= tolerance) return 0;
  size_t low = 0, high = most;
  while (high - low > 1 && evaluations-- > 0) {
    const size_t middle = low + std::max<size_t>(1, (high - low) / 3);
    (damage(middle) <= tolerance ? high : low) = middle;
  }
  return high;
}

}  // namespace mcompress::quantization
